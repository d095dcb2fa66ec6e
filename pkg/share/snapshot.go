package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// snapshotState is what a share holds of one snapshot. There is a snapshot when record and tree are there: the tree comes
// after the record, in one step, and goes before it.
type snapshotState struct {
	key    string
	found  registry.Found
	record volume.SnapshotRecord // if whole
	tree   fs.FileInfo           // nil: there is none
}

func (st snapshotState) complete() bool {
	return st.found == registry.Whole && st.tree != nil && st.tree.IsDir()
}

func (s *share) lookAtSnapshot(ctx context.Context, name string) (snapshotState, error) {
	return s.lookAtSnapshotBy(ctx, registry.SnapshotKey(name))
}

func (s *share) lookAtSnapshotBy(ctx context.Context, key string) (snapshotState, error) {
	st := snapshotState{key: key}
	err := registry.Together(
		func() (err error) { st.record, st.found, err = s.readSnapshotRecord(ctx, st.key); return err },
		func() (err error) { st.tree, err = s.Lstat(ctx, registry.SnapshotPath(st.key)); return err },
	)
	return st, err
}

// readSnapshotRecord reads the record with the given key. One that belongs to another key was copied there, and counts as
// torn.
func (s *share) readSnapshotRecord(ctx context.Context, key string) (volume.SnapshotRecord, registry.Found, error) {
	name := registry.SnapshotPath(key) + registry.RecordSuffix
	data, err := s.FS.ReadFile(ctx, name, registry.MaxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return volume.SnapshotRecord{}, registry.NoRecord, nil
	}
	if err != nil {
		return volume.SnapshotRecord{}, registry.NoRecord, fmt.Errorf("reading the record %q: %w", name, err)
	}
	if r, err := volume.ParseSnapshotRecord(data); err == nil && registry.SnapshotKey(r.Name) == key {
		return r, registry.Whole, nil
	}
	return volume.SnapshotRecord{}, registry.Torn, nil
}

func snapshotOf(r volume.SnapshotRecord, l volume.Location) volume.Snapshot {
	return volume.Snapshot{ID: r.ID(l), Source: r.Source, SizeBytes: r.SizeBytes, Created: r.Created}
}

// DeleteSnapshot moves a snapshot into the trash; that there is none is no error. [volume.ErrBusy]: a volume is being
// restored from it. [volume.ErrInvalid]: the handle is not of the snapshot that has its name; nothing is touched then.
func (m *Manager) DeleteSnapshot(ctx context.Context, id volume.SnapshotID, mountOptions []string) error {
	release, err := m.locks.holdUnused(namesOfSnapshot(id))
	if err != nil {
		return err
	}
	defer release()
	return m.on(ctx, "deletesnapshot", id.Location, mountOptions, func(s *share) error { return s.deleteSnapshot(ctx, id) })
}

// deleteSnapshot takes first what another process may still be making of it, then the tree, then the record.
func (s *share) deleteSnapshot(ctx context.Context, id volume.SnapshotID) error {
	st, err := s.lookAtSnapshot(ctx, id.Name)
	switch {
	case err != nil:
		return err
	case st.found == registry.Whole && st.record.ID(s.Location) != id:
		return fmt.Errorf("%w: snapshot %q is of volume %q, not of %q as its handle says: nothing is deleted", volume.ErrInvalid, id.Name, st.record.Source, id.Source)
	case st.found == registry.NoRecord && st.tree == nil:
		return s.deleteTarball(ctx, id)
	}
	if err := s.Ensure(ctx); err != nil {
		return err
	}
	if err := s.ClearStaging(ctx, registry.OfSnapshot, st.key); err != nil {
		return err
	}
	tree, err := s.Lstat(ctx, registry.SnapshotPath(st.key))
	if err != nil {
		return err
	}
	if tree != nil {
		if !tree.IsDir() {
			return fmt.Errorf("%w: %q on the share is %s and not a snapshot: somebody put it there; remove it", volume.ErrInvalid, registry.SnapshotPath(st.key), registry.TypeName(tree))
		}
		if _, err := s.Discard(ctx, registry.SnapshotPath(st.key), st.key); err != nil {
			return err
		}
	}
	return s.Remove(ctx, registry.SnapshotPath(st.key)+registry.RecordSuffix)
}
