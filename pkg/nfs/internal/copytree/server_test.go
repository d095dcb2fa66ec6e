package copytree

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// server keeps trees in memory, with owners and modes that it enforces, and content that a restart loses.
type server struct {
	limits      file.Limits
	pageSize    int
	squash      bool // root is nobody
	noAttr      bool // listings do not describe entries
	clone, copy bool
	zero        bool // COPY says that each file ends where it is asked for more
	seek        bool
	noXattrs    bool
	// before is asked before each call; what it returns is the call's error. It may change the tree.
	before func(op string, h file.Handle) error
	// after may spoil a call that was carried out.
	after func(op string, n *node) error

	// sharing is asked before each clone of what has the handle; what it returns is its error.
	sharing func(from file.Handle) error

	astray  file.Handle // a listing of this directory is of another one
	circle  file.Handle // a listing of this directory never ends
	compare bool        // is asked for
	bounds  bounds      // instead of the usual
	ways    Ways        // of the last run

	mu             sync.Mutex
	nodes          map[file.Handle]*node
	made           int
	verifier       file.Verifier
	inFlight, most int
	ops            map[string]int
}

type node struct {
	handle   file.Handle
	attr     file.Attr
	children map[string]file.Handle
	data     []byte
	stable   []byte // what a restart leaves of data
	target   string
	xattrs   map[string]string
}

const nobody = 65534

var began = time.Unix(1_000_000_000, 123_456_789)

func newServer() *server {
	s := &server{
		limits: file.Limits{Chunk: 8 << 10, Files: 3, Calls: 4, Clone: true}, pageSize: 5, nodes: map[file.Handle]*node{}, ops: map[string]int{},
	}
	s.add(nil, "", fs.ModeDir, 0o777, 0)
	return s
}

func (s *server) root() *node { return s.nodes["1"] }

// add makes a node, of which the attributes tell later whether they were kept.
func (s *server) add(dir *node, name string, typ fs.FileMode, mode, uid uint32) *node {
	s.made++
	at := began.Add(time.Duration(s.made) * time.Hour)
	n := &node{handle: file.Handle(fmt.Sprint(s.made))}
	n.attr = file.Attr{Type: typ, Mode: mode, UID: uid, GID: uid + 1, FileID: uint64(s.made), Nlink: 1, Atime: at, Mtime: at}
	if typ == fs.ModeDir {
		n.children = map[string]file.Handle{}
	}
	s.nodes[n.handle] = n
	if dir != nil {
		dir.children[name] = n.handle
	}
	return n
}

// plant makes a tree below the root: a trailing slash makes a directory, " -> " a link, and a number after a colon the size.
func (s *server) plant(mode, uid uint32, paths ...string) {
	for _, path := range paths {
		path, size, _ := strings.Cut(path, ":")
		path, target, isLink := strings.Cut(path, " -> ")
		name, isDir := strings.CutSuffix(path, "/")
		dir, base := s.root(), name
		if i := strings.LastIndexByte(name, '/'); i >= 0 {
			dir, base = s.at(name[:i]), name[i+1:]
		}
		switch {
		case isDir:
			s.add(dir, base, fs.ModeDir, mode, uid)
		case isLink:
			s.add(dir, base, fs.ModeSymlink, 0o777, uid).target = target
		default:
			n := s.add(dir, base, 0, mode, uid)
			var length int
			fmt.Sscan(size, &length)
			s.write(n, 0, bytes.Repeat([]byte(base+"."), length/(len(base)+1)+1)[:length])
			n.stable = n.data
			n.attr.Mtime = n.attr.Atime
		}
	}
}

func (s *server) at(path string) *node {
	n := s.root()
	for name := range strings.SplitSeq(path, "/") {
		if n = s.nodes[n.children[name]]; n == nil {
			return nil
		}
	}
	return n
}

// remove takes away a file that somebody else removed.
func (s *server) remove(path string) {
	dir := s.at(path[:strings.LastIndexByte(path, '/')])
	name := path[strings.LastIndexByte(path, '/')+1:]
	delete(s.nodes, dir.children[name])
	delete(dir.children, name)
}

