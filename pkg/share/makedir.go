package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// undoTimeout bounds taking back what a failed creation made; it runs even when the caller has gone.
const undoTimeout = 10 * time.Second

// confirmedFor is how long after looking at record and reservation the directory may come without another look. A deletion that
// gets in between needs several round trips.
const confirmedFor = 5 * time.Second

// makeReserved makes the volume's directory, and looks at the same time whether another process is just deleting the volume.
func (c *creation) makeReserved(ctx context.Context) error {
	if len(c.record.Dir.Parents()) > 0 {
		return c.makeNested(ctx)
	}
	began := time.Now()
	var reserved error
	err := together(
		func() error { return c.makeDir(ctx) },
		func() error { reserved = c.confirmReserved(ctx); return nil },
	)
	if err == nil && reserved == nil && time.Since(began) > confirmedFor {
		reserved = c.confirmReserved(ctx)
	}
	if err == nil {
		err = reserved
	}
	return err
}

// makeNested looks afterwards, at the same time as for a volume above, see checkAbove.
func (c *creation) makeNested(ctx context.Context) error {
	if err := c.makeDir(ctx); err != nil {
		return err
	}
	var reserved error
	err := together(
		func() error { return c.checkAbove(ctx) },
		func() error { reserved = c.confirmReserved(ctx); return nil },
	)
	if err == nil {
		err = reserved
	}
	return err
}

// makeDir makes the volume's directory, and what is missing above it.
func (c *creation) makeDir(ctx context.Context) error {
	dir, class := c.record.Dir, c.request.Class
	for range creationAttempts {
		err := c.fs.Mkdir(ctx, string(dir), class.Mode, class.UID, class.GID)
		switch {
		case err == nil:
			c.dropDir = true
			return nil
		case errors.Is(err, fs.ErrExist):
			return c.madeMeanwhile(ctx)
		case errors.Is(err, fs.ErrNotExist) && len(dir.Parents()) > 0:
			if err := c.makeParents(ctx); err != nil {
				return err
			}
		default:
			return fmt.Errorf("creating directory %q: %w", dir, err)
		}
	}
	return fmt.Errorf("%w: somebody else keeps removing the directory above %q", volume.ErrBusy, dir)
}

func (c *creation) makeParents(ctx context.Context) error {
	for _, p := range c.record.Dir.Parents() {
		made, err := c.makeParent(ctx, p)
		if err != nil {
			return err
		}
		if made {
			c.dropParents = append(c.dropParents, p)
		}
	}
	return nil
}

// makeParent makes a directory above a volume's or an archive's, if it is not there.
func (s *share) makeParent(ctx context.Context, dir volume.Dir) (made bool, err error) {
	err = s.fs.Mkdir(ctx, string(dir), parentMode, -1, -1)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrExist):
		return false, nil
	}
	return false, fmt.Errorf("creating directory %q: %w", dir, err)
}

