// Package copytree copies a directory with everything in it, by file handle.
//
// Directories, files and calls are worked on many at once. What is held in memory is bounded by the number of directories that
// are known and not yet entered, by chunks of content, and by the files of more than one name that are still to be met.
package copytree

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// Server is one version of the protocol, by handle. Errors carry a status.Error.
type Server interface {
	Reader
	Maker
	Content
	Offload
	Extended
}

// Reader looks at what there is.
type Reader interface {
	LookupIn(ctx context.Context, cred *rpc.Credential, dir file.Handle, name string) (file.Handle, file.Attr, error)
	ReadPage(ctx context.Context, cred *rpc.Credential, dir file.Handle, from file.Cookie) (file.Page, error)
	ReadlinkOf(ctx context.Context, cred *rpc.Credential, h file.Handle) (string, error)
	// Limits tells how much to ask for at once.
	Limits(ctx context.Context) (file.Limits, error)
}

// Maker makes things and gives them their attributes.
type Maker interface {
	// MakeIn makes anything but a regular file.
	MakeIn(ctx context.Context, cred *rpc.Credential, dir file.Handle, n file.Node) (file.Handle, file.Attr, error)
	LinkIn(ctx context.Context, cred *rpc.Credential, h, dir file.Handle, name string) error
	// SetattrOf returns the attributes after the change.
	SetattrOf(ctx context.Context, cred *rpc.Credential, h file.Handle, set file.Set) (file.Attr, error)
	// RemoveNames removes entries in order up to the first that cannot be: done are gone, err is about the next.
	RemoveNames(ctx context.Context, cred *rpc.Credential, dir file.Handle, entries []file.Entry) (done int, err error)
}

// Content reads and writes regular files. The first two work in order up to the first file where it cannot be done: done
// are, err is about the next.
type Content interface {
	// MakeFiles makes files with their Data, which is no longer than Limits.Chunk, and fills To.
	MakeFiles(ctx context.Context, cred *rpc.Credential, dir file.Handle, files []*file.Copy) (done int, err error)
	// FinishFiles commits what was written, and then makes the changes that want lists. Lost tells what to write again.
	FinishFiles(ctx context.Context, cred *rpc.Credential, files []*file.Copy, want func(*file.Copy) []file.Set) (done int, err error)
	ReadAt(ctx context.Context, cred *rpc.Credential, h file.Handle, offset uint64, n int) (data []byte, eof bool, err error)
	// WriteAt writes to the copy, not yet to stable storage.
	WriteAt(ctx context.Context, cred *rpc.Credential, f *file.Copy, parts []file.Segment) error
}

// Offload lets the server do the work. What it cannot do has the status NotSupp.
type Offload interface {
	// CloneFile shares the content of a file with its copy and returns the copy's size.
	CloneFile(ctx context.Context, cred *rpc.Credential, f *file.Copy) (size uint64, err error)
	// CopyRange returns how much was copied, 0 at the end of the file.
	CopyRange(ctx context.Context, cred *rpc.Credential, f *file.Copy, offset, n uint64) (uint64, error)
	// Segment finds data at or after offset; not ok: there is none.
	Segment(ctx context.Context, cred *rpc.Credential, h file.Handle, offset uint64) (start, end uint64, ok bool, err error)
}

// Extended copies what programs write beside a file's content (RFC 8276).
type Extended interface {
	// CopyXattrs works up to the first file where it cannot be done: done have their attributes, err is about the next.
	// [file.ErrNoXattrs]: there are none on this server.
	CopyXattrs(ctx context.Context, cred *rpc.Credential, pairs []file.Pair) (done int, err error)
}

// Directory is where a copy begins, or where it goes to.
type Directory struct {
	Handle file.Handle
	Attr   file.Attr
}

// Ways is how much content went which way, in bytes.
type Ways struct {
	Cloned  int64 // shared with the source
	Copied  int64 // by the server itself
	Carried int64 // read and written by us
}

