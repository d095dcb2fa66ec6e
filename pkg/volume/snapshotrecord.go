package volume

import (
	"encoding/json"
	"fmt"
	"time"
)

// SnapshotRecord is the file .nfs-csi/snapshots/NAME.json of a share: the truth about one snapshot, whose content is the
// directory NAME beside it. There is no snapshot without both.
type SnapshotRecord struct {
	Version   int       `json:"version"` // [RecordVersion]
	Name      string    `json:"name"`
	Source    string    `json:"source"` // handle of the volume that it was taken of
	SizeBytes int64     `json:"sizeBytes"`
	Created   time.Time `json:"created"`
}

// Marshal prints r as indented JSON with a newline at the end.
func (r SnapshotRecord) Marshal() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the record of snapshot %q: %w", r.Name, err)
	}
	return append(b, '\n'), nil
}

// ParseSnapshotRecord reads what [SnapshotRecord.Marshal] wrote. A file that was cut short by a crash, or that somebody
// else wrote there, is [ErrInvalid].
func ParseSnapshotRecord(data []byte) (SnapshotRecord, error) {
	var r SnapshotRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return SnapshotRecord{}, fmt.Errorf("%w: record is not readable: %s", ErrInvalid, err)
	}
	if err := r.check(); err != nil {
		return SnapshotRecord{}, err
	}
	return r, nil
}

func (r SnapshotRecord) check() error {
	if r.Version != RecordVersion {
		return fmt.Errorf("%w: record has version %d, this driver reads version %d", ErrInvalid, r.Version, RecordVersion)
	}
	if r.Name == "" || r.Name != CleanName(r.Name) || r.SizeBytes < 0 {
		return fmt.Errorf("%w: record has name %q and size %d", ErrInvalid, r.Name, r.SizeBytes)
	}
	id, err := ParseID(r.Source)
	if err == nil && id.String() != r.Source {
		err = fmt.Errorf("%w: it is not as this driver writes it", ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	return nil
}

// ID is the handle of the snapshot that r records on the share at l.
func (r SnapshotRecord) ID(l Location) SnapshotID {
	id := SnapshotID{Location: l, Name: r.Name}
	if source, err := ParseID(r.Source); err == nil {
		id.Source = source.sourceName()
	}
	return id
}

// sourceName is what a snapshot's handle calls its source: the volume's name, which in some handles of csi-driver-nfs
// is no safe text.
func (id ID) sourceName() string {
	if d, err := ParseDir(id.Name()); err == nil && string(d) == id.Name() {
		return id.Name()
	}
	return CleanName(id.Name())
}

// ID is the handle that the requested snapshot has, or will have.
func (r SnapshotRequest) ID() SnapshotID {
	return SnapshotID{Location: r.Source.Location, Name: CleanName(r.Name), Source: r.Source.sourceName()}
}

// Snapshot is the snapshot that r records on the share at l.
func (r SnapshotRecord) Snapshot(l Location) Snapshot {
	return Snapshot{ID: r.ID(l), Source: r.Source, SizeBytes: r.SizeBytes, Created: r.Created}
}
