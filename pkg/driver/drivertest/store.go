// Package drivertest has memory fakes of what pkg/driver needs, and the suites that they and the real ones pass.
package drivertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Store is a [driver.Store] that keeps volumes and snapshots in memory and remembers what it was asked. The zero value is
// ready.
type Store struct {
	faulty
	volumes   map[string]stored // by name
	snapshots map[string]volume.Snapshot
	asked     []any
}

// stored is a volume and what it was filled from, empty for nothing.
type stored struct {
	volume.Volume
	source string
}

// Deletion is a call of Delete, for [Asked].
type Deletion struct {
	ID           volume.ID
	MountOptions []string
}

// SnapshotDeletion is a call of DeleteSnapshot, for [Asked].
type SnapshotDeletion struct {
	ID           volume.SnapshotID
	MountOptions []string
}

// Expansion is a call of Expand, for [Asked].
type Expansion struct {
	ID              volume.ID
	Required, Limit int64
	MountOptions    []string
}

// Modification is a call of Modify, for [Asked].
type Modification struct {
	ID           volume.ID
	Changes      volume.Changes
	MountOptions []string
}

// Measurement is a call of Space, for [Asked].
type Measurement struct {
	Location     volume.Location
	MountOptions []string
}

// Available is the free space that Store reports, in bytes; the total is twice that.
const Available = 1 << 40

// Asked lists the calls of one kind, in order: volume.Request, volume.SnapshotRequest, volume.SnapshotFilter, or one of those
// in this package.
func Asked[Call any](s *Store) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var calls []Call
	for _, a := range s.asked {
		if call, ok := a.(Call); ok {
			calls = append(calls, call)
		}
	}
	return calls
}

// begin locks s and remembers the call, unless that is nil.
func (s *Store) begin(ctx context.Context, call any) (unlock func(), err error) {
	unlock, err = s.lock(ctx)
	if err != nil {
		return nil, err
	}
	if s.volumes == nil {
		s.volumes, s.snapshots = map[string]stored{}, map[string]volume.Snapshot{}
	}
	if call != nil {
		s.asked = append(s.asked, call)
	}
	return unlock, nil
}

// Create is that of driver.Volumes.
func (s *Store) Create(ctx context.Context, r volume.Request) (volume.Volume, error) {
	unlock, err := s.begin(ctx, r)
	if err != nil {
		return volume.Volume{}, err
	}
	defer unlock()
	id, err := r.ID()
	if err != nil {
		return volume.Volume{}, err
	}
	for _, other := range s.volumes {
		if other.ID.Location == id.Location && other.ID.Dir == id.Dir && other.ID.Name() != id.Name() {
			return volume.Volume{}, fmt.Errorf("directory %q of volume %q: %w", id.Dir, other.ID.Name(), volume.ErrExists)
		}
	}
	if old, ok := s.volumes[id.Name()]; ok {
		if old.ID != id || old.CapacityBytes < r.RequiredBytes || r.LimitBytes > 0 && old.CapacityBytes > r.LimitBytes || old.source != sourceText(r.Source) {
			return volume.Volume{}, fmt.Errorf("volume %q: %w", id.Name(), volume.ErrExists)
		}
		return old.Volume, nil
	}
	atLeast, err := s.fill(r)
	if err != nil {
		return volume.Volume{}, err
	}
	made := volume.Volume{ID: id, CapacityBytes: max(r.RequiredBytes, atLeast), Created: time.Now()}
	s.volumes[id.Name()] = stored{made, sourceText(r.Source)}
	return made, nil
}

func sourceText(s *volume.Source) string {
	switch {
	case s == nil:
		return ""
	case s.Volume != nil:
		return "volume " + s.Volume.String()
	}
	return "snapshot " + s.Snapshot.String()
}