// Options say how to copy.
type Options struct {
	Progress func(files, bytes int64) // called now and then, never at once from two goroutines; nil: nobody listens
	Compare  bool                     // read each file and its copy once more, and compare them

	bounds bounds // in tests, instead of the usual
}

// bounds are those of what a tree may be like, and of what is known of it at once.
type bounds struct {
	depth int // directories below each other: more can be made, and no path can name them (4,096 bytes on Linux)
	held  int // subdirectories known and not yet entered: when there are more, only a few of each page are taken up at a time
}

const (
	deepest  = 4096
	mostHeld = 1 << 16
	fewHeld  = 16
)

// Run copies what is in from into to, an empty directory that cred has just made, and gives to the attributes of from.
func Run(ctx context.Context, s Server, cred rpc.Credential, from, to Directory, o Options) (Ways, error) {
	l, err := s.Limits(ctx)
	if err != nil {
		return Ways{}, err
	}
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := &copier{
		Server: s, base: cred, limits: l, fsid: from.Attr.FSID, seed: maphash.MakeSeed(), cancel: cancel,
		acting: cred.UID != 0 || to.Attr.UID != 0,
		calls:  make(chan struct{}, l.Calls), starts: make(chan struct{}, l.Calls+l.Calls/2),
		helpers: make(chan struct{}, 2*l.Calls), chunks: make(chan struct{}, max(2, min(l.Calls, heavy/l.Chunk))),
		bounds: cmp.Or(o.bounds, bounds{depth: deepest, held: mostHeld}),
	}
	c.noClone.Store(!l.Clone)
	c.twins.known = map[uint64]*twin{}
	c.progress.tell, c.compare = o.Progress, o.Compare
	defer c.progress.last()
	top := &dir{from: from.Handle, to: to.Handle, attr: from.Attr}
	top.own = c.as(&top.attr)
	if c.acting {
		top.own = cred
	}
	err = c.dir(work, top)
	if cause := context.Cause(work); ctx.Err() == nil && cause != nil {
		err = cause // not what others say who were stopped by it
	}
	if err == nil {
		c.progress.add(1, 0)
		err = c.checkTop(work, top)
	}
	return Ways{Cloned: c.cloned.Load(), Copied: c.copied.Load(), Carried: c.carried.Load()}, err
}

// heavy bounds the content that is on its way at once, in bytes; each is held about three times.
const heavy = 8 << 20

// copier copies one tree.
type copier struct {
	Server
	base    rpc.Credential
	limits  file.Limits
	fsid    file.FSID // of the tree's top; nothing else is entered
	seed    maphash.Seed
	cancel  context.CancelCauseFunc
	compare bool // files with their copies
	// acting: we cannot give away what we make, so that everything is made as its owner.
	acting bool

	calls    chan struct{} // held during each call: bounds what is in flight
	starts   chan struct{} // held by each goroutine that copies files
	helpers  chan struct{} // held by each goroutine that copies a directory
	chunks   chan struct{} // held while much content is in memory
	bounds   bounds
	held     atomic.Int64 // subdirectories
	twins    twins
	progress progress

	noClone, noCopy, noSeek, noXattrs atomic.Bool  // the server cannot
	cloned, copied, carried           atomic.Int64 // bytes
}

// dir is one directory being copied.
type dir struct {
	parent   *dir   // nil: the top
	name     string // in parent
	depth    int    // below the top
	from, to file.Handle
	attr     file.Attr
	own      rpc.Credential // who made the copy and may change it

	mu      sync.Mutex
	looks   int      // how often it was looked for again
	open    bool     // others may make things in the copy, too
	made    sums     // of what is in the copy
	doubles []string // names that were listed once more
}

// mostPath bounds a path in messages, in bytes.
const mostPath = 512

// child names what is called name in d, below the top, for messages. Of a long path the end is told.
func (d *dir) child(name string) string {
	for ; d.parent != nil; d = d.parent {
		if len(name) > mostPath {
			return ".../" + name
		}
		name = d.name + "/" + name
	}
	return name
}

