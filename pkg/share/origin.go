package share

import (
	"context"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// origin is the source of a volume as it was when the volume was begun.
type origin struct {
	path     string // of its tree, on the share
	bytes    int64  // what the volume must at least hold
	volume   registry.State
	snapshot snapshotState
	tarball  tarball
}

// origin looks at the source of a volume.
func (s *share) origin(ctx context.Context, source volume.Source) (o origin, err error) {
	if id := source.Volume; id != nil {
		if o.volume, err = s.Look(ctx, id.Name(), id.Dir); err != nil {
			return o, err
		}
		o.path, o.bytes = string(id.Dir), o.volume.Record.CapacityBytes
		return o, s.copyable(ctx, o.volume, *id)
	}
	id := source.Snapshot
	if o.snapshot, err = s.lookAtSnapshot(ctx, id.Name); err != nil {
		return o, err
	}
	if o.snapshot.found == registry.NoRecord && o.snapshot.tree == nil {
		if o.tarball, err = s.findTarball(ctx, *id); err != nil || o.tarball.info != nil {
			o.path = o.tarball.path
			return o, err
		}
	}
	if !o.snapshot.complete() || o.snapshot.record.ID(s.Location) != *id {
		return o, fmt.Errorf("%w: there is no snapshot %q of volume %q", volume.ErrNotFound, id.Name, id.Source)
	}
	o.path, o.bytes = registry.SnapshotPath(o.snapshot.key), o.snapshot.record.SizeBytes
	return o, nil
}

// copyable says why there is no volume with handle id that may be copied. One that no record confirms must not have other
// volumes in it, nor be inside one: a copy would hand on what is theirs.
func (s *share) copyable(ctx context.Context, st registry.State, id volume.ID) error {
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

// unchanged says why the source is no more what it was.
func (s *share) unchanged(ctx context.Context, source volume.Source, was origin) error {
	is, err := s.origin(ctx, source)
	if err != nil {
		return err
	}
	if source.Volume != nil {
		return is.volume.StillHolds(was.volume, *source.Volume)
	}
	if !sameSnapshot(is.snapshot.record, was.snapshot.record) || !sameTarball(is.tarball, was.tarball) {
		return fmt.Errorf("%w: snapshot %q was deleted while it was copied", volume.ErrNotFound, source.Snapshot.Name)
	}
	return nil
}

// handle is what a record says of a source.
func handle(s *volume.Source) string {
	switch {
	case s == nil:
		return ""
	case s.Snapshot != nil:
		return s.Snapshot.String()
	}
	return s.Volume.String()
}