// fill finds the source of a new volume and answers how large that is.
func (s *Store) fill(r volume.Request) (size int64, err error) {
	if r.Source == nil {
		return 0, nil
	}
	var from volume.Location
	var found bool
	if id := r.Source.Volume; id != nil {
		var v stored
		v, found = s.find(*id)
		from, size = id.Location, v.CapacityBytes
	} else {
		snapshot, ok := s.snapshots[r.Source.Snapshot.Name]
		from, size, found = r.Source.Snapshot.Location, snapshot.SizeBytes, ok && snapshot.ID == *r.Source.Snapshot
	}
	switch {
	case from != r.Class.Location:
		return 0, fmt.Errorf("%w: the source is on %s", volume.ErrInvalid, from)
	case !found:
		return 0, fmt.Errorf("%s: %w", sourceText(r.Source), volume.ErrNotFound)
	case r.LimitBytes > 0 && size > r.LimitBytes:
		return 0, fmt.Errorf("%w: the source has %d bytes", volume.ErrRange, size)
	}
	return size, nil
}

// find looks a volume up; s is locked.
func (s *Store) find(id volume.ID) (stored, bool) {
	v, ok := s.volumes[id.Name()]
	return v, ok && v.ID == id
}

// Delete is that of driver.Volumes.
func (s *Store) Delete(ctx context.Context, id volume.ID, mountOptions []string) error {
	unlock, err := s.begin(ctx, Deletion{id, mountOptions})
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := s.find(id); ok {
		delete(s.volumes, id.Name())
	}
	return nil
}

// Get is that of driver.Volumes.
func (s *Store) Get(ctx context.Context, id volume.ID) (volume.Volume, error) {
	return s.change(ctx, id, nil, func(*stored) error { return nil })
}

// Expand is that of driver.Changes.
func (s *Store) Expand(ctx context.Context, id volume.ID, required, limit int64, mountOptions []string) (volume.Volume, error) {
	return s.change(ctx, id, Expansion{id, required, limit, mountOptions}, func(v *stored) error {
		size := max(v.CapacityBytes, required)
		if limit > 0 && size > limit {
			return fmt.Errorf("%w: the volume has %d bytes", volume.ErrRange, v.CapacityBytes)
		}
		v.CapacityBytes = size
		return nil
	})
}

// Modify is that of driver.Changes.
func (s *Store) Modify(ctx context.Context, id volume.ID, c volume.Changes, mountOptions []string) error {
	_, err := s.change(ctx, id, Modification{id, c, mountOptions}, func(*stored) error { return nil })
	return err
}

func (s *Store) change(ctx context.Context, id volume.ID, call any, by func(*stored) error) (volume.Volume, error) {
	unlock, err := s.begin(ctx, call)
	if err != nil {
		return volume.Volume{}, err
	}
	defer unlock()
	v, ok := s.find(id)
	if !ok {
		return volume.Volume{}, fmt.Errorf("volume %q: %w", id.Name(), volume.ErrNotFound)
	}
	if err := by(&v); err != nil {
		return volume.Volume{}, err
	}
	s.volumes[id.Name()] = v
	return v.Volume, nil
}

// List is that of driver.Volumes.
func (s *Store) List(ctx context.Context, token string, limit int) ([]volume.Volume, string, error) {
	unlock, err := s.begin(ctx, nil)
	if err != nil {
		return nil, "", err
	}
	defer unlock()
	var all []volume.Volume
	for _, v := range s.volumes {
		all = append(all, v.Volume)
	}
	return page(all, func(v volume.Volume) string { return v.ID.Name() }, token, limit)
}

// tokenPrefix begins a token; the name of the last one listed follows.
const tokenPrefix = "after:"

// page answers up to limit of all, by name, that come after token.
func page[T any](all []T, name func(T) string, token string, limit int) (part []T, next string, err error) {
	after, ok := strings.CutPrefix(token, tokenPrefix)
	if token != "" && !ok {
		return nil, "", fmt.Errorf("%w: %q", volume.ErrToken, token)
	}
	all = slices.DeleteFunc(all, func(t T) bool { return name(t) <= after })
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	if limit == 0 || len(all) <= limit {
		return all, "", nil
	}
	return all[:limit], tokenPrefix + name(all[limit-1]), nil
}

// Space is that of driver.Volumes.
func (s *Store) Space(ctx context.Context, l volume.Location, mountOptions []string) (volume.Space, error) {
	unlock, err := s.begin(ctx, Measurement{l, mountOptions})
	if err != nil {
		return volume.Space{}, err
	}
	defer unlock()
	return volume.Space{Total: 2 * Available, Available: Available}, nil
}
