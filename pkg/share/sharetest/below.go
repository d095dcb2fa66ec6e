package sharetest

import (
	"context"
	"io/fs"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
)

// Below makes a share of its own of a directory of another, so that many tests fit on one export.
func Below(fsys share.FS, dir string) share.FS { return &below{fsys, dir} }

type below struct {
	fs  share.FS
	dir string
}

// in names what is called name here.
func (b *below) in(name string) string {
	if name == "." {
		return b.dir
	}
	return b.dir + "/" + name
}

func (b *below) Mkdir(ctx context.Context, name string, perm fs.FileMode, uid, gid int) error {
	return b.fs.Mkdir(ctx, b.in(name), perm, uid, gid)
}

func (b *below) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	return b.fs.ReadDir(ctx, b.in(name))
}

func (b *below) Rename(ctx context.Context, oldName, newName string) error {
	return b.fs.Rename(ctx, b.in(oldName), b.in(newName))
}

func (b *below) Remove(ctx context.Context, name string) error { return b.fs.Remove(ctx, b.in(name)) }

func (b *below) RemoveAll(ctx context.Context, name string, progress func(files, bytes int64)) error {
	return b.fs.RemoveAll(ctx, b.in(name), progress)
}

func (b *below) CopyTree(ctx context.Context, from, to string, progress func(files, bytes int64)) error {
	return b.fs.CopyTree(ctx, b.in(from), b.in(to), progress)
}

func (b *below) ReadFile(ctx context.Context, name string, limit int64) ([]byte, error) {
	return b.fs.ReadFile(ctx, b.in(name), limit)
}

func (b *below) CreateFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	return b.fs.CreateFile(ctx, b.in(name), data, perm)
}

func (b *below) Symlink(ctx context.Context, target, name string) error {
	return b.fs.Symlink(ctx, target, b.in(name))
}

func (b *below) Readlink(ctx context.Context, name string) (string, error) {
	return b.fs.Readlink(ctx, b.in(name))
}

func (b *below) Lstat(ctx context.Context, name string) (fs.FileInfo, error) {
	return b.fs.Lstat(ctx, b.in(name))
}

func (b *below) Chmod(ctx context.Context, name string, perm fs.FileMode) error {
	return b.fs.Chmod(ctx, b.in(name), perm)
}

func (b *below) Chown(ctx context.Context, name string, uid, gid int) error {
	return b.fs.Chown(ctx, b.in(name), uid, gid)
}

func (b *below) Space(ctx context.Context) (total, free, available uint64, err error) {
	return b.fs.Space(ctx)
}

func (b *below) ReadAt(ctx context.Context, name string, data []byte, offset int64) (int, error) {
	return b.fs.ReadAt(ctx, b.in(name), data, offset)
}

func (b *below) WriteAt(ctx context.Context, name string, data []byte, offset int64) error {
	return b.fs.WriteAt(ctx, b.in(name), data, offset)
}

func (b *below) Link(ctx context.Context, oldName, newName string) error {
	return b.fs.Link(ctx, b.in(oldName), b.in(newName))
}

func (b *below) Mknod(ctx context.Context, name string, mode fs.FileMode, major, minor uint32) error {
	return b.fs.Mknod(ctx, b.in(name), mode, major, minor)
}

func (b *below) Chtimes(ctx context.Context, name string, accessed, modified time.Time) error {
	return b.fs.Chtimes(ctx, b.in(name), accessed, modified)
}
