package nfs

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"syscall"
)

// largestCopied is the longest file that CopyTree takes.
const largestCopied = 256 << 20

// CopyTree copies the directory from to the new name to, with directories, files and links, their owners and modes. A
// tree with anything else in it, or with a longer file than 256 MiB, matches syscall.ENOTSUP.
func (f *FS) CopyTree(ctx context.Context, from, to string, progress func(files, bytes int64)) error {
	c := &treeCopy{FS: f, progress: progress}
	info, err := f.Lstat(ctx, from)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("copying %q: %w", from, syscall.ENOTDIR)
	}
	if err != nil {
		return err
	}
	c.fsid = info.Sys().(*Attr).FSID
	return c.dir(ctx, from, to, info)
}

type treeCopy struct {
	*FS
	fsid         any
	files, bytes int64
	progress     func(files, bytes int64)
}

func (c *treeCopy) dir(ctx context.Context, from, to string, info fs.FileInfo) error {
	if info.Sys().(*Attr).FSID != c.fsid {
		return fmt.Errorf("%q is another file system: %w", from, syscall.EXDEV)
	}
	if err := c.Mkdir(ctx, to, 0o700, -1, -1); err != nil {
		return err
	}
	infos, err := c.ReadDir(ctx, from)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if err := c.entry(ctx, path.Join(from, info.Name()), path.Join(to, info.Name()), info); err != nil {
			return err
		}
	}
	return c.finish(ctx, to, info)
}

func (c *treeCopy) entry(ctx context.Context, from, to string, info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return c.dir(ctx, from, to, info)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := c.Readlink(ctx, from)
		if err == nil {
			err = c.Symlink(ctx, target, to)
		}
		if err != nil {
			return err
		}
	case info.Mode().IsRegular() && info.Size() <= largestCopied && info.Sys().(*Attr).Nlink == 1:
		data, err := c.ReadFile(ctx, from, largestCopied)
		if err == nil {
			err = c.CreateFile(ctx, to, data, 0o600)
		}
		if err != nil {
			return err
		}
		c.bytes += int64(len(data))
	default:
		return fmt.Errorf("copying %q: %w", from, syscall.ENOTSUP)
	}
	return c.finish(ctx, to, info)
}

func (c *treeCopy) finish(ctx context.Context, to string, info fs.FileInfo) error {
	attr := info.Sys().(*Attr)
	if err := c.Chown(ctx, to, int(attr.UID), int(attr.GID)); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		if err := c.Chmod(ctx, to, info.Mode()); err != nil {
			return err
		}
	}
	c.files++
	if c.progress != nil {
		c.progress(c.files, c.bytes)
	}
	return nil
}