// restart loses what was not committed.
func (s *server) restart() {
	s.verifier[0]++
	for _, n := range s.nodes {
		n.data = n.stable
		n.attr.Size = uint64(len(n.data))
	}
}

func failure(op string, code status.Code) error { return &status.Error{Version: 4, Op: op, Code: code} }

// call is one call on a handle.
func (s *server) call(ctx context.Context, op string, h file.Handle, do func(n *node) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.ops[op]++
	s.mu.Unlock()
	time.Sleep(10 * time.Microsecond) // lets others in
	s.mu.Lock()
	defer func() { s.inFlight-- }()
	if s.before != nil {
		if err := s.before(op, h); err != nil {
			return err
		}
	}
	n := s.nodes[h]
	if n == nil {
		return failure("PUTFH", status.Stale)
	}
	err := do(n)
	if err == nil && s.after != nil {
		err = s.after(op, n)
	}
	return err
}

func (s *server) who(cred *rpc.Credential) uint32 {
	if s.squash && cred.UID == 0 {
		return nobody
	}
	return cred.UID
}

func (s *server) may(cred *rpc.Credential, n *node, bit uint32) bool {
	uid := s.who(cred)
	return uid == 0 || uid == n.attr.UID && n.attr.Mode>>6&bit == bit || n.attr.Mode&bit == bit
}

func (s *server) Limits(context.Context) (file.Limits, error) { return s.limits, nil }

func (s *server) LookupIn(ctx context.Context, _ *rpc.Credential, dir file.Handle, name string) (h file.Handle, a file.Attr, err error) {
	err = s.call(ctx, "LOOKUP", dir, func(n *node) error {
		c := s.nodes[n.children[name]]
		if c == nil {
			return failure("LOOKUP", status.NoEnt)
		}
		h, a = c.handle, c.attr
		return nil
	})
	return h, a, err
}

func (s *server) ReadPage(ctx context.Context, cred *rpc.Credential, dir file.Handle, from file.Cookie) (page file.Page, err error) {
	err = s.call(ctx, "READDIR", dir, func(n *node) error {
		if !s.may(cred, n, 4) {
			return failure("READDIR", status.Access)
		}
		names := slices.SortedFunc(maps.Keys(n.children), func(a, b string) int { return cmp.Compare(place(a), place(b)) })
		names = slices.DeleteFunc(names, func(name string) bool { return place(name) <= from.Value })
		page.EOF, page.ID = len(names) <= s.pageSize && dir != s.circle, n.attr.FileID
		if dir == s.astray {
			page.ID++
		}
		for _, name := range names[:min(len(names), s.pageSize)] {
			page.Cookie.Value = place(name)
			e := file.Entry{Name: name, NoAttr: s.noAttr}
			if !s.noAttr {
				e.Handle, e.Attr = n.children[name], s.nodes[n.children[name]].attr
			}
			page.Entries = append(page.Entries, e)
		}
		return nil
	})
	return page, err
}

