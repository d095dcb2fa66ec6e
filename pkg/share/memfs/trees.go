package memfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"syscall"
	"time"
)

// count is what has been done to a tree.
type count struct{ files, bytes int64 }

func (c *count) add(n *node) {
	c.files++
	c.bytes += int64(len(n.data))
}

func (c *count) tell(progress func(files, bytes int64)) {
	if progress != nil {
		progress(c.files, c.bytes)
	}
}

// RemoveAll removes a tree.
func (f *FS) RemoveAll(ctx context.Context, name string, progress func(files, bytes int64)) error {
	var done count
	defer func() { done.tell(progress) }()
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.place(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && e.node != nil:
		e.node.each(done.add)
		e.drop()
	}
	return pathError("removeall", name, err)
}

// each calls do for a node and everything below it.
func (n *node) each(do func(*node)) {
	do(n)
	for _, c := range n.children {
		c.each(do)
	}
}

// CopyTree copies a tree.
func (f *FS) CopyTree(ctx context.Context, from, to string, progress func(files, bytes int64)) error {
	var done count
	defer func() { done.tell(progress) }()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := split(to); err != nil {
		return pathError("copytree", to, err)
	}
	n, err := f.find(ctx, from)
	if err == nil && !n.mode.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return pathError("copytree", from, err)
	}
	e, err := f.place(ctx, to)
	switch {
	case err != nil:
	case n.holds(e.dir), n == e.node:
		err = fs.ErrInvalid
	case e.node != nil:
		err = fs.ErrExist
	default:
		e.put(f.copyNode(n, map[*node]*node{}, &done))
	}
	return pathError("copytree", to, err)
}

// copyNode copies a node and what is below it; twins are the copies of files with several names.
func (f *FS) copyNode(n *node, twins map[*node]*node, done *count) *node {
	done.add(n)
	if twin := twins[n]; twin != nil {
		return twin
	}
	c := *n
	c.id, c.names, c.data = f.made.Add(1), 0, bytes.Clone(n.data)
	if n.names > 1 {
		twins[n] = &c
	}
	if n.children != nil {
		c.children = make(map[string]*node, len(n.children))
		for name, child := range n.children {
			twin := f.copyNode(child, twins, done)
			twin.names++
			c.children[name] = twin
		}
	}
	return &c
}

// Link gives a file one more name.
func (f *FS) Link(ctx context.Context, oldName, newName string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, err := f.place(ctx, oldName)
	switch {
	case err != nil:
	case from.node == nil:
		err = fs.ErrNotExist
	case from.node.mode.IsDir():
		err = syscall.EPERM
	}
	if err != nil {
		return pathError("link", oldName, err)
	}
	to, err := f.place(ctx, newName)
	if err == nil && to.node != nil {
		err = fs.ErrExist
	}
	if err == nil {
		to.put(from.node)
	}
	return pathError("link", newName, err)
}

// Mknod makes a FIFO, a socket or a device node.
func (f *FS) Mknod(ctx context.Context, name string, mode fs.FileMode, major, minor uint32) error {
	switch mode.Type() {
	case fs.ModeNamedPipe, fs.ModeSocket, fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
	default:
		return pathError("mknod", name, fs.ErrInvalid)
	}
	n := f.newNode(mode&(fs.ModeType|fs.ModePerm|special), -1, -1)
	if mode&fs.ModeDevice != 0 {
		n.major, n.minor = major, minor
	}
	return f.make(ctx, "mknod", name, n)
}

// Chtimes sets when a file was read and changed last, of a link itself.
func (f *FS) Chtimes(ctx context.Context, name string, accessed, modified time.Time) error {
	return f.change(ctx, "chtimes", name, func(n *node) error {
		n.accessed, n.modified = accessed, modified
		return nil
	})
}

// WriteAt writes into a file that is there.
func (f *FS) WriteAt(ctx context.Context, name string, data []byte, offset int64) error {
	return f.change(ctx, "write", name, func(n *node) error {
		if err := n.regularAt(offset); err != nil {
			return err
		}
		if end := int(offset) + len(data); end > len(n.data) {
			n.data = append(n.data, make([]byte, end-len(n.data))...)
		}
		copy(n.data[offset:], data)
		n.modified = time.Now()
		return nil
	})
}

// ReadAt reads a part of a file.
func (f *FS) ReadAt(ctx context.Context, name string, data []byte, offset int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(ctx, name)
	if err == nil {
		err = n.regularAt(offset)
	}
	if err != nil {
		return 0, pathError("read", name, err)
	}
	if offset >= int64(len(n.data)) {
		return 0, io.EOF
	}
	return copy(data, n.data[offset:]), nil
}

// regularAt refuses what has no content, and an offset that nothing has.
func (n *node) regularAt(offset int64) error {
	switch {
	case n.mode.IsDir():
		return syscall.EISDIR
	case n.mode&fs.ModeSymlink != 0:
		return syscall.ELOOP
	case !n.mode.IsRegular(), offset < 0:
		return fs.ErrInvalid
	}
	return nil
}
