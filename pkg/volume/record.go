package volume

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// RecordVersion is the version of the record's format that this code writes.
const RecordVersion = 1

// AnnMigratedFrom is the annotation of a PersistentVolume of our driver that was made as another's, or imported, and has no record on its
// share: it says whose it was.
const AnnMigratedFrom = "nfs-csi.github.io/migrated-from"

// Record is the file .nfs-csi/volumes/NAME.json of a share: the truth about one volume. A pod that mounts the whole
// share can write it, so what is read is checked like any other input.
type Record struct {
	Version       int    `json:"version"`
	Name          string `json:"name"`
	Dir           Dir    `json:"directory"`
	CapacityBytes int64  `json:"capacityBytes"`
	Policy        Policy `json:"onDelete"`
	// HandlePolicy is the policy that the handle says, where Policy was changed since.
	HandlePolicy Policy    `json:"handleOnDelete,omitempty"`
	Created      time.Time `json:"created"`
	Claim        string    `json:"claim,omitempty"` // namespace/name, for people
	// Source is the handle of the volume or the snapshot that the volume is filled from.
	Source string `json:"source,omitempty"`
	// Copy is the name in staging of the whole and verified copy of the source, from just before it becomes the
	// directory. While it is empty the copy is not complete, and whatever has the directory's name is not the volume's.
	Copy string `json:"copy,omitempty"`
	// ArchiveRetention is how long the archive of the deleted volume is kept; 0: for ever. In JSON it is text ("720h0m0s").
	ArchiveRetention time.Duration `json:"-"`
	// Retained says that the volume was deleted and its directory kept though the handle says otherwise; the record stays
	// so that deleting once more does not take the handle's word.
	Retained bool `json:"retained,omitempty"`
}

// recordFile is a Record as JSON has it.
type recordFile struct {
	plainRecord
	ArchiveRetention string `json:"archiveRetention,omitempty"`
}

type plainRecord Record

// Marshal prints r as indented JSON with a newline at the end.
func (r Record) Marshal() ([]byte, error) {
	file := recordFile{plainRecord: plainRecord(r)}
	if r.ArchiveRetention != 0 {
		file.ArchiveRetention = r.ArchiveRetention.String()
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the record of volume %q: %w", r.Name, err)
	}
	return append(b, '\n'), nil
}

// ParseRecord reads what [Record.Marshal] wrote. A file that was cut short by a crash, or that somebody else wrote
// there, is [ErrInvalid].
func ParseRecord(data []byte) (Record, error) {
	var file recordFile
	if err := json.Unmarshal(data, &file); err != nil {
		return Record{}, fmt.Errorf("%w: record is not readable: %s", ErrInvalid, err)
	}
	r := Record(file.plainRecord)
	var err error
	if r.ArchiveRetention, err = parseRetention(file.ArchiveRetention); err != nil {
		return Record{}, fmt.Errorf("record: %w", err)
	}
	if err := r.check(); err != nil {
		return Record{}, err
	}
	return r, nil
}

// check reports what no record of this driver has.
func (r Record) check() error {
	d, err := ParseDir(string(r.Dir))
	switch {
	case err != nil:
		return err
	case d != r.Dir:
		return fmt.Errorf("%w: record has the directory %q", ErrInvalid, r.Dir)
	case r.Version != RecordVersion:
		return fmt.Errorf("%w: record has version %d, this driver reads version %d", ErrInvalid, r.Version, RecordVersion)
	case r.Name == "" || r.CapacityBytes < 0:
		return fmt.Errorf("%w: record has name %q and capacity %d", ErrInvalid, r.Name, r.CapacityBytes)
	case !r.Policy.known():
		return fmt.Errorf("%w: record has the policy %q", ErrInvalid, r.Policy)
	case r.HandlePolicy != "" && !r.HandlePolicy.known():
		return fmt.Errorf("%w: record has the policy %q of its handle", ErrInvalid, r.HandlePolicy)
	case r.Copy != "" && (checkElement(r.Copy) != nil || strings.Contains(r.Copy, "/")):
		return fmt.Errorf("%w: record has the copy %q", ErrInvalid, r.Copy)
	}
	id := r.ID(Location{Server: "s", Share: "/"})
	if again, err := ParseID(id.String()); err != nil || again != id {
		return fmt.Errorf("%w: record has the name %q, with which there is no handle", ErrInvalid, r.Name)
	}
	return nil
}

// ID is the handle of the volume that r records on the share at l.
func (r Record) ID(l Location) ID {
	id := ID{Location: l, Dir: r.Dir, Policy: r.Policy}
	if r.HandlePolicy != "" {
		id.Policy = r.HandlePolicy
	}
	if string(r.Dir) != r.Name {
		id.UUID = r.Name
	}
	return id
}

// Volume is the volume that r records on the share at l.
func (r Record) Volume(l Location) Volume {
	return Volume{ID: r.ID(l), CapacityBytes: r.CapacityBytes, Created: r.Created}
}
