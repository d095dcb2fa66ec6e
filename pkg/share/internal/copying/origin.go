package copying

import (
	"context"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Origin is the source of a volume as it was when the volume was begun.
type Origin struct {
	Bytes    int64 // what the volume must at least hold
	volume   registry.State
	snapshot SnapshotState
	tarball  tarball
	path     string // of its tree or tarball, on the share
}

// Origin looks at the source of a volume. [volume.ErrNotFound]: there is no such source. [volume.ErrInvalid]: it is a volume without a record
// that other volumes are in, or above.
func (s *Copier) Origin(ctx context.Context, source volume.Source) (o Origin, err error) {
	if id := source.Volume; id != nil {
		if o.volume, err = s.Look(ctx, id.Name(), id.Dir); err != nil {
			return o, err
		}
		o.path, o.Bytes = string(id.Dir), o.volume.Record.CapacityBytes
		return o, s.copyable(ctx, o.volume, *id)
	}
	id := source.Snapshot
	if o.snapshot, err = s.lookAtSnapshot(ctx, id.Name); err != nil {
		return o, err
	}
	if o.snapshot.Found == registry.NoRecord && o.snapshot.tree == nil {
		if o.tarball, err = s.findTarball(ctx, *id); err != nil || o.tarball.info != nil {
			o.path = o.tarball.path
			return o, err
		}
	}
	if !o.snapshot.Complete() || o.snapshot.Record.ID(s.Location) != *id {
		return o, fmt.Errorf("%w: there is no snapshot %q of volume %q", volume.ErrNotFound, id.Name, id.Source)
	}
	o.path, o.Bytes = registry.SnapshotPath(o.snapshot.key), o.snapshot.Record.SizeBytes
	return o, nil
}

// copyable says why there is no volume with handle id that may be copied. One that no record confirms must not have other
// volumes in it, nor be inside one: a copy would hand on what is theirs.
func (s *Copier) copyable(ctx context.Context, st registry.State, id volume.ID) error {
	if err := st.Holds(id); err != nil || st.Found == registry.Whole {
		return err
	}
	if st.Above != "" {
		return fmt.Errorf("%w: directory %q is inside that of volume %q: nothing is copied", volume.ErrInvalid, id.Dir, st.Above)
	}
	var owner string
	err := registry.Together(
		func() (err error) { owner, err = s.Below(ctx, st.Key, id.Dir); return err },
		func() error { return s.NotShare(ctx, id.Dir) },
	)
	if err == nil && owner != "" {
		err = fmt.Errorf("%w: the directory of volume %q is below %q: nothing is copied", volume.ErrInvalid, owner, id.Dir)
	}
	return err
}

// Unchanged says why the source is no more what it was, nil where it is.
func (s *Copier) Unchanged(ctx context.Context, source volume.Source, was Origin) error {
	is, err := s.Origin(ctx, source)
	if err != nil {
		return err
	}
	if source.Volume != nil {
		return is.volume.StillHolds(was.volume, *source.Volume)
	}
	if !sameSnapshot(is.snapshot.Record, was.snapshot.Record) || !sameTarball(is.tarball, was.tarball) {
		return fmt.Errorf("%w: snapshot %q was deleted while it was copied", volume.ErrNotFound, source.Snapshot.Name)
	}
	return nil
}