// path names d itself.
func (d *dir) path() string {
	if d.parent == nil {
		return "."
	}
	return d.parent.child(d.name)
}

func (d *dir) add(s sums) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made.add(s)
}

// double notes a name that was made before: a listing that changes meanwhile may have a name twice.
func (d *dir) double(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.doubles = append(d.doubles, name)
}

// restarts bounds how often a listing that the server lost track of is begun again, and mostLooks how often others are found
// under the names of what is gone.
const restarts, mostLooks = 5, 8

// dir copies what is in a directory, checks that all of it is there, and gives the copy its attributes.
func (c *copier) dir(ctx context.Context, d *dir) error {
	var from file.Cookie
	var course file.Course
	var behind string // the subdirectory after which the page is still to be copied
	for restarted := 0; ; {
		page, err := c.list(ctx, d, from)
		if err == nil && !page.EOF && behind == "" && course.Circles(page.Cookie) {
			err = status.ErrCircle
		}
		if status.Is(err, status.BadCookie, status.NotSame) && restarted < restarts {
			restarted++
			from, behind, course = file.Cookie{}, "", file.Course{}
			continue
		}
		if gone(err) {
			there, err := c.again(ctx, d, fmt.Errorf("listing %q: %w", d.path(), err))
			if err != nil {
				return err
			}
			if there {
				continue
			}
			break
		}
		if err != nil {
			return fmt.Errorf("listing %q: %w", d.path(), err)
		}
		d.looks = 0
		entries, next, last := page.Entries, page.Cookie, page.EOF
		page = file.Page{} // lets go of what is not kept on the way down
		if behind, err = c.page(ctx, d, entries, behind); err != nil {
			return err
		}
		if behind != "" { // the same page once more
			continue
		}
		if last {
			break
		}
		from = next
	}
	if err := c.verify(ctx, d); err != nil {
		return err
	}
	if err := c.xattrsOf(ctx, d); err != nil {
		return err
	}
	return c.attributes(ctx, d)
}

// gone tells that somebody removed what was to be read, or that the server says so.
func gone(err error) bool { return status.Dead(err) || status.Is(err, status.NoEnt) }

func (c *copier) list(ctx context.Context, d *dir, from file.Cookie) (page file.Page, err error) {
	err = c.try(ctx, c.readers(&d.attr), func(cred *rpc.Credential) (err error) {
		page, err = c.ReadPage(ctx, cred, d.from, from)
		return err
	})
	if err == nil && !page.Of(&d.attr) {
		err = fmt.Errorf("the server lists another directory in its place: %w", syscall.EIO)
	}
	return page, err
}

// attributes gives a directory its owner, mode and times, when nothing is made in it any more.
func (c *copier) attributes(ctx context.Context, d *dir) error {
	for _, set := range c.want(&d.attr) {
		err := c.try(ctx, []rpc.Credential{d.own}, func(cred *rpc.Credential) error {
			_, err := c.SetattrOf(ctx, cred, d.to, set)
			return err
		})
		if err != nil {
			return fmt.Errorf("giving the copy of %q its owner %d:%d, mode and times: %w", d.path(), d.attr.UID, d.attr.GID, err)
		}
	}
	return nil
}

// checkTop looks whether the tree's top is as it should be; of all else its directory tells.
func (c *copier) checkTop(ctx context.Context, top *dir) error {
	var attr file.Attr
	err := c.try(ctx, []rpc.Credential{top.own}, func(cred *rpc.Credential) (err error) {
		attr, err = c.SetattrOf(ctx, cred, top.to, file.Set{UID: -1, GID: -1})
		return err
	})
	if err != nil {
		return fmt.Errorf("looking at the copy: %w", err)
	}
	return c.sum("", &attr).compare(".", c.sum("", &top.attr))
}

