package sharetest

import (
	"context"
	"io/fs"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
)

// Call is one call of an FS: the method's name and its arguments that name files, a link's target first.
type Call struct {
	Op    string
	Names [2]string
	Err   error // what the FS has answered, for After
}

// Hooked is an FS that asks before and tells after each call, so that tests can watch it, slow it down, or let it
// fail. An error of Before keeps the call from being made; one of After takes the place of a result that the FS has
// already acted on, as when a reply is lost. Both may be nil.
type Hooked struct {
	FS     share.FS
	Before func(ctx context.Context, c Call) error
	After  func(ctx context.Context, c Call) error
}

func (h *Hooked) call(ctx context.Context, op, first, second string, do func() error) error {
	c := Call{Op: op, Names: [2]string{first, second}}
	if h.Before != nil {
		if err := h.Before(ctx, c); err != nil {
			return err
		}
	}
	err := do()
	c.Err = err
	if h.After != nil {
		if lost := h.After(ctx, c); lost != nil {
			return lost
		}
	}
	return err
}

// Mkdir implements share.FS, as do all the following.
func (h *Hooked) Mkdir(ctx context.Context, name string, perm fs.FileMode, uid, gid int) error {
	return h.call(ctx, "Mkdir", name, "", func() error { return h.FS.Mkdir(ctx, name, perm, uid, gid) })
}

func (h *Hooked) ReadDir(ctx context.Context, name string) (infos []fs.FileInfo, err error) {
	err = h.call(ctx, "ReadDir", name, "", func() (err error) { infos, err = h.FS.ReadDir(ctx, name); return err })
	return infos, err
}

func (h *Hooked) Rename(ctx context.Context, oldName, newName string) error {
	return h.call(ctx, "Rename", oldName, newName, func() error { return h.FS.Rename(ctx, oldName, newName) })
}

func (h *Hooked) Remove(ctx context.Context, name string) error {
	return h.call(ctx, "Remove", name, "", func() error { return h.FS.Remove(ctx, name) })
}

func (h *Hooked) RemoveAll(ctx context.Context, name string, progress func(files, bytes int64)) error {
	return h.call(ctx, "RemoveAll", name, "", func() error { return h.FS.RemoveAll(ctx, name, progress) })
}

func (h *Hooked) CopyTree(ctx context.Context, from, to string, progress func(files, bytes int64)) error {
	return h.call(ctx, "CopyTree", from, to, func() error { return h.FS.CopyTree(ctx, from, to, progress) })
}

func (h *Hooked) ReadFile(ctx context.Context, name string, limit int64) (data []byte, err error) {
	err = h.call(ctx, "ReadFile", name, "", func() (err error) { data, err = h.FS.ReadFile(ctx, name, limit); return err })
	return data, err
}

func (h *Hooked) CreateFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	return h.call(ctx, "CreateFile", name, "", func() error { return h.FS.CreateFile(ctx, name, data, perm) })
}

func (h *Hooked) Symlink(ctx context.Context, target, name string) error {
	return h.call(ctx, "Symlink", target, name, func() error { return h.FS.Symlink(ctx, target, name) })
}

func (h *Hooked) Readlink(ctx context.Context, name string) (target string, err error) {
	err = h.call(ctx, "Readlink", name, "", func() (err error) { target, err = h.FS.Readlink(ctx, name); return err })
	return target, err
}

func (h *Hooked) Lstat(ctx context.Context, name string) (info fs.FileInfo, err error) {
	err = h.call(ctx, "Lstat", name, "", func() (err error) { info, err = h.FS.Lstat(ctx, name); return err })
	return info, err
}

func (h *Hooked) Chmod(ctx context.Context, name string, perm fs.FileMode) error {
	return h.call(ctx, "Chmod", name, "", func() error { return h.FS.Chmod(ctx, name, perm) })
}

func (h *Hooked) Chown(ctx context.Context, name string, uid, gid int) error {
	return h.call(ctx, "Chown", name, "", func() error { return h.FS.Chown(ctx, name, uid, gid) })
}

func (h *Hooked) Space(ctx context.Context) (total, free, available uint64, err error) {
	err = h.call(ctx, "Space", ".", "", func() (err error) { total, free, available, err = h.FS.Space(ctx); return err })
	return total, free, available, err
}

func (h *Hooked) ReadAt(ctx context.Context, name string, data []byte, offset int64) (n int, err error) {
	err = h.call(ctx, "ReadAt", name, "", func() (err error) { n, err = h.FS.ReadAt(ctx, name, data, offset); return err })
	return n, err
}

func (h *Hooked) WriteAt(ctx context.Context, name string, data []byte, offset int64) error {
	return h.call(ctx, "WriteAt", name, "", func() error { return h.FS.WriteAt(ctx, name, data, offset) })
}

func (h *Hooked) Link(ctx context.Context, oldName, newName string) error {
	return h.call(ctx, "Link", oldName, newName, func() error { return h.FS.Link(ctx, oldName, newName) })
}

func (h *Hooked) Mknod(ctx context.Context, name string, mode fs.FileMode, major, minor uint32) error {
	return h.call(ctx, "Mknod", name, "", func() error { return h.FS.Mknod(ctx, name, mode, major, minor) })
}

func (h *Hooked) Chtimes(ctx context.Context, name string, accessed, modified time.Time) error {
	return h.call(ctx, "Chtimes", name, "", func() error { return h.FS.Chtimes(ctx, name, accessed, modified) })
}
