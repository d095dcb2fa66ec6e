package making

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// copyDir makes the volume's directory of its source: a copy in staging, its name in the record, the move into place. A
// crash between these leaves a record from which the next try knows which of them is next.
func (c *creation) copyDir(ctx context.Context) error {
	if err := c.checkSource(); err != nil {
		return err
	}
	if err := c.Remover.DisposeHeld(ctx, c.record); err != nil {
		return err
	}
	staged, err := c.Copier.Copy(ctx, c.seen.Key, c.origin, c.wanted, c.progress)
	if err != nil {
		return err
	}
	class := c.request.Class
	mode := &class.Mode
	if !class.ModeGiven {
		mode = nil // the source's, as is the owner
	}
	if err := c.ChangeDir(ctx, registry.StagingDir+"/"+staged, mode, class.UID, class.GID); err != nil {
		c.Copier.Abandon(ctx, c.seen.Key, staged)
		return c.overtaken(err)
	}
	r := c.record
	r.Copy = staged
	if err := c.Rewrite(ctx, r); err != nil {
		return c.overtaken(err) // and the copy stays, since the record may name it
	}
	c.record = r
	return c.place(ctx)
}

// overtaken says what it means that something of ours has gone: another process makes or deletes the volume.
func (c *creation) overtaken(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, registry.ErrChanged) || errors.Is(err, volume.ErrNotFound) {
		return fmt.Errorf("%w: somebody else makes or deletes volume %q: %v", volume.ErrUnavailable, c.record.Name, err)
	}
	return err
}

// checkSource refuses a source that is not there, or that does not fit.
func (c *creation) checkSource() error {
	if c.originErr != nil {
		return c.originErr
	}
	if has := c.record.CapacityBytes; has < c.origin.Bytes {
		return fmt.Errorf("%w: %d bytes are asked for, the source of volume %q has %d", volume.ErrRange, has, c.record.Name, c.origin.Bytes)
	}
	return nil
}

// wanted looks whether the volume is still to be made here, and whether its source is still what it was.
func (c *creation) wanted(ctx context.Context) error {
	var info fs.FileInfo
	err := registry.Together(
		func() error { return c.Copier.Unchanged(ctx, *c.request.Source, c.origin) },
		func() error { return c.stillOurs(ctx) },
		func() (err error) { info, err = c.Lstat(ctx, string(c.record.Dir)); return err },
	)
	if err == nil && info != nil {
		err = c.filledMeanwhile(ctx)
	}
	return err
}

// filledMeanwhile says what it means that something has the directory's name: it is somebody else's, unless another
// process has made it of a copy of its own. That one has changed the record before.
func (c *creation) filledMeanwhile(ctx context.Context) error {
	r, found, err := c.ReadRecord(ctx, c.seen.Key)
	switch {
	case err != nil:
		return err
	case found != registry.Whole || r != c.record:
		return registry.ErrChanged
	}
	return c.appeared()
}

// stillOurs looks whether record and reservation are as we left them.
func (c *creation) stillOurs(ctx context.Context) error {
	var r volume.Record
	var found registry.Found
	var owner string
	err := registry.Together(
		func() (err error) { r, found, err = c.ReadRecord(ctx, c.seen.Key); return err },
		func() (err error) { owner, err = c.ReservedFor(ctx, c.record.Dir); return err },
	)
	if err != nil {
		return err
	}
	if found != registry.Whole || owner != c.seen.Key || r.Dir != c.record.Dir || r.Copy != c.record.Copy || !r.Created.Equal(c.record.Created) {
		return fmt.Errorf("%w: volume %q is no longer to be made: somebody deleted it", volume.ErrBusy, c.record.Name)
	}
	return nil
}