// page copies some entries of a directory, those behind the subdirectory of that name: what is before it has been copied, and
// if it is not there any more, all is copied that is not. It answers after which subdirectory the page is to be listed again, ""
// when all of it is done. Files of several names that somebody else copies are linked once he has done so.
func (c *copier) page(ctx context.Context, d *dir, entries []file.Entry, behind string) (last string, err error) {
	dirs, rest, err := c.resolve(ctx, d, entries)
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(dirs, func(e file.Entry) bool { return e.Name == behind }); i >= 0 {
		dirs, rest = dirs[i+1:], nil
	}
	for looks := 0; len(rest) > 0; {
		var more, lost []file.Entry
		if rest, lost, err = c.things(ctx, d, rest); err == nil {
			more, lost, err = c.resolve(ctx, d, lost)
		}
		if err != nil {
			return "", err
		}
		if len(lost) > 0 {
			looks++
		}
		if looks > mostLooks {
			return "", fmt.Errorf("%q is there, but the server does not know it: %w", d.child(lost[0].Name), syscall.ESTALE)
		}
		dirs, rest = slices.Concat(more, dirs), append(rest, lost...)
	}
	kept := c.hold(len(dirs))
	defer c.held.Add(-int64(kept))
	if kept < len(dirs) {
		last = dirs[kept-1].Name
		dirs = slices.Clone(dirs[:kept])
	}
	g := &group{copier: c}
	for i := range dirs {
		g.dir(func() error { return c.subdir(ctx, d, &dirs[i]) })
	}
	return last, g.wait()
}

// hold is how many of n subdirectories may be kept in mind until they have been copied.
func (c *copier) hold(n int) int {
	if c.held.Add(int64(n)) > int64(c.bounds.held) && n > fewHeld {
		c.held.Add(int64(fewHeld - n))
		return fewHeld
	}
	return n
}

// resolve looks up entries that the listing did not describe, and refuses to leave the file system.
func (c *copier) resolve(ctx context.Context, d *dir, entries []file.Entry) (dirs, rest []file.Entry, err error) {
	for _, e := range entries {
		if e.Handle == "" || e.NoAttr {
			there, err := c.lookUp(ctx, d, &e)
			if err != nil {
				return nil, nil, err
			}
			if !there {
				continue
			}
		}
		switch {
		case e.Attr.FSID != c.fsid:
			return nil, nil, fmt.Errorf("%q is another file system, which cannot be copied with this one: %w", d.child(e.Name), syscall.EXDEV)
		case e.Attr.IsDir():
			dirs = append(dirs, e)
		default:
			rest = append(rest, e)
		}
	}
	return dirs, rest, nil
}

// lookUp describes an entry, if that is still there.
func (c *copier) lookUp(ctx context.Context, d *dir, e *file.Entry) (there bool, err error) {
	for {
		err := c.try(ctx, c.readers(&d.attr), func(cred *rpc.Credential) (err error) {
			e.Handle, e.Attr, err = c.LookupIn(ctx, cred, d.from, e.Name)
			return err
		})
		if err == nil || status.Is(err, status.NoEnt) {
			return err == nil, nil
		}
		err = fmt.Errorf("looking up %q: %w", d.child(e.Name), err)
		if !status.Dead(err) {
			return false, err
		}
		if there, err := c.again(ctx, d, err); !there {
			return false, err
		}
	}
}

// subdir copies a directory of a directory.
func (c *copier) subdir(ctx context.Context, d *dir, e *file.Entry) error {
	if d.depth >= c.bounds.depth {
		return fmt.Errorf("%q is more than %d directories deep, where no path can name it: move it up or remove it: %w", d.child(e.Name), c.bounds.depth, syscall.ENAMETOOLONG)
	}
	sub := &dir{parent: d, name: e.Name, depth: d.depth + 1, from: e.Handle, attr: e.Attr, own: c.as(&e.Attr)}
	made, err := c.make(ctx, d, file.Node{Name: e.Name, Type: fs.ModeDir, Mode: 0o700}, &e.Attr, &sub.to)
	if err != nil || !made {
		return err
	}
	if err := c.dir(ctx, sub); err != nil {
		return err
	}
	d.add(c.sum(e.Name, &e.Attr))
	c.progress.add(1, 0)
	return nil
}