// place is where a name is in every listing.
func place(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

func (s *server) ReadlinkOf(ctx context.Context, _ *rpc.Credential, h file.Handle) (target string, err error) {
	err = s.call(ctx, "READLINK", h, func(n *node) error { target = n.target; return nil })
	return target, err
}

// create makes a new name for cred.
func (s *server) create(cred *rpc.Credential, dir *node, name string, typ fs.FileMode, mode uint32) (*node, error) {
	if !s.may(cred, dir, 2) {
		return nil, failure("CREATE", status.Access)
	}
	if dir.children[name] != "" {
		return nil, failure("CREATE", status.Exist)
	}
	n := s.add(dir, name, typ, mode, s.who(cred))
	n.attr.GID, dir.attr.Mtime = cred.GID, time.Now()
	return n, nil
}

func (s *server) MakeIn(ctx context.Context, cred *rpc.Credential, dir file.Handle, want file.Node) (h file.Handle, a file.Attr, err error) {
	err = s.call(ctx, "CREATE", dir, func(d *node) error {
		if want.Type == fs.ModeSymlink {
			want.Mode = 0o777
		}
		n, err := s.create(cred, d, want.Name, want.Type, want.Mode)
		if err != nil {
			return err
		}
		n.target, n.attr.Major, n.attr.Minor = want.Target, want.Major, want.Minor
		h, a = n.handle, n.attr
		return nil
	})
	return h, a, err
}

func (s *server) LinkIn(ctx context.Context, cred *rpc.Credential, h, dir file.Handle, name string) error {
	return s.call(ctx, "LINK", h, func(n *node) error {
		d := s.nodes[dir]
		if !s.may(cred, d, 2) {
			return failure("LINK", status.Access)
		}
		if d.children[name] != "" {
			return failure("LINK", status.Exist)
		}
		d.children[name] = h
		n.attr.Nlink++
		return nil
	})
}

func (s *server) SetattrOf(ctx context.Context, cred *rpc.Credential, h file.Handle, set file.Set) (a file.Attr, err error) {
	err = s.call(ctx, "SETATTR", h, func(n *node) error {
		if err := s.set(cred, n, set); err != nil {
			return err
		}
		a = n.attr
		return nil
	})
	return a, err
}

func (s *server) set(cred *rpc.Credential, n *node, set file.Set) error {
	uid := s.who(cred)
	if !set.Nothing() && uid != 0 && (uid != n.attr.UID || set.UID >= 0 && uint32(set.UID) != uid) {
		return failure("SETATTR", status.Perm)
	}
	if set.UID >= 0 {
		n.attr.UID = uint32(set.UID)
		n.attr.Mode &^= 0o6000
	}
	if set.GID >= 0 {
		n.attr.GID = uint32(set.GID)
	}
	if set.Mode != nil {
		n.attr.Mode = *set.Mode
		if set.UID >= 0 {
			n.attr.Mode &^= 0o6000
		}
	}
	if set.Size != nil {
		n.data = append(bytes.Clone(n.data), make([]byte, *set.Size)...)[:*set.Size]
		n.stable, n.attr.Size = n.data, *set.Size
	}
	if !set.Mtime.IsZero() {
		n.attr.Atime, n.attr.Mtime = set.Atime, set.Mtime
	}
	return nil
}

func (s *server) RemoveNames(ctx context.Context, _ *rpc.Credential, dir file.Handle, entries []file.Entry) (int, error) {
	err := s.call(ctx, "REMOVE", dir, func(n *node) error {
		delete(n.children, entries[0].Name)
		return nil
	})
	return 1, err
}

func (s *server) write(n *node, offset uint64, data []byte) {
	end := int(offset) + len(data)
	n.data = append(bytes.Clone(n.data), make([]byte, max(0, end-len(n.data)))...)
	copy(n.data[offset:], data)
	n.attr.Size, n.attr.Mtime, n.attr.Used = uint64(len(n.data)), time.Now(), n.attr.Used+uint64(len(data))
	n.attr.Mode &^= 0o6000
}

func (s *server) MakeFiles(ctx context.Context, cred *rpc.Credential, dir file.Handle, files []*file.Copy) (int, error) {
	for i, f := range files {
		err := s.call(ctx, "OPEN", dir, func(d *node) error {
			n := s.nodes[d.children[f.Name]]
			if n == nil || !f.Begun {
				var err error
				if n, err = s.create(cred, d, f.Name, 0, 0o600); err != nil {
					return err
				}
			}
			f.To, f.Begun = n.handle, true
			if f.Clone {
				return s.share(f, n)
			}
			if len(f.Data) > 0 {
				s.write(n, 0, f.Data)
				f.Wrote(s.verifier)
			}
			return nil
		})
		if err != nil {
			return i, err
		}
	}
	return len(files), nil
}

func (s *server) FinishFiles(ctx context.Context, cred *rpc.Credential, files []*file.Copy, want func(*file.Copy) []file.Set) (int, error) {
	for i, f := range files {
		err := s.call(ctx, "COMMIT", f.To, func(n *node) error {
			n.stable = n.data
			f.Committed(s.verifier)
			for _, set := range want(f) {
				if err := s.set(cred, n, set); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return i, err
		}
	}
	return len(files), nil
}

func (s *server) ReadAt(ctx context.Context, cred *rpc.Credential, h file.Handle, offset uint64, n int) (data []byte, eof bool, err error) {
	err = s.call(ctx, "READ", h, func(from *node) error {
		if !s.may(cred, from, 4) && s.who(cred) != from.attr.UID {
			return failure("READ", status.Access)
		}
		data = from.data[min(int(offset), len(from.data)):]
		data = bytes.Clone(data[:min(len(data), n)])
		eof = int(offset)+len(data) >= len(from.data)
		return nil
	})
	return data, eof, err
}

func (s *server) WriteAt(ctx context.Context, cred *rpc.Credential, f *file.Copy, parts []file.Segment) error {
	return s.call(ctx, "WRITE", f.To, func(n *node) error {
		if !s.may(cred, n, 2) {
			return failure("WRITE", status.Access)
		}
		for _, p := range parts {
			s.write(n, p.Offset, p.Data)
		}
		f.Wrote(s.verifier)
		return nil
	})
}

func (s *server) CloneFile(ctx context.Context, _ *rpc.Credential, f *file.Copy) (size uint64, err error) {
	shared := *f
	err = s.call(ctx, "CLONE", f.To, func(n *node) error { return s.share(&shared, n) })
	return shared.Attr.Size, err
}

// share lets a copy have the content of its source.
func (s *server) share(f *file.Copy, n *node) error {
	if !s.clone {
		return failure("CLONE", status.NotSupp)
	}
	if s.sharing != nil {
		if err := s.sharing(f.From); err != nil {
			return err
		}
	}
	from := s.nodes[f.From]
	if from == nil {
		return failure("PUTFH", status.Stale)
	}
	s.write(n, 0, from.data)
	n.stable, n.attr.Used, f.Attr.Size = n.data, from.attr.Used, uint64(len(from.data))
	return nil
}

func (s *server) CopyRange(ctx context.Context, _ *rpc.Credential, f *file.Copy, offset, n uint64) (copied uint64, err error) {
	err = s.call(ctx, "COPY", f.To, func(to *node) error {
		if !s.copy {
			return failure("COPY", status.NotSupp)
		}
		from := s.nodes[f.From]
		if from == nil {
			return failure("PUTFH", status.Stale)
		}
		data := from.data[min(int(offset), len(from.data)):]
		data = data[:min(len(data), int(n), 5000)]
		if s.zero && offset > 0 {
			data = nil
		}
		if copied = uint64(len(data)); copied > 0 {
			s.write(to, offset, data)
			f.Wrote(s.verifier)
		}
		return nil
	})
	return copied, err
}

func (s *server) Segment(ctx context.Context, _ *rpc.Credential, h file.Handle, offset uint64) (start, end uint64, ok bool, err error) {
	err = s.call(ctx, "SEEK", h, func(n *node) error {
		if !s.seek {
			return failure("SEEK", status.NotSupp)
		}
		parts := nonzero(offset, n.data[min(int(offset), len(n.data)):])
		if ok = len(parts) > 0; ok {
			start, end = parts[0].Offset, parts[0].Offset+uint64(len(parts[0].Data))
		}
		return nil
	})
	return start, end, ok, err
}

func (s *server) CopyXattrs(ctx context.Context, cred *rpc.Credential, pairs []file.Pair) (int, error) {
	for i, p := range pairs {
		err := s.call(ctx, "LISTXATTRS", p.From, func(from *node) error {
			to := s.nodes[p.To]
			switch {
			case s.noXattrs:
				return file.ErrNoXattrs
			case to == nil:
				return failure("PUTFH", status.Stale)
			case len(from.xattrs) > 0 && !s.may(cred, to, 2):
				return failure("SETXATTR", status.Access)
			}
			to.xattrs = maps.Clone(from.xattrs)
			return nil
		})
		if err != nil {
			return i, err
		}
	}
	return len(pairs), nil
}
