package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// snapshotKey names a snapshot's tree. The record has [recordSuffix] behind it, so no key ends with that.
func snapshotKey(name string) string {
	key := volume.Key(name)
	if before, ok := strings.CutSuffix(key, recordSuffix); ok {
		key = before + "%2E" + recordSuffix[1:] // which is no other name's: a point becomes %2E only where a key begins
	}
	return key
}

func snapshotPath(key string) string { return snapshotsDir + "/" + key }

// snapshotState is what a share holds of one snapshot. There is a snapshot when record and tree are there: the tree comes
// after the record, in one step, and goes before it.
type snapshotState struct {
	key    string
	found  recordState
	record volume.SnapshotRecord // if whole
	tree   fs.FileInfo           // nil: there is none
}

func (st snapshotState) complete() bool {
	return st.found == whole && st.tree != nil && st.tree.IsDir()
}

func (s *share) lookAtSnapshot(ctx context.Context, name string) (snapshotState, error) {
	return s.lookAtSnapshotBy(ctx, snapshotKey(name))
}

func (s *share) lookAtSnapshotBy(ctx context.Context, key string) (snapshotState, error) {
	st := snapshotState{key: key}
	err := together(
		func() (err error) { st.record, st.found, err = s.readSnapshotRecord(ctx, st.key); return err },
		func() (err error) { st.tree, err = s.lstat(ctx, snapshotPath(st.key)); return err },
	)
	return st, err
}

// readSnapshotRecord reads the record with the given key. One that belongs to another key was copied there, and counts as
// torn.
func (s *share) readSnapshotRecord(ctx context.Context, key string) (volume.SnapshotRecord, recordState, error) {
	name := snapshotPath(key) + recordSuffix
	data, err := s.fs.ReadFile(ctx, name, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return volume.SnapshotRecord{}, noRecord, nil
	}
	if err != nil {
		return volume.SnapshotRecord{}, noRecord, fmt.Errorf("reading the record %q: %w", name, err)
	}
	if r, err := volume.ParseSnapshotRecord(data); err == nil && snapshotKey(r.Name) == key {
		return r, whole, nil
	}
	return volume.SnapshotRecord{}, torn, nil
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
	case st.found == whole && st.record.ID(s.location) != id:
		return fmt.Errorf("%w: snapshot %q is of volume %q, not of %q as its handle says: nothing is deleted", volume.ErrInvalid, id.Name, st.record.Source, id.Source)
	case st.found == noRecord && st.tree == nil:
		return s.deleteTarball(ctx, id)
	}
	if err := s.layout.ensure(ctx, s.fs); err != nil {
		return err
	}
	if err := s.clearStaging(ctx, ofSnapshot, st.key); err != nil {
		return err
	}
	tree, err := s.lstat(ctx, snapshotPath(st.key))
	if err != nil {
		return err
	}
	if tree != nil {
		if !tree.IsDir() {
			return fmt.Errorf("%w: %q on the share is %s and not a snapshot: somebody put it there; remove it", volume.ErrInvalid, snapshotPath(st.key), typeName(tree))
		}
		if err := s.discard(ctx, snapshotPath(st.key), st.key); err != nil {
			return err
		}
	}
	return s.remove(ctx, snapshotPath(st.key)+recordSuffix)
}
