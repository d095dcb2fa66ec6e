package volume

import (
	"encoding/json"
	"fmt"
	"time"
)

// Request asks for a volume.
type Request struct {
	Name          string // as the orchestrator gave it; see [CleanName]
	Class         Class
	RequiredBytes int64    // at least this much
	LimitBytes    int64    // at most this much; 0: no limit
	MountOptions  []string // of the class: how to reach the server (vers=, port=, ...)
}

// ID is the handle that the requested volume has, or will have.
func (r Request) ID() (ID, error) {
	claim := r.Class.Claim
	name := CleanName(r.Name)
	if claim.Volume == "" {
		claim.Volume = name
	}
	d, err := r.Class.Template.Expand(claim)
	if err != nil {
		return ID{}, err
	}
	id := ID{Location: r.Class.Location, Dir: d, Policy: r.Class.Policy}
	if string(d) != name {
		id.UUID = name
	}
	return id, nil
}

// Volume is a volume that exists.
type Volume struct {
	ID            ID
	CapacityBytes int64 // 0: not known, as with volumes of the predecessors
	Created       time.Time
}

// RecordVersion is the version of the record's format that this code writes.
const RecordVersion = 1

// Record is the file .nfs-csi/volumes/NAME.json of a share: the truth about one volume. A pod that mounts the whole
// share can write it, so what is read is checked like any other input.
type Record struct {
	Version       int       `json:"version"`
	Name          string    `json:"name"`
	Dir           Dir       `json:"directory"`
	CapacityBytes int64     `json:"capacityBytes"`
	Policy        Policy    `json:"onDelete"`
	Created       time.Time `json:"created"`
	Claim         string    `json:"claim,omitempty"` // namespace/name, for people
}

// Marshal prints r as indented JSON with a newline at the end.
func (r Record) Marshal() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the record of volume %q: %w", r.Name, err)
	}
	return append(b, '\n'), nil
}

// ParseRecord reads what [Record.Marshal] wrote. A file that was cut short by a crash, or that somebody else wrote
// there, is [ErrInvalid].
func ParseRecord(data []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("%w: record is not readable: %s", ErrInvalid, err)
	}
	d, err := ParseDir(string(r.Dir))
	switch {
	case err != nil:
		return Record{}, err
	case d != r.Dir:
		return Record{}, fmt.Errorf("%w: record has the directory %q", ErrInvalid, r.Dir)
	case r.Version != RecordVersion:
		return Record{}, fmt.Errorf("%w: record has version %d, this driver reads version %d", ErrInvalid, r.Version, RecordVersion)
	case r.Name == "" || r.CapacityBytes < 0:
		return Record{}, fmt.Errorf("%w: record has name %q and capacity %d", ErrInvalid, r.Name, r.CapacityBytes)
	case r.Policy != Delete && r.Policy != Retain && r.Policy != Archive:
		return Record{}, fmt.Errorf("%w: record has the policy %q", ErrInvalid, r.Policy)
	}
	return r, nil
}

// ID is the handle of the volume that r records on the share at l.
func (r Record) ID(l Location) ID {
	id := ID{Location: l, Dir: r.Dir, Policy: r.Policy}
	if string(r.Dir) != r.Name {
		id.UUID = r.Name
	}
	return id
}

// Space is how full an export is, in bytes.
type Space struct{ Total, Available uint64 }