// place moves the copy that the record names to the volume's directory.
func (c *creation) place(ctx context.Context) error {
	staged, dir := registry.StagingDir+"/"+c.record.Copy, string(c.record.Dir)
	for range registry.Attempts {
		err := c.FS.Rename(ctx, staged, dir)
		switch {
		case err == nil:
			c.dropTree = true
			return c.confirmPlace(ctx)
		case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
			return c.occupied(ctx)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("moving the copy to %q: %w", dir, err)
		}
		info, looked := c.Lstat(ctx, staged)
		switch {
		case looked != nil:
			return looked
		case info == nil:
			return c.overtaken(err)
		}
		if err := c.makeParents(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: somebody else keeps removing the directory above %q", volume.ErrBusy, dir)
}

// occupied judges what has the directory's name while our copy waits for it. Another process may have filled the volume at the same
// moment, and each have written its record over the other's: then what is there is a copy as ours, and the volume is complete.
func (c *creation) occupied(ctx context.Context) error {
	refusal := c.filledMeanwhile(ctx)
	if !errors.Is(refusal, volume.ErrExists) {
		return refusal
	}
	same, err := c.sameListing(ctx, string(c.record.Dir), registry.StagingDir+"/"+c.record.Copy)
	if err != nil {
		return c.overtaken(err)
	}
	if !same {
		return refusal
	}
	c.dropTree = true
	c.Copier.Abandon(ctx, c.seen.Key, c.record.Copy) // without it the record says that the directory is filled
	return c.confirmPlace(ctx)
}

// sameListing says whether two directories look the same and hold the same names, which do too. Nobody has used a copy that has just
// come into place.
func (c *creation) sameListing(ctx context.Context, a, b string) (bool, error) {
	var looks [2][]string
	for i, dir := range []string{a, b} {
		info, err := c.FS.Lstat(ctx, dir)
		if err != nil {
			return false, err
		}
		if !info.IsDir() {
			return false, nil
		}
		infos, err := c.FS.ReadDir(ctx, dir)
		if err != nil {
			return false, err
		}
		looks[i] = append(looks[i], fmt.Sprint(info.Mode()))
		for _, in := range infos {
			looks[i] = append(looks[i], in.Name()+" "+look(in))
		}
	}
	return slices.Equal(looks[0], looks[1]), nil
}

// look is what every copy keeps of a file or directory on every server.
func look(info fs.FileInfo) string {
	switch {
	case info.Mode().IsRegular():
		return fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
	case info.IsDir():
		return fmt.Sprint(info.Mode(), info.ModTime().UnixNano())
	}
	return fmt.Sprint(info.Mode())
}

// confirmPlace looks for a volume above, and whether another process deleted this one just before it came into place:
// nobody would ever remove it then.
func (c *creation) confirmPlace(ctx context.Context) error {
	var gone error
	err := registry.Together(
		func() error { return c.checkAbove(ctx) },
		func() error { gone = c.stillOurs(ctx); return nil },
		func() error { c.MarkParents(ctx, c.dropParents); return nil },
	)
	if err == nil && errors.Is(gone, volume.ErrBusy) {
		if err := c.Remover.Retire(ctx, c.record); err != nil {
			return err
		}
	}
	if err == nil {
		err = gone
	}
	return err
}

// resumeFilled completes a volume with a source that an earlier call began, or finds it complete.
func (c *creation) resumeFilled(ctx context.Context) error {
	c.dropRecord, c.dropLink = true, true // what follows is refused for good only if there is no volume
	if c.seen.Above != "" {
		return c.nested(c.seen.Above)
	}
	if c.record.Copy == "" {
		if c.seen.Info != nil {
			return c.filledMeanwhile(ctx)
		}
		return c.copyDir(ctx)
	}
	copies, err := c.ListStaging(ctx)
	staged := slices.ContainsFunc(copies, func(i fs.FileInfo) bool { return i.Name() == c.record.Copy })
	switch {
	case err != nil:
		return err
	case staged && c.seen.Info != nil:
		return c.occupied(ctx)
	case staged:
		return c.place(ctx)
	case c.seen.Info == nil:
		return c.copyAgain(ctx)
	case !c.seen.Info.IsDir():
		c.dropRecord, c.dropLink = false, false
		return fmt.Errorf("%w: directory %q of volume %q is now %s: somebody replaced it; move it away",
			volume.ErrExists, c.record.Dir, c.record.Name, registry.TypeName(c.seen.Info))
	}
	return c.ClearListed(ctx, copies, registry.OfVolume, c.seen.Key) // copies of processes that were slower
}

// copyAgain fills a directory that somebody took away, or finds that the copy has just come into its place. Until there
// is a new copy the record must not say that there is one.
func (c *creation) copyAgain(ctx context.Context) error {
	info, err := c.Lstat(ctx, string(c.record.Dir))
	if err != nil {
		return err
	}
	if info != nil {
		return registry.ErrChanged
	}
	c.record.Copy = ""
	if err := c.Rewrite(ctx, c.record); err != nil {
		return c.overtaken(err)
	}
	return c.copyDir(ctx)
}

// undoFill takes back what a volume with a source has come to. The record goes first: without the copy that it names
// it would say that the directory is filled.
func (c *creation) undoFill(ctx context.Context) error {
	if c.dropTree {
		if err := c.Remover.Retire(ctx, c.record); err != nil {
			return err
		}
	}
	if !c.dropRecord {
		return nil
	}
	if err := c.Remove(ctx, registry.RecordPath(c.seen.Key)); err != nil {
		return err
	}
	return c.ClearStaging(ctx, registry.OfVolume, c.seen.Key)
}
