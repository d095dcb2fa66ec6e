package removing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// deletion deletes one volume: first the directory goes where the policy says, then the reservation, then the record,
// which knows the policy. In that order each crash leaves a state from which the next try knows what is left to do.
type deletion struct {
	*Remover
	id     volume.ID
	seen   registry.State
	policy volume.Policy
	held   []string // what earlier tries have moved aside, see moveAside
}

// Delete deletes the volume with handle id. A volume without a record is one of a predecessor's, or deleted already.
func (s *Remover) Delete(ctx context.Context, id volume.ID) error {
	var st registry.State
	var held []string
	err := registry.Together(
		func() (err error) { st, err = s.Look(ctx, id.Name(), id.Dir); return err },
		func() (err error) { held, err = s.heldOf(ctx, volume.Key(id.Name())); return err },
	)
	if err == nil && st.Found != registry.Whole && st.Info != nil {
		// A record comes before its directory, but both may have come between our two reads: only a second look is sure.
		st, err = s.Look(ctx, id.Name(), id.Dir)
	}
	if err != nil {
		return err
	}
	d := &deletion{Remover: s, id: id, seen: st, policy: id.Policy, held: held}
	if st.Found == registry.Whole {
		d.policy = st.Record.Policy
		if st.Record.Dir != id.Dir {
			return fmt.Errorf("%w: volume %q has the directory %q, not %q as its handle says: nothing is deleted",
				volume.ErrInvalid, id.Name(), st.Record.Dir, id.Dir)
		}
		if st.Record.Retained {
			return d.end(ctx)
		}
		if err := d.stopFilling(ctx); err != nil {
			return err
		}
	}
	if st.Others() { // our volume is gone, and what is there now is another's
		err = d.completeGone(ctx)
	} else {
		err = d.clear(ctx)
	}
	if err == nil {
		err = d.clearAbove(ctx)
	}
	if err != nil {
		return err
	}
	return d.end(ctx)
}

// clearAbove removes what was made above the directory and is empty now: only while the directory is reserved for the volume, as long as which
// nobody gets one above it, and only for volumes with a record. Those of predecessors leave what is above them.
func (d *deletion) clearAbove(ctx context.Context) error {
	if len(d.id.Dir.Parents()) == 0 || d.seen.Found != registry.Whole || !d.seen.Ours() || d.seen.Above != "" || d.policy == volume.Retain {
		return nil
	}
	var owner string
	var marked []volume.Dir
	err := registry.Together(
		func() (err error) { owner, err = d.ReservedFor(ctx, d.id.Dir); return err },
		func() (err error) { marked, err = d.MarkedAbove(ctx, d.id.Dir); return err },
	)
	if err != nil || owner != d.seen.Key {
		return err
	}
	return d.removeMarked(ctx, d.seen.Key, d.id.Dir, marked)
}

// removeMarked removes marked directories above dir. That one cannot be removed is no reason not to delete a volume: it stays.
func (s *Remover) removeMarked(ctx context.Context, key string, dir volume.Dir, marked []volume.Dir) error {
	err := s.RemoveParents(ctx, key, marked)
	if failure.Definite(err, s.Classify) || errors.Is(err, syscall.EBUSY) {
		s.Log.Warn("an empty directory stays", "location", s.Location.String(), "above", string(dir), "err", err)
		return nil
	}
	return err
}

// completeGone completes what an earlier try has left of a deletion when the directory is another volume's by now.
func (d *deletion) completeGone(ctx context.Context) error {
	if d.policy.Archives() {
		return d.finishArchive(ctx)
	}
	return d.returnHeld(ctx)
}

// end takes away reservation and record.
func (d *deletion) end(ctx context.Context) error {
	if err := d.settleHeld(ctx); err != nil {
		return err
	}
	taken := ""
	if d.seen.Ours() {
		var err error
		if taken, err = d.TakeLink(ctx, d.seen.Key, d.id.Dir); err != nil {
			return err
		}
	}
	return registry.Together(
		func() error {
			if taken == "" {
				return nil
			}
			return d.Settle(ctx, taken, d.id.Dir, d.seen.Key)
		},
		func() error {
			switch {
			case d.seen.Found == registry.Whole:
				return d.endWhole(ctx)
			case d.seen.Found == registry.Torn, d.seen.Ours():
				return d.endUnmade(ctx)
			}
			return nil
		},
	)
}

// endWhole ends the record. Where there was no directory another process may just be making the volume: it looks at record and
// reservation after it has written them, see confirmReserved, and we look after we have removed them.
func (d *deletion) endWhole(ctx context.Context) error {
	if err := d.stillUnfilled(ctx); err != nil {
		return err
	}
	if err := d.EndRecord(ctx, d.seen.Record); err != nil || d.policy == volume.Retain || d.seen.Ours() && d.seen.Info != nil {
		return err
	}
	return d.stillNothing(ctx)
}

// stillNothing looks whether somebody has made the volume's directory, or reserved it, while its deletion went on without one.
func (d *deletion) stillNothing(ctx context.Context) error {
	var owner string
	var info fs.FileInfo
	err := registry.Together(
		func() (err error) { owner, err = d.ReservedFor(ctx, d.id.Dir); return err },
		func() (err error) { info, err = d.Lstat(ctx, string(d.id.Dir)); return err },
	)
	appeared := owner == "" && info != nil && d.seen.Record.Source == ""
	if err == nil && (owner == d.seen.Key || appeared) {
		err = fmt.Errorf("%w: somebody is just making volume %q", volume.ErrBusy, d.id.Name())
	}
	return err
}

