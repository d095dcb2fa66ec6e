package making

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

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
	err := registry.Together(
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
	err := registry.Together(
		func() error { return c.checkAbove(ctx) },
		func() error { reserved = c.confirmReserved(ctx); return nil },
		func() error { c.MarkParents(ctx, c.dropParents); return nil },
	)
	if err == nil {
		err = reserved
	}
	return err
}

// makeDir makes the volume's directory, and what is missing above it.
func (c *creation) makeDir(ctx context.Context) error {
	dir, class := c.record.Dir, c.request.Class
	for range registry.Attempts {
		err := c.FS.Mkdir(ctx, string(dir), class.Mode, class.UID, class.GID)
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
	made, err := c.MakeParents(ctx, c.record.Dir)
	c.dropParents = append(c.dropParents, made...)
	return err
}

// checkAbove looks once more for a volume above. Whoever makes a volume there reserves its directory before making
// it, and we looked before; now that ours is made, either we see that reservation or the other one sees ours.
func (c *creation) checkAbove(ctx context.Context) error {
	owner, err := c.Above(ctx, c.seen.Key, c.record.Dir)
	if err == nil && owner != "" {
		err = c.nested(owner)
	}
	return err
}

// madeMeanwhile judges a directory that was not there when we looked and is there now that it is reserved for us. If
// it is as we would have made it, it is our own: another process, whose lease is over, makes the same volume.
func (c *creation) madeMeanwhile(ctx context.Context) error {
	info, err := c.Lstat(ctx, string(c.record.Dir))
	switch {
	case err != nil:
		return err
	case info == nil:
		return registry.ErrChanged
	case !info.IsDir() || !madeAs(info, c.request.Class):
		return c.appeared()
	}
	empty, err := c.isEmpty(ctx)
	if err != nil {
		return err
	}
	if !empty {
		return c.appeared()
	}
	return c.checkBelow(ctx)
}

// isEmpty lists the directory, which was there just before.
func (c *creation) isEmpty(ctx context.Context) (bool, error) {
	content, err := c.FS.ReadDir(ctx, string(c.record.Dir))
	if errors.Is(err, fs.ErrNotExist) {
		return false, registry.ErrChanged
	}
	if err != nil {
		return false, fmt.Errorf("listing directory %q: %w", c.record.Dir, err)
	}
	return len(content) == 0, nil
}

// finishDir gives mode and owner to a directory that an earlier call made and could not give them to: some servers take more than
// one step. One in which there is something is in use, and has what its users gave it.
func (c *creation) finishDir(ctx context.Context) error {
	class := c.request.Class
	if madeAs(c.seen.Info, class) {
		return nil
	}
	if empty, err := c.isEmpty(ctx); err != nil || !empty {
		return err
	}
	return c.ChangeDir(ctx, string(c.record.Dir), &class.Mode, class.UID, class.GID)
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

// adopt takes a directory as it is, unless other volumes are in it, or it is in another share, whose volume it may be. It may have
// gone just before it was reserved, with the volume or the archive that it was.
func (c *creation) adopt(ctx context.Context) error {
	return registry.Together(
		func() error { return c.checkBelow(ctx) },
		func() error { return c.UnmarkParent(ctx, c.record.Dir) },
		func() error { return c.NotShare(ctx, c.record.Dir) },
		func() error { return c.NotInShare(ctx, c.record.Dir) },
		func() error { return c.confirmReserved(ctx) },
		func() error {
			info, err := c.Lstat(ctx, string(c.record.Dir))
			if err == nil && (info == nil || !info.IsDir()) {
				err = registry.ErrChanged
			}
			return err
		},
	)
}

// checkBelow looks for volumes below the directory, once it is reserved, for the same reason as checkAbove.
func (c *creation) checkBelow(ctx context.Context) error {
	owner, err := c.Below(ctx, c.seen.Key, c.record.Dir)
	if err == nil && owner != "" {
		err = c.holdsOther(owner)
	}
	return err
}

func (c *creation) holdsOther(owner string) error {
	return fmt.Errorf("%w: the directory of volume %q is below %q: give each volume a directory of its own (subDir)", volume.ErrExists, owner, c.record.Dir)
}

// undo takes back what the creation made, and what an earlier call for the same volume left unfinished.
func (c *creation) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registry.UndoTimeout)
	defer cancel()
	if c.request.Source != nil {
		if err := c.undoFill(ctx); err != nil {
			return err
		}
	}
	if c.dropDir {
		if err := c.Remove(ctx, string(c.record.Dir)); err != nil {
			return err
		}
	}
	empty := c.dropParents
	if c.dropEmpty {
		empty = append(empty, c.record.Dir)
	}
	if err := c.RemoveParents(ctx, c.seen.Key, empty); err != nil {
		return err
	}
	return registry.Together(
		func() error { return c.removeIf(ctx, c.dropRecord, registry.RecordPath(c.seen.Key)) },
		func() error {
			if !c.dropLink {
				return nil
			}
			return c.Unreserve(ctx, c.seen.Key, c.record.Dir)
		},
	)
}

func (s *Maker) removeIf(ctx context.Context, drop bool, name string) error {
	if !drop {
		return nil
	}
	return s.Remove(ctx, name)
}
