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
	"sync/atomic"
	"syscall"
	"time"
)

// Size is what Space reports as the total, in bytes. Nothing is counted against it: a full share is a fault that a
// test injects, see pkg/share/sharetest.
const Size = 1 << 40

// maxElement is NAME_MAX.
const maxElement = 255

// maxNames is how many names a listing holds, as in pkg/nfs.
const maxNames = 1 << 17

// FS is a share in memory, safe for concurrent use.
type FS struct {
	mu   sync.Mutex
	root *node
	made atomic.Uint64 // inode numbers given out
}

// New makes an empty share, root's and open to everybody.
func New() *FS {
	f := new(FS)
	f.root = f.newNode(fs.ModeDir|0o777, 0, 0)
	return f
}

type node struct {
	mode     fs.FileMode
	uid, gid uint32
	id       uint64 // inode number
	names    uint32 // how many directories' entries it has
	accessed time.Time
	modified time.Time
	major    uint32 // of a device node
	minor    uint32
	data     []byte           // of a file
	target   string           // of a link
	children map[string]*node // of a directory
}

func (f *FS) newNode(mode fs.FileMode, uid, gid int) *node {
	now := time.Now()
	n := &node{
		mode: mode, uid: uint32(max(uid, 0)), gid: uint32(max(gid, 0)),
		id: f.made.Add(1), accessed: now, modified: now,
	}
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
	e.drop()
	e.dir.children[e.name] = n
	n.names++
}

func (e entry) drop() {
	if there := e.dir.children[e.name]; there != nil {
		there.names--
	}
	delete(e.dir.children, e.name)
	e.dir.modified = time.Now()
}

// info describes a node as it was when asked.
type info struct {
	name     string
	size     int64
	mode     fs.FileMode
	modified time.Time
	attr     Attr
}

// Attr is the Sys value of every fs.FileInfo.
type Attr struct {
	uid, gid     uint32
	id           uint64
	names        uint32
	accessed     time.Time
	major, minor uint32
}

// Owner returns the user and group that own the file.
func (a Attr) Owner() (uid, gid uint32) { return a.uid, a.gid }

// Inode returns the file's number and how many names it has.
func (a Attr) Inode() (id uint64, names uint32) { return a.id, a.names }

// Accessed returns when the file was last read.
func (a Attr) Accessed() time.Time { return a.accessed }

// Device returns the numbers of a device node.
func (a Attr) Device() (major, minor uint32) { return a.major, a.minor }

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return i.mode.IsDir() }
func (i info) Sys() any           { return i.attr }

func (n *node) info(name string) fs.FileInfo {
	size := len(n.data) + len(n.target)
	attr := Attr{n.uid, n.gid, n.id, n.names, n.accessed, n.major, n.minor}
	return info{name: name, size: int64(size), mode: n.mode, modified: n.modified, attr: attr}
}

func (n *node) list() []fs.FileInfo {
	infos := make([]fs.FileInfo, 0, len(n.children))
	for name, c := range n.children {
		infos = append(infos, c.info(name))
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name() < infos[j].Name() })
	return infos
}
