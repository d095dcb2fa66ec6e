package copying

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// SnapshotState is what a share holds of one snapshot. There is a snapshot when record and tree are there: the tree comes
// after the record, in one step, and goes before it.
type SnapshotState struct {
	key    string
	Found  registry.Found
	Record volume.SnapshotRecord // if whole
	tree   fs.FileInfo           // nil: there is none
}

// Complete says that there is a snapshot.
func (st SnapshotState) Complete() bool {
	return st.Found == registry.Whole && st.tree != nil && st.tree.IsDir()
}

func (s *Copier) lookAtSnapshot(ctx context.Context, name string) (SnapshotState, error) {
	return s.LookAtSnapshot(ctx, registry.SnapshotKey(name))
}

// LookAtSnapshot reads in one round trip the state of the snapshot with the given key.
func (s *Copier) LookAtSnapshot(ctx context.Context, key string) (SnapshotState, error) {
	st := SnapshotState{key: key}
	err := registry.Together(
		func() (err error) { st.Record, st.Found, err = s.readSnapshotRecord(ctx, st.key); return err },
		func() (err error) { st.tree, err = s.Lstat(ctx, registry.SnapshotPath(st.key)); return err },
	)
	return st, err
}

// readSnapshotRecord reads the record with the given key. One that belongs to another key was copied there, and counts as
// torn.
func (s *Copier) readSnapshotRecord(ctx context.Context, key string) (volume.SnapshotRecord, registry.Found, error) {
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

// DeleteSnapshot moves a snapshot into the trash, and so one of csi-driver-nfs; that there is none is no error. [volume.ErrInvalid]: the handle
// is not of the snapshot that has its name; nothing is touched then.
//
// It takes first what another process may still be making of it, then the tree, then the record.
func (s *Copier) DeleteSnapshot(ctx context.Context, id volume.SnapshotID) error {
	st, err := s.lookAtSnapshot(ctx, id.Name)
	switch {
	case err != nil:
		return err
	case st.Found == registry.Whole && st.Record.ID(s.Location) != id:
		return fmt.Errorf("%w: snapshot %q is of volume %q, not of %q as its handle says: nothing is deleted", volume.ErrInvalid, id.Name, st.Record.Source, id.Source)
	case st.Found == registry.NoRecord && st.tree == nil:
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
