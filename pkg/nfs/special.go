package nfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// Link gives a file one more name. A directory is an error.
func (f *FS) Link(ctx context.Context, oldname, newname string) error {
	from, err := splitNew(oldname)
	to, errTo := splitNew(newname)
	return f.call(ctx, "link", errors.Join(err, errTo), func() error {
		h, attr, err := f.client.Lookup(ctx, &f.cred, from)
		if err == nil && attr.IsDir() {
			err = syscall.EPERM
		}
		if err != nil {
			return err
		}
		return f.in(ctx, to, func(dir file.Handle, name string) error {
			err := f.client.LinkIn(ctx, &f.cred, h, dir, name)
			if status.Is(err, status.Exist) && status.MaybeOurs(err, "LINK") {
				if there, _, look := f.client.LookupIn(ctx, &f.cred, dir, name); look == nil && there == h {
					return nil
				}
			}
			return err
		})
	}, oldname, newname)
}

// in finds the directory of a path.
func (f *FS) in(ctx context.Context, path []string, do func(dir file.Handle, name string) error) error {
	last := len(path) - 1
	dir, attr, err := f.client.Lookup(ctx, &f.cred, path[:last])
	if err == nil && !attr.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return err
	}
	return do(dir, path[last])
}

// Mknod makes a FIFO, a socket or a device node, as the type bits of mode say, with exactly the permission bits; the numbers
// are a device's. Another type matches fs.ErrInvalid.
func (f *FS) Mknod(ctx context.Context, name string, mode fs.FileMode, major, minor uint32) error {
	path, err := splitNew(name)
	n := file.Node{Type: mode.Type(), Mode: file.Bits(mode)}
	switch {
	case n.Type&fs.ModeDevice != 0:
		n.Major, n.Minor = major, minor
	case n.Type != fs.ModeNamedPipe && n.Type != fs.ModeSocket:
		err = errors.Join(err, fmt.Errorf("%v is no special file: %w", mode, fs.ErrInvalid))
	}
	return f.call(ctx, "mknod", err, func() error {
		return f.in(ctx, path, func(dir file.Handle, name string) error {
			n.Name = name
			return f.mknod(ctx, dir, n)
		})
	}, name)
}

func (f *FS) mknod(ctx context.Context, dir file.Handle, n file.Node) error {
	h, attr, err := f.client.MakeIn(ctx, &f.cred, dir, n)
	if status.MaybeOurs(err, "CREATE", "MKNOD") {
		there, a, look := f.client.LookupIn(ctx, &f.cred, dir, n.Name)
		if look == nil && a.Type == n.Type && f.ours(a, file.Set{UID: -1}) {
			h, attr, err = there, a, nil
		}
	}
	if err == nil && attr.Mode != n.Mode { // a umask or an ACL took something away
		_, err = f.client.SetattrOf(ctx, &f.cred, h, file.Set{Mode: &n.Mode, UID: -1, GID: -1})
	}
	return err
}

// Chtimes sets when something was read and changed last, of a link itself; a zero time is left as it is.
func (f *FS) Chtimes(ctx context.Context, name string, accessed, modified time.Time) error {
	path, err := split(name)
	return f.call(ctx, "chtimes", err, func() error {
		_, err := f.client.Setattr(ctx, &f.cred, path, file.Set{UID: -1, GID: -1, Atime: accessed, Mtime: modified})
		return err
	}, name)
}

// WriteAt writes into a regular file that is there, which becomes longer if need be. The data is on stable storage when it
// returns.
func (f *FS) WriteAt(ctx context.Context, name string, data []byte, offset int64) error {
	path, err := splitNew(name)
	if offset < 0 {
		err = errors.Join(err, fmt.Errorf("offset %d: %w", offset, fs.ErrInvalid))
	}
	return f.call(ctx, "write", err, func() error {
		h, attr, err := f.client.Lookup(ctx, &f.cred, path)
		if err != nil {
			return err
		}
		if err := writable(attr); err != nil {
			return err
		}
		for tries := 1; ; tries++ {
			c := &file.Copy{To: h}
			if err := f.writeAll(ctx, c, data, uint64(offset)); err != nil || !c.Lost {
				return err
			}
			if tries == creates {
				return fmt.Errorf("the server loses what is written again and again: %w", syscall.EIO)
			}
		}
	}, name)
}

func writable(attr file.Attr) error {
	switch attr.Type {
	case 0:
		return nil
	case fs.ModeDir:
		return syscall.EISDIR
	case fs.ModeSymlink:
		return syscall.ELOOP
	}
	return fs.ErrInvalid
}

func (f *FS) writeAll(ctx context.Context, c *file.Copy, data []byte, offset uint64) error {
	l, err := f.client.Limits(ctx)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		n := min(len(data), l.Chunk)
		if err := f.client.WriteAt(ctx, &f.cred, c, []file.Segment{{Offset: offset, Data: data[:n]}}); err != nil {
			return err
		}
		offset, data = offset+uint64(n), data[n:]
	}
	_, err = f.client.FinishFiles(ctx, &f.cred, []*file.Copy{c}, func(*file.Copy) []file.Set { return nil })
	return err
}