// removeEmpty removes a directory that was made above another, or for the volume with the given key, if there is nothing in it.
// Another volume may just have got it: that one reserves it and then looks whether it is still there, we remove it and then
// look whether it is reserved. So one of the two sees the other, and what was there, which was empty, is made again.
func (s *share) removeEmpty(ctx context.Context, key string, dir volume.Dir) error {
	err := s.fs.Remove(ctx, string(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return fmt.Errorf("removing the empty directory %q: %w", dir, err)
	}
	owner, err := s.reservedFor(ctx, dir)
	if err != nil || owner == "" || owner == key {
		return err
	}
	_, err = s.makeParent(ctx, dir)
	return err
}

// checkAbove looks once more for a volume above. Whoever makes a volume there reserves its directory before making
// it, and we looked before; now that ours is made, either we see that reservation or the other one sees ours.
func (c *creation) checkAbove(ctx context.Context) error {
	owner, err := c.aboveOwner(ctx, c.seen.key, c.record.Dir)
	if err == nil && owner != "" {
		err = c.nested(owner)
	}
	return err
}

// aboveOwner answers the key of another volume than key's that has a directory above dir, "" if none has.
func (s *share) aboveOwner(ctx context.Context, key string, dir volume.Dir) (string, error) {
	parents := dir.Parents()
	owners := make([]string, len(parents))
	calls := make([]func() error, len(parents))
	for i, p := range parents {
		calls[i] = func() (err error) { owners[i], err = s.reservedFor(ctx, p); return err }
	}
	if err := together(calls...); err != nil {
		return "", err
	}
	for _, owner := range owners {
		if owner != "" && owner != key {
			return owner, nil
		}
	}
	return "", nil
}

// madeMeanwhile judges a directory that was not there when we looked and is there now that it is reserved for us. If
// it is as we would have made it, it is our own: another process, whose lease is over, makes the same volume.
func (c *creation) madeMeanwhile(ctx context.Context) error {
	dir, class := string(c.record.Dir), c.request.Class
	info, err := c.lstat(ctx, dir)
	switch {
	case err != nil:
		return err
	case info == nil:
		return errChanged
	case !info.IsDir() || !madeAs(info, class):
		return c.appeared()
	}
	content, err := c.fs.ReadDir(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return errChanged
	}
	if err != nil {
		return fmt.Errorf("listing directory %q: %w", dir, err)
	}
	if len(content) > 0 {
		return c.appeared()
	}
	return c.checkBelow(ctx)
}

func (c *creation) appeared() error {
	return fmt.Errorf("%w: somebody else made %q on the share while the volume was being made", volume.ErrExists, c.record.Dir)
}

// madeAs says whether a directory has the mode and the owner of a class.
func madeAs(info fs.FileInfo, class volume.Class) bool {
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if info.Mode()&bits != class.Mode&bits {
		return false
	}
	owned, ok := info.Sys().(interface{ Owner() (uid, gid uint32) })
	if !ok {
		return class.UID == -1 && class.GID == -1
	}
	uid, gid := owned.Owner()
	return (class.UID == -1 || class.UID == int(uid)) && (class.GID == -1 || class.GID == int(gid))
}

// adopt takes a directory as it is, unless other volumes are in it. It may have gone just before it was reserved, with the
// volume or the archive that it was.
func (c *creation) adopt(ctx context.Context) error {
	return together(
		func() error { return c.checkBelow(ctx) },
		func() error { return c.notShare(ctx, c.record.Dir) },
		func() error { return c.confirmReserved(ctx) },
		func() error {
			info, err := c.lstat(ctx, string(c.record.Dir))
			if err == nil && (info == nil || !info.IsDir()) {
				err = errChanged
			}
			return err
		},
	)
}

// checkBelow looks for volumes below the directory, once it is reserved, for the same reason as checkAbove.
func (c *creation) checkBelow(ctx context.Context) error {
	owner, err := c.below(ctx, c.seen.key, c.record.Dir)
	if err == nil && owner != "" {
		err = c.holdsOther(owner)
	}
	return err
}

func (c *creation) holdsOther(owner string) error {
	return fmt.Errorf("%w: the directory of volume %q is below %q: give each volume a directory of its own (subDir)", volume.ErrExists, owner, c.record.Dir)
}

// notShare refuses a directory that is itself a share with volumes.
func (s *share) notShare(ctx context.Context, dir volume.Dir) error {
	info, err := s.lstat(ctx, string(dir)+"/"+volume.Reserved)
	if err == nil && info != nil {
		err = fmt.Errorf("%w: directory %q holds %q, so it is a share of volumes and not a volume", volume.ErrExists, dir, volume.Reserved)
	}
	return err
}

// undo takes back what the creation made, and what an earlier call for the same volume left unfinished.
func (c *creation) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if c.request.Source != nil {
		if err := c.undoFill(ctx); err != nil {
			return err
		}
	}
	if c.dropDir {
		if err := c.remove(ctx, string(c.record.Dir)); err != nil {
			return err
		}
	}
	empty := c.dropParents
	if c.dropEmpty {
		empty = append(empty, c.record.Dir)
	}
	for _, p := range slices.Backward(empty) {
		if err := c.removeEmpty(ctx, c.seen.key, p); err != nil {
			return err
		}
	}
	return together(
		func() error { return c.removeIf(ctx, c.dropRecord, recordPath(c.seen.key)) },
		func() error {
			if !c.dropLink {
				return nil
			}
			return c.unreserve(ctx, c.seen.key, c.record.Dir)
		},
	)
}

func (s *share) removeIf(ctx context.Context, drop bool, name string) error {
	if !drop {
		return nil
	}
	return s.remove(ctx, name)
}
