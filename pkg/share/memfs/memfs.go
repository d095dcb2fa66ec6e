// Package memfs keeps one share's files in memory, for tests of what works on shares.
//
// It behaves as pkg/nfs does against a server that takes us for root: the suite of pkg/nfs/nfstest judges both.
package memfs

import (
	"context"
	"errors"
	"io/fs"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Size is what Space reports as the total, in bytes. Nothing is counted against it: a full share is a fault that a
// test injects, see pkg/share/sharetest.
const Size = 1 << 40

// maxElement is NAME_MAX.
const maxElement = 255

// FS is a share in memory, safe for concurrent use.
type FS struct {
	mu   sync.Mutex
	root *node
}

// New makes an empty share, root's and open to everybody.
func New() *FS { return &FS{root: newNode(fs.ModeDir|0o777, 0, 0)} }

type node struct {
	mode     fs.FileMode
	uid, gid uint32
	modified time.Time
	data     []byte           // of a file
	target   string           // of a link
	children map[string]*node // of a directory
}

func newNode(mode fs.FileMode, uid, gid int) *node {
	n := &node{mode: mode, modified: time.Now(), uid: uint32(max(uid, 0)), gid: uint32(max(gid, 0))}
	if mode.IsDir() {
		n.children = map[string]*node{}
	}
	return n
}

// pathError says which call failed on what, as package os does.
func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// split checks a name and cuts it into elements; "." has none.
func split(name string) ([]string, error) {
	if name == "." {
		return nil, nil
	}
	elements := strings.Split(name, "/")
	for _, e := range elements {
		if e == "" || e == "." || e == ".." || strings.Contains(e, "\x00") {
			return nil, fs.ErrInvalid
		}
	}
	return elements, nil
}

// walk goes down from the root without following links.
func (f *FS) walk(elements []string) (*node, error) {
	n := f.root
	for _, e := range elements {
		next, err := n.child(e)
		if err != nil {
			return nil, err
		}
		n = next
	}
	return n, nil
}

func (n *node) child(name string) (*node, error) {
	switch {
	case n.mode&fs.ModeSymlink != 0:
		return nil, syscall.ELOOP
	case !n.mode.IsDir():
		return nil, syscall.ENOTDIR
	case len(name) > maxElement:
		return nil, syscall.ENAMETOOLONG
	}
	if c := n.children[name]; c != nil {
		return c, nil
	}
	return nil, fs.ErrNotExist
}

// find looks a name up.
func (f *FS) find(ctx context.Context, name string) (*node, error) {
	elements, err := split(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return f.walk(elements)
}

// entry is a place in a directory, taken or free.
type entry struct {
	dir  *node
	name string
	node *node // nil: free
}

// place looks up where a name is or would be; "." is not a place.
func (f *FS) place(ctx context.Context, name string) (entry, error) {
	elements, err := split(name)
	if err != nil {
		return entry{}, err
	}
	if len(elements) == 0 {
		return entry{}, fs.ErrInvalid
	}
	if err := ctx.Err(); err != nil {
		return entry{}, err
	}
	last := len(elements) - 1
	dir, err := f.walk(elements[:last])
	if err != nil {
		return entry{}, err
	}
	e := entry{dir: dir, name: elements[last]}
	e.node, err = dir.child(e.name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return e, err
}

func (e entry) put(n *node) {
	e.dir.children[e.name] = n
	e.dir.modified = time.Now()
}

func (e entry) drop() {
	delete(e.dir.children, e.name)
	e.dir.modified = time.Now()
}

// info describes a node as it was when asked.
type info struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
	owner    Owner
}

// Owner is the Sys value of every fs.FileInfo.
type Owner struct{ uid, gid uint32 }

// Owner returns the user and group that own the file.
func (o Owner) Owner() (uid, gid uint32) { return o.uid, o.gid }

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return i.owner }

func (n *node) info(name string) fs.FileInfo {
	size := len(n.data) + len(n.target)
	return info{name: name, size: int64(size), mode: n.mode, modified: n.modified, owner: Owner{n.uid, n.gid}}
}

func (n *node) list() []fs.FileInfo {
	infos := make([]fs.FileInfo, 0, len(n.children))
	for name, c := range n.children {
		infos = append(infos, c.info(name))
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name() < infos[j].Name() })
	return infos
}