// endUnmade ends what has no whole record: a crash has left it, or another process is just making the volume. That one
// writes its record and then looks whether the reservation is still there, see confirmReserved; we have taken that away and
// now look for the record. So one of the two sees the other.
func (d *deletion) endUnmade(ctx context.Context) error {
	_, found, err := d.ReadRecord(ctx, d.seen.Key)
	switch {
	case err != nil:
		return err
	case found == registry.Torn:
		return d.Remove(ctx, registry.RecordPath(d.seen.Key))
	case found == registry.NoRecord && d.policy == volume.Retain:
		return nil
	case found == registry.NoRecord:
		return d.stillNothing(ctx)
	}
	if d.seen.Ours() {
		if _, err := d.Reserve(ctx, d.seen.Key, d.id.Dir); err != nil {
			return fmt.Errorf("%w: giving directory %q back to volume %q: %w", volume.ErrUnavailable, d.id.Dir, d.id.Name(), err)
		}
	}
	return fmt.Errorf("%w: somebody is just making volume %q", volume.ErrBusy, d.id.Name())
}

// clear does to the directory what the policy says.
func (d *deletion) clear(ctx context.Context) error {
	info := d.seen.Info
	switch {
	case d.policy == volume.Retain:
		return d.keep(ctx)
	case info == nil && d.policy.Archives():
		return d.finishArchive(ctx)
	case info == nil:
		d.Wake() // an earlier try may have moved it to the trash without knowing
		return d.disposeHeld(ctx)
	case !info.IsDir():
		return fmt.Errorf("%w: %q of volume %q is %s and not a directory: somebody replaced it; move it away",
			volume.ErrInvalid, d.id.Dir, d.id.Name(), registry.TypeName(info))
	}
	if d.seen.Found != registry.Whole {
		if err := d.checkAlone(ctx); err != nil {
			return err
		}
	}
	if err := d.Ensure(ctx); err != nil {
		return err
	}
	if d.policy.Archives() {
		return d.archive(ctx)
	}
	return d.trash(ctx)
}

// keep leaves the directory where it is. If it was adopted as an archive, inside one, or with some in it, those are none any more: they would
// still go when they are due.
func (d *deletion) keep(ctx context.Context) error {
	for _, dir := range append(d.id.Dir.Parents(), d.id.Dir) {
		if !isArchiveName(dir) {
			continue
		}
		if err := d.Remove(ctx, registry.ArchivePath(dir)); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(string(d.id.Dir), volume.ArchivePrefix) {
		return nil
	}
	all, err := d.Archives(ctx)
	for _, r := range all {
		if err == nil && r.Dir.In(d.id.Dir) {
			err = d.forgetArchive(ctx, r)
		}
	}
	return err
}

// forgetArchive makes a directory in that of a volume no archive any more, to an interrupted removal of it neither. One that goes on finds
// the volume above it, and ends.
func (d *deletion) forgetArchive(ctx context.Context, r Archive) error {
	if err := d.UnreserveExpiring(ctx, r.key(), r.Dir); err != nil {
		return err
	}
	return d.Remove(ctx, registry.ArchivePath(r.Dir))
}

// checkAlone guards other volumes against a handle that no record confirms.
func (d *deletion) checkAlone(ctx context.Context) error {
	if d.seen.Above != "" {
		return fmt.Errorf("%w: directory %q is inside that of volume %q: nothing is deleted", volume.ErrInvalid, d.id.Dir, d.seen.Above)
	}
	var owner string
	err := registry.Together(
		func() (err error) { owner, err = d.Below(ctx, d.seen.Key, d.id.Dir); return err },
		func() error { return d.NotShare(ctx, d.id.Dir) },
	)
	if err == nil && owner != "" {
		err = fmt.Errorf("%w: the directory of volume %q is below %q: nothing is deleted", volume.ErrInvalid, owner, d.id.Dir)
	}
	return err
}

// move renames the directory, which may be aside. That it is gone is fine: an earlier request whose reply was lost has done it.
func (d *deletion) move(ctx context.Context, from, target string) (moved bool, err error) {
	err = d.FS.Rename(ctx, from, target)
	if errors.Is(err, fs.ErrNotExist) {
		info, looked := d.Lstat(ctx, from)
		if looked != nil || info == nil {
			return false, looked
		}
		owner, asked := d.claimant(ctx)
		if asked != nil {
			return false, asked
		}
		if owner != "" {
			return false, d.passedOn(owner)
		}
		d.Forget() // it is the target's parent that is missing
		return false, fmt.Errorf("%w: moving directory %q to %q: %w", volume.ErrUnavailable, from, target, err)
	}
	if errors.Is(err, syscall.EXDEV) {
		return false, fmt.Errorf("%w: directory %q is on another file system of the server than %q, so it cannot be moved there: "+
			"remove its content by hand, then the volume: %w", volume.ErrUnsupported, d.id.Dir, target, err)
	}
	if err != nil {
		return false, fmt.Errorf("moving directory %q to %q: %w", from, target, err)
	}
	return true, nil
}
