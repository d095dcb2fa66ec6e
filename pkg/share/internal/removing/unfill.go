package removing

import (
	"context"
	"errors"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// stopFilling ends the filling of a volume that is to be deleted, and finds out whether what has its directory's name is
// the volume's: it is once the copy that the record names has left staging for it. Moving the copy to the trash decides
// between us and a process that still makes the volume: only one of the two finds it there.
func (d *deletion) stopFilling(ctx context.Context) error {
	r := d.seen.Record
	for range registry.Attempts {
		if r.Source == "" {
			return nil
		}
		if r.Copy != "" {
			return d.stopPlacing(ctx, r)
		}
		if err := d.ClearStaging(ctx, registry.OfVolume, d.seen.Key); err != nil {
			return err
		}
		again, found, err := d.ReadRecord(ctx, d.seen.Key)
		if err != nil {
			return err
		}
		if found != registry.Whole || again.Copy == "" {
			d.seen.Info = nil // whatever it is, it is not the volume's
			return nil
		}
		r = again
	}
	return fmt.Errorf("%w: somebody else keeps making volume %q", volume.ErrBusy, r.Name)
}

// stopPlacing takes the copy that the record names away, unless it has become the directory already.
func (d *deletion) stopPlacing(ctx context.Context, r volume.Record) error {
	staged, err := d.Lstat(ctx, registry.StagingDir+"/"+r.Copy)
	if err != nil {
		return err
	}
	placed := staged == nil
	if !placed {
		name := registry.StagingDir + "/" + r.Copy
		r.Copy = ""
		if err := d.Rewrite(ctx, r); err != nil && !errors.Is(err, volume.ErrNotFound) {
			return err
		}
		moved, err := d.Discard(ctx, name, d.seen.Key)
		if err != nil {
			return err
		}
		placed = !moved
	}
	if !placed {
		d.seen.Info = nil
		return nil
	}
	d.seen.Info, err = d.Lstat(ctx, string(d.id.Dir))
	return err
}

// stillUnfilled looks once more whether a volume that has no directory is still not being filled, now that its reservation is taken. Another
// process that fills it names its copy in the record and then looks for the reservation, see confirmRewrite; so one of the two
// sees the other.
func (d *deletion) stillUnfilled(ctx context.Context) error {
	if d.seen.Record.Source == "" || d.seen.Info != nil {
		return nil
	}
	r, found, err := d.ReadRecord(ctx, d.seen.Key)
	if err == nil && found == registry.Whole && r.Copy != "" && r.Copy != d.seen.Record.Copy {
		err = fmt.Errorf("%w: somebody is just making volume %q", volume.ErrBusy, d.id.Name())
	}
	return err
}
