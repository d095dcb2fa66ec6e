package removing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Sweep moves the archives that are due to the trash, and answers those that stay and when to look again; zero: none is known to expire.
// When one of them could not be looked at, or held ([volume.ErrBusy]), it answers for the others beside the error. kept is nil and next
// zero when they could not be listed.
func (s *Remover) Sweep(ctx context.Context) (kept []Archive, next time.Time, err error) {
	all, err := s.Archives(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	var errs []error
	kept = []Archive{}
	for _, r := range all {
		gone, err := s.review(ctx, r, all)
		if err != nil {
			errs = append(errs, err)
		}
		if gone {
			continue
		}
		kept = append(kept, r)
		if at := r.comesUp(s.Now()); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return kept, next, errors.Join(errs...)
}

// blockedPause is between two looks at an archive that is due and must stay: what is in its way may go.
const blockedPause = 24 * time.Hour

// comesUp is when an archive that stays is to be looked at next; zero: it never expires.
func (r Archive) comesUp(now time.Time) time.Time {
	if r.Expires.IsZero() || r.Expires.After(now) {
		return r.Expires
	}
	return now.Add(blockedPause)
}

// review does with one of all archives what is due, and says whether it is none any more. A removal of one that is not due, which somebody
// asked for and a crash or he himself has interrupted, is finished where it has moved the archive. Else it is taken back: he knows that it
// was not done.
func (s *Remover) review(ctx context.Context, r Archive, all []Archive) (gone bool, err error) {
	now := s.Now()
	due := !r.Expires.IsZero() && !r.Expires.After(now)
	left, missing := false, false
	if !due {
		if left, missing, err = s.interrupted(ctx, r); err != nil {
			return false, err
		}
	}
	finish := due || missing && (left || now.Sub(r.Archived) >= archiveStale)
	if !finish && !left {
		return false, nil
	}
	release, err := s.Hold(r.Dir)
	if err != nil {
		return false, err
	}
	defer release()
	if !finish {
		return false, s.UnreserveExpiring(ctx, r.key(), r.Dir)
	}
	return s.Expire(ctx, r, all)
}

// interrupted says whether an archive has the reservation of a removal that nobody goes on with, and whether its directory is missing.
func (s *Remover) interrupted(ctx context.Context, r Archive) (left, missing bool, err error) {
	err = registry.Together(
		func() (err error) { left, err = s.LeftExpiring(ctx, r.Dir); return err },
		func() error {
			info, err := s.Lstat(ctx, string(r.Dir))
			missing = err == nil && info == nil
			return err
		},
	)
	return left, missing, err
}

// Expire moves one of all archives to the trash. It reserves the directory first, in a way of its own, so that no volume takes it
// meanwhile and the next sweep goes on with what a crash left. What is not certainly the archive stays.
func (s *Remover) Expire(ctx context.Context, r Archive, all []Archive) (gone bool, err error) {
	owner, err := s.ReserveExpiring(ctx, r.Dir)
	if err != nil {
		return false, err
	}
	if owner != "" {
		rec, found, err := s.ReadRecord(ctx, owner)
		if err != nil || found != registry.Whole || rec.Dir != r.Dir {
			return false, err
		}
		s.Log.Info("an archive that was to be removed is a volume again: it stays", "location", s.Location.String(), "directory", string(r.Dir), "volume", rec.Name)
		return true, s.Remove(ctx, registry.ArchivePath(r.Dir))
	}
	why, info, err := s.inTheWay(ctx, r, all)
	switch {
	case err != nil:
		return false, err // with the reservation: whatever failed will be tried again
	case why != "":
		s.Log.Warn("an archive is not removed although it is due", "location", s.Location.String(), "directory", string(r.Dir), "volume", r.Volume, "why", why)
		return false, s.UnreserveExpiring(ctx, r.key(), r.Dir)
	}
	if err := s.trashArchive(ctx, r, info); err != nil {
		return false, err
	}
	if info != nil {
		s.Log.Info("removing an archive that is due", "location", s.Location.String(), "directory", string(r.Dir), "volume", r.Volume, "archived", r.Archived)
	}
	marked, err := s.MarkedAbove(ctx, r.Dir)
	if err == nil {
		err = s.removeMarked(ctx, r.key(), r.Dir, marked)
	}
	if err != nil {
		return false, err
	}
	if err := s.UnreserveExpiring(ctx, r.key(), r.Dir); err != nil {
		return false, err
	}
	return true, s.Remove(ctx, registry.ArchivePath(r.Dir))
}

// trashArchive moves what is there of an archive, and what an interrupted sweep has moved aside.
func (s *Remover) trashArchive(ctx context.Context, r Archive, info fs.FileInfo) error {
	d := &deletion{Remover: s, id: volume.ID{Location: s.Location, Dir: r.Dir, UUID: r.Volume}, seen: registry.State{Key: r.key(), Info: info}}
	if info == nil {
		return d.disposeHeld(ctx)
	}
	return d.trash(ctx)
}

// inTheWay says why an archive must stay, if it must. info is nil where there is nothing any more. Its record is read once more now that the
// directory is reserved: since it was listed a volume may have taken the archive, and left it as its own.
func (s *Remover) inTheWay(ctx context.Context, r Archive, all []Archive) (why string, info fs.FileInfo, err error) {
	var above, below string
	var archive volume.Dir
	var again Archive
	err = registry.Together(
		func() (err error) { again, _, err = s.ReadArchive(ctx, volume.Key(string(r.Dir))); return err },
		func() (err error) { info, err = s.Lstat(ctx, string(r.Dir)); return err },
		func() (err error) { above, err = s.Above(ctx, "", r.Dir); return err },
		func() (err error) { below, err = s.Below(ctx, "", r.Dir); return err },
		func() (err error) { archive, err = s.archiveBelow(ctx, all, r.Dir); return err },
	)
	switch {
	case err != nil:
		return "", nil, err
	case again != r:
		return "its record has gone or is another one: it was kept when a volume was deleted", info, nil
	case info == nil:
		return "", nil, nil
	case r.Inode == 0 || !r.Is(info):
		return "it is not the directory that was archived, as far as one can tell: move it away or remove it by hand", info, nil
	case above != "":
		return fmt.Sprintf("it is inside volume %q", above), info, nil
	case below != "":
		return fmt.Sprintf("volume %q is inside it", below), info, nil
	case archive != "":
		return fmt.Sprintf("archive %q is inside it", archive), info, nil
	}
	if err := s.NotShare(ctx, r.Dir); errors.Is(err, volume.ErrExists) {
		return err.Error(), info, nil
	} else if err != nil {
		return "", nil, err
	}
	return "", info, nil
}
