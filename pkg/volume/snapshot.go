package volume

import (
	"fmt"
	"strings"
	"time"
)

// SnapshotID is a snapshot handle: server#share#name#name#source, the format of csi-driver-nfs, whose snapshots are
// therefore ours without conversion.
type SnapshotID struct {
	Location
	Name   string // what the snapshot's record and lock are keyed by: [CleanName] of its CSI name; a directory of csi-driver-nfs
	Source string // the name of the volume it was taken of, see [ID.Name]
}

// String prints the five fields. A source with a slash in it stands as it is.
func (id SnapshotID) String() string {
	return strings.Join([]string{id.Server, strings.Trim(id.Share, "/"), id.Name, id.Name, id.Source}, "#")
}

// ParseSnapshotID reads a handle that may be restored from and deleted: exactly five fields, of which the third and the
// fourth are the same name of one path element. Anything else is [ErrInvalid], and such a snapshot is never touched.
func ParseSnapshotID(s string) (SnapshotID, error) {
	if len(s) > MaxID {
		return SnapshotID{}, fmt.Errorf("%w: snapshot ID is %d bytes long, at most %d are read", ErrInvalid, len(s), MaxID)
	}
	id, err := parseSnapshotFields(strings.Split(s, "#"))
	if err != nil {
		return SnapshotID{}, fmt.Errorf("snapshot ID %q: %w", s, err)
	}
	return id, nil
}

func parseSnapshotFields(f []string) (SnapshotID, error) {
	if len(f) != 5 {
		return SnapshotID{}, fmt.Errorf("%w: %d fields between #, server#share#name#name#source has 5", ErrInvalid, len(f))
	}
	location, err := ParseLocation(f[0], "/"+strings.Trim(f[1], "/"))
	if err != nil {
		return SnapshotID{}, err
	}
	if f[2] != f[3] {
		return SnapshotID{}, fmt.Errorf("%w: names %q and %q differ", ErrInvalid, f[2], f[3])
	}
	name, err := ParseDir(f[2])
	if err != nil {
		return SnapshotID{}, err
	}
	if strings.Contains(string(name), "/") || string(name) != f[2] {
		return SnapshotID{}, fmt.Errorf("%w: %q is not the name of a snapshot", ErrInvalid, f[2])
	}
	source, err := ParseDir(f[4])
	if err != nil {
		return SnapshotID{}, fmt.Errorf("source: %w", err)
	}
	if string(source) != f[4] {
		return SnapshotID{}, fmt.Errorf("%w: source %q is not the name of a volume", ErrInvalid, f[4])
	}
	return SnapshotID{Location: location, Name: f[2], Source: f[4]}, nil
}

// Source is what a new volume is filled from: exactly one of the two is set.
type Source struct {
	Volume   *ID
	Snapshot *SnapshotID
}

// Handle is that of the volume or the snapshot, "" for none: what a record says of it.
func (s *Source) Handle() string {
	switch {
	case s == nil:
		return ""
	case s.Snapshot != nil:
		return s.Snapshot.String()
	}
	return s.Volume.String()
}

// SnapshotRequest asks for a snapshot.
type SnapshotRequest struct {
	Name         string // as the orchestrator gave it; see [CleanName]
	Source       ID
	MountOptions []string // how to reach the server
}

// Snapshot is a snapshot that is complete.
type Snapshot struct {
	ID        SnapshotID
	Source    string    // handle of the volume it was taken of; empty where that is not known, as with csi-driver-nfs
	SizeBytes int64     // what a volume restored from it must at least hold
	Created   time.Time // when it was begun
}

// SnapshotFilter chooses snapshots; the zero value chooses all.
type SnapshotFilter struct {
	ID           *SnapshotID
	Source       *ID      // of the volume they were taken of
	MountOptions []string // how to reach the server of ID or Source; may be nil
}
