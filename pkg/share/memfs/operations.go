package memfs

import (
	"bytes"
	"context"
	"io/fs"
	"path"
	"syscall"
)

// special are the mode bits that Chmod and Mkdir set besides the permissions.
const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// make puts a new node at a free place.
func (f *FS) make(ctx context.Context, op, name string, n *node) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.place(ctx, name)
	if err == nil && e.node != nil {
		err = fs.ErrExist
	}
	if err == nil {
		e.put(n)
	}
	return pathError(op, name, err)
}

// Mkdir makes a directory.
func (f *FS) Mkdir(ctx context.Context, name string, perm fs.FileMode, uid, gid int) error {
	return f.make(ctx, "mkdir", name, f.newNode(fs.ModeDir|perm&(fs.ModePerm|special), uid, gid))
}

// Symlink makes a link.
func (f *FS) Symlink(ctx context.Context, target, name string) error {
	n := f.newNode(fs.ModeSymlink|0o777, -1, -1)
	n.target = target
	return f.make(ctx, "symlink", name, n)
}

// CreateFile makes a file.
func (f *FS) CreateFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	n := f.newNode(perm&(fs.ModePerm|special), -1, -1)
	n.data = bytes.Clone(data)
	return f.make(ctx, "create", name, n)
}

// Lstat describes a file.
func (f *FS) Lstat(ctx context.Context, name string) (fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(ctx, name)
	if err != nil {
		return nil, pathError("lstat", name, err)
	}
	return n.info(path.Base(name)), nil
}

// ReadDir lists a directory.
func (f *FS) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(ctx, name)
	switch {
	case err != nil:
	case n.mode&fs.ModeSymlink != 0:
		err = syscall.ELOOP
	case !n.mode.IsDir():
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	infos := n.list()
	if len(infos) > maxNames {
		return infos[:maxNames], pathError("readdir", name, syscall.EFBIG)
	}
	return infos, nil
}

// ReadFile reads a whole file of at most limit bytes.
func (f *FS) ReadFile(ctx context.Context, name string, limit int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(ctx, name)
	switch {
	case err != nil:
	case n.mode.IsDir():
		err = syscall.EISDIR
	case n.mode&fs.ModeSymlink != 0:
		err = syscall.ELOOP
	case !n.mode.IsRegular():
		err = fs.ErrInvalid
	case int64(len(n.data)) > limit:
		err = syscall.EFBIG
	}
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return bytes.Clone(n.data), nil
}

// Readlink reads what a link holds.
func (f *FS) Readlink(ctx context.Context, name string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(ctx, name)
	if err == nil && n.mode&fs.ModeSymlink == 0 {
		err = fs.ErrInvalid
	}
	if err != nil {
		return "", pathError("readlink", name, err)
	}
	return n.target, nil
}

// Chmod sets a mode.
func (f *FS) Chmod(ctx context.Context, name string, perm fs.FileMode) error {
	return f.change(ctx, "chmod", name, func(n *node) error {
		if n.mode&fs.ModeSymlink != 0 {
			return syscall.ELOOP
		}
		n.mode = n.mode.Type() | perm&(fs.ModePerm|special)
		return nil
	})
}

// Chown sets owners; -1 leaves one as it is.
func (f *FS) Chown(ctx context.Context, name string, uid, gid int) error {
	return f.change(ctx, "chown", name, func(n *node) error {
		if uid >= 0 {
			n.uid = uint32(uid)
		}
		if gid >= 0 {
			n.gid = uint32(gid)
		}
		return nil
	})
}

func (f *FS) change(ctx context.Context, op, name string, do func(*node) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(ctx, name)
	if err == nil {
		err = do(n)
	}
	return pathError(op, name, err)
}

// Rename moves, replacing a file or an empty directory.
func (f *FS) Rename(ctx context.Context, oldName, newName string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, err := f.place(ctx, oldName)
	if err == nil && from.node == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return pathError("rename", oldName, err)
	}
	to, err := f.place(ctx, newName)
	if err == nil {
		err = replaceable(from.node, to)
	}
	if err != nil {
		return pathError("rename", newName, err)
	}
	if from.node == to.node { // two names of one file both stay, as POSIX has it
		return nil
	}
	from.drop()
	to.put(from.node)
	return nil
}

// replaceable says whether n may take the place of what is there.
func replaceable(n *node, to entry) error {
	there := to.node
	switch {
	case n.holds(to.dir):
		return fs.ErrInvalid
	case there == nil || there == n:
		return nil
	case n.mode.IsDir() && !there.mode.IsDir():
		return syscall.ENOTDIR
	case !n.mode.IsDir() && there.mode.IsDir():
		return syscall.EISDIR
	case len(there.children) > 0:
		return syscall.ENOTEMPTY
	}
	return nil
}

// holds says whether dir is n or below it.
func (n *node) holds(dir *node) bool {
	if n == dir {
		return true
	}
	for _, c := range n.children {
		if c.holds(dir) {
			return true
		}
	}
	return false
}

// Remove removes a file, a link or an empty directory.
func (f *FS) Remove(ctx context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.place(ctx, name)
	switch {
	case err != nil:
	case e.node == nil:
		err = fs.ErrNotExist
	case len(e.node.children) > 0:
		err = syscall.ENOTEMPTY
	default:
		e.drop()
	}
	return pathError("remove", name, err)
}

// Space reports a share that is half full.
func (f *FS) Space(ctx context.Context) (total, free, available uint64, err error) {
	return Size, Size / 2, Size / 2, ctx.Err()
}
