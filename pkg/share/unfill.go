package share

import (
	"context"
	"errors"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// stopFilling ends the filling of a volume that is to be deleted, and finds out whether what has its directory's name is
// the volume's: it is once the copy that the record names has left staging for it. Moving the copy to the trash decides
// between us and a process that still makes the volume: only one of the two finds it there.
func (d *deletion) stopFilling(ctx context.Context) error {
	r := d.seen.record
	for range creationAttempts {
		if r.Source == "" {
			return nil
		}
		if r.Copy != "" {
			return d.stopPlacing(ctx, r)
		}
		if err := d.clearStaging(ctx, ofVolume, d.seen.key); err != nil {
			return err
		}
		again, found, err := d.readRecord(ctx, d.seen.key)
		if err != nil {
			return err
		}
		if found != whole || again.Copy == "" {
			d.seen.info = nil // whatever it is, it is not the volume's
			return nil
		}
		r = again
	}
	return fmt.Errorf("%w: somebody else keeps making volume %q", volume.ErrBusy, r.Name)
}

// stopPlacing takes the copy that the record names away, unless it has become the directory already.
func (d *deletion) stopPlacing(ctx context.Context, r volume.Record) error {
	staged, err := d.lstat(ctx, stagingDir+"/"+r.Copy)
	if err != nil {
		return err
	}
	placed := staged == nil
	if !placed {
		name := stagingDir + "/" + r.Copy
		r.Copy = ""
		if err := d.rewrite(ctx, r); err != nil && !errors.Is(err, volume.ErrNotFound) {
			return err
		}
		moved, err := d.discarded(ctx, name, d.seen.key)
		if err != nil {
			return err
		}
		placed = !moved
	}
	if !placed {
		d.seen.info = nil
		return nil
	}
	d.seen.info, err = d.lstat(ctx, string(d.id.Dir))
	return err
}

// stillUnfilled looks once more whether a volume that has no directory is still not being filled, now that its reservation is taken. Another
// process that fills it names its copy in the record and then looks for the reservation, see confirmRewrite; so one of the two
// sees the other.
func (d *deletion) stillUnfilled(ctx context.Context) error {
	if d.seen.record.Source == "" || d.seen.info != nil {
		return nil
	}
	r, found, err := d.readRecord(ctx, d.seen.key)
	if err == nil && found == whole && r.Copy != "" && r.Copy != d.seen.record.Copy {
		err = fmt.Errorf("%w: somebody is just making volume %q", volume.ErrBusy, d.id.Name())
	}
	return err
}

// undoFill takes back what a volume with a source has come to. The record goes first: without the copy that it names
// it would say that the directory is filled.
func (c *creation) undoFill(ctx context.Context) error {
	if c.dropTree {
		if err := c.retire(ctx, c.record); err != nil {
			return err
		}
	}
	if !c.dropRecord {
		return nil
	}
	if err := c.remove(ctx, recordPath(c.seen.key)); err != nil {
		return err
	}
	return c.clearStaging(ctx, ofVolume, c.seen.key)
}
