package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// deletion deletes one volume: first the directory goes where the policy says, then the reservation, then the record,
// which knows the policy. In that order each crash leaves a state from which the next try knows what is left to do.
type deletion struct {
	*share
	id     volume.ID
	seen   state
	policy volume.Policy
	held   []string // what earlier tries have moved aside, see moveAside
}

// delete deletes the volume with handle id. A volume without a record is one of a predecessor's, or deleted already.
func (s *share) delete(ctx context.Context, id volume.ID) error {
	var st state
	var held []string
	err := together(
		func() (err error) { st, err = s.look(ctx, id.Name(), id.Dir); return err },
		func() (err error) { held, err = s.heldOf(ctx, volume.Key(id.Name())); return err },
	)
	if err == nil && st.found != whole && st.info != nil {
		// A record comes before its directory, but both may have come between our two reads: only a second look is sure.
		st, err = s.look(ctx, id.Name(), id.Dir)
	}
	if err != nil {
		return err
	}
	d := &deletion{share: s, id: id, seen: st, policy: id.Policy, held: held}
	if st.found == whole {
		d.policy = st.record.Policy
		if st.record.Dir != id.Dir {
			return fmt.Errorf("%w: volume %q has the directory %q, not %q as its handle says: nothing is deleted",
				volume.ErrInvalid, id.Name(), st.record.Dir, id.Dir)
		}
		if st.record.Retained {
			return s.removeIf(ctx, st.ours(), linkPath(id.Dir))
		}
		if err := d.stopFilling(ctx); err != nil {
			return err
		}
	}
	if !st.others() { // else our volume is gone, and what is there now is another's
		if err := d.clear(ctx); err != nil {
			return err
		}
	}
	return d.end(ctx)
}

// end takes away reservation and record.
func (d *deletion) end(ctx context.Context) error {
	if d.seen.ours() {
		if err := d.remove(ctx, linkPath(d.id.Dir)); err != nil {
			return err
		}
	}
	if d.seen.found == whole {
		return d.forget(ctx, d.seen.record)
	}
	if d.seen.found == torn || d.seen.ours() {
		return d.endUnmade(ctx)
	}
	return nil
}

// endUnmade ends what has no whole record: a crash has left it, or another process is just making the volume. That one
// writes its record and then looks whether the reservation is still there, see confirmReserved; we have taken that away and
// now look for the record. So one of the two sees the other.
func (d *deletion) endUnmade(ctx context.Context) error {
	_, found, err := d.readRecord(ctx, d.seen.key)
	switch {
	case err != nil:
		return err
	case found == torn:
		return d.remove(ctx, recordPath(d.seen.key))
	case found == noRecord:
		return nil
	}
	if d.seen.ours() {
		if _, err := d.reserveFor(ctx, d.seen.key, d.id.Dir); err != nil {
			return fmt.Errorf("%w: giving directory %q back to volume %q: %w", volume.ErrUnavailable, d.id.Dir, d.id.Name(), err)
		}
	}
	return fmt.Errorf("%w: somebody is just making volume %q", volume.ErrBusy, d.id.Name())
}

// clear does to the directory what the policy says.
func (d *deletion) clear(ctx context.Context) error {
	info := d.seen.info
	switch {
	case d.policy == volume.Retain:
		return nil
	case info == nil && d.policy.Archives():
		return d.finishArchive(ctx)
	case info == nil:
		d.purger.wake() // an earlier try may have moved it to the trash without knowing
		return d.dispose(ctx, aside{})
	case !info.IsDir():
		return fmt.Errorf("%w: %q of volume %q is %s and not a directory: somebody replaced it; move it away",
			volume.ErrInvalid, d.id.Dir, d.id.Name(), typeName(info))
	}
	if d.seen.found != whole {
		if err := d.checkAlone(ctx); err != nil {
			return err
		}
	}
	if err := d.layout.ensure(ctx, d.fs); err != nil {
		return err
	}
	if d.policy.Archives() {
		return d.archive(ctx)
	}
	return d.trash(ctx)
}

// checkAlone guards other volumes against a handle that no record confirms.
func (d *deletion) checkAlone(ctx context.Context) error {
	if d.seen.above != "" {
		return fmt.Errorf("%w: directory %q is inside that of volume %q: nothing is deleted", volume.ErrInvalid, d.id.Dir, d.seen.above)
	}
	var owner string
	err := together(
		func() (err error) { owner, err = d.below(ctx, d.seen.key, d.id.Dir); return err },
		func() error { return d.notShare(ctx, d.id.Dir) },
	)
	if err == nil && owner != "" {
		err = fmt.Errorf("%w: the directory of volume %q is below %q: nothing is deleted", volume.ErrInvalid, owner, d.id.Dir)
	}
	return err
}

// move renames the directory. That it is gone is fine: an earlier request whose reply was lost has done it.
func (d *deletion) move(ctx context.Context, target string) (moved bool, err error) {
	err = d.fs.Rename(ctx, string(d.id.Dir), target)
	if errors.Is(err, fs.ErrNotExist) {
		info, looked := d.lstat(ctx, string(d.id.Dir))
		if looked != nil || info == nil {
			return false, looked
		}
		d.layout.forget() // it is the target's parent that is missing
		return false, fmt.Errorf("%w: moving directory %q to %q: %w", volume.ErrUnavailable, d.id.Dir, target, err)
	}
	if errors.Is(err, syscall.EXDEV) {
		return false, fmt.Errorf("%w: directory %q is on another file system of the server than %q, so it cannot be moved there: "+
			"remove its content by hand, then the volume: %w", volume.ErrUnsupported, d.id.Dir, target, err)
	}
	if err != nil {
		return false, fmt.Errorf("moving directory %q to %q: %w", d.id.Dir, target, err)
	}
	return true, nil
}
