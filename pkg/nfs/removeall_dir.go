package nfs

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// directory is one directory on its way to being empty. It is listed page by page, and what a page names is removed
// before the next one: the same place is listed again while all of it goes away, because servers differ in what a cookie
// means after that. Where something stays the listing goes on behind it, and starts over once at the end.
type directory struct {
	parent *directory // nil: the top
	name   string     // in parent
	depth  int        // below the top
	handle file.Handle
	kind   fs.FileMode // ModeDir, or what else it turned out to be
	id     uint64      // inode number, 0 where the server did not tell
	worker

	// Only the directory's one listing task touches these while there is one, else whoever holds walker.mu.
	from, next file.Cookie // of the page
	eof        bool        // of the page: it is the last one
	part       bool        // of the page: only some of its subdirectories were taken up
	lost       int         // times that the server did not know the place
	course     file.Course // of from past what stays

	// Guarded by walker.mu.
	outcome               // since the start of the listing
	open     int          // tasks and subdirectories of the page that are not done
	emptied  []file.Entry // subdirectories that are to be removed now
	left     int          // names of the page that were not removed
	leftDirs int          // subdirectories among them
	passed   bool         // something that stays was passed over since the start of the listing
	idle     int          // listings in a row that removed nothing
}

// outcome is what became of names.
type outcome struct {
	removed  int
	refilled int   // of subdirectories that were empty and are not
	stays    int   // of names that cannot be removed, here and below
	why      error // of one of them
}

func (o *outcome) add(more outcome) {
	if o.stays == 0 {
		o.why = more.why
	}
	o.removed += more.removed
	o.refilled += more.refilled
	o.stays += more.stays
}

// begin goes back to the start of the listing.
func (d *directory) begin() { d.from, d.course = file.Cookie{}, file.Course{} }

func (w *walker) newDirectory(parent *directory, e file.Entry) *directory {
	d := &directory{parent: parent, name: e.Name, handle: e.Handle, kind: fs.ModeDir}
	if parent != nil {
		d.depth = parent.depth + 1
	}
	if e.NoAttr {
		d.handle = ""
	} else {
		w.employ(d, e.Attr)
	}
	w.known++
	return d
}

// employ chooses whom a directory is worked in as.
func (w *walker) employ(d *directory, attr file.Attr) {
	d.id = attr.FileID
	d.worker = worker{cred: w.base, uid: attr.UID, gid: attr.GID, mode: attr.Mode, named: attr.OwnerNamed}
	if w.squashed.Load() || w.base.UID != 0 {
		d.toOwner()
	}
}

// mostPath bounds a directory's path in messages, in bytes.
const mostPath = 512

// path names what is called name in d, below the top, for messages. Of a long one the end is told.
func (d *directory) path(name string) string {
	for ; d.parent != nil; d = d.parent {
		if len(name) > mostPath {
			return ".../" + name
		}
		name = strings.TrimSuffix(d.name+"/"+name, "/")
	}
	if name == "" {
		return "."
	}
	return name
}

// look lists a page of a directory and hands out what there is to do.
func (w *walker) look(ctx context.Context, d *directory) error {
	var page file.Page
	err := w.find(ctx, d)
	if err == nil && d.kind == fs.ModeDir {
		page, err = w.list(ctx, d)
	}
	gone := status.Dead(err) || status.Is(err, status.NoEnt)
	switch {
	case err == nil && d.kind == fs.ModeDir:
		w.take(d, page)
		return nil
	case err != nil && !gone && hopeless(err):
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && !gone {
		d.outcome = outcome{stays: 1, why: fmt.Errorf("emptying %q: %w", d.path(""), err)}
	}
	w.finish(d)
	return nil
}

// find looks up a directory that the listing did not describe; it may be something else.
func (w *walker) find(ctx context.Context, d *directory) error {
	if d.handle != "" {
		return nil
	}
	return w.as(ctx, d.parent, func(cred *rpc.Credential) error {
		handle, attr, err := w.client.LookupIn(ctx, cred, d.parent.handle, d.name)
		switch {
		case err != nil:
			return err
		case attr.IsDir() && attr.FSID != w.fsid:
			return errOther
		}
		d.handle, d.kind = handle, attr.Type
		w.employ(d, attr)
		return nil
	})
}

// list reads the page at d.from. One without entries is followed by the next one, after a pause: some servers return such
// where much was removed. A place that the server does not know any more is given up for the start.
func (w *walker) list(ctx context.Context, d *directory) (page file.Page, err error) {
	for empty := 0; empty <= again && d.lost <= again; {
		err = w.as(ctx, d, func(cred *rpc.Credential) (err error) {
			page, err = w.client.ReadPage(ctx, cred, d.handle, d.from)
			return err
		})
		if err == nil && !page.Of(&file.Attr{FileID: d.id}) {
			return page, errElse
		}
		switch {
		case status.Is(err, status.BadCookie, status.NotSame):
			d.begin()
			d.lost++
		case err != nil || len(page.Entries) > 0 || page.EOF:
			return page, err
		default:
			if page.Cookie.Value == 0 && d.from.Value != 0 { // it names no place to go on from
				d.begin()
				d.lost++
			}
			d.from, err = page.Cookie, errNoEnd
			empty++
			if over := rpc.Sleep(ctx, rpc.Pause(empty)); over != nil {
				return page, over
			}
		}
	}
	return page, err
}

// What keeps a directory from being emptied besides the server's answers.
var (
	errOther = fmt.Errorf("it is another file system, which stays: %w", &status.Error{Version: 4, Op: "LOOKUP", Code: status.XDev})
	errElse  = fmt.Errorf("the server lists another directory in its place: %w", &status.Error{Version: 4, Op: "READDIR", Code: status.IO})
	errNoEnd = fmt.Errorf("the server does not list it to its end: %w", &status.Error{Version: 4, Op: "READDIR", Code: status.IO})
)

// take hands out what there is to do on a page: files first, then the subdirectories, as many as memory is for.
func (w *walker) take(d *directory, page file.Page) {
	var dirs, rest []file.Entry
	for _, e := range page.Entries {
		if e.NoAttr || e.Attr.IsDir() {
			dirs = append(dirs, e)
		} else if !d.part { // else the files of this page have had their turn
			rest = append(rest, e)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.depth == w.bottom && len(dirs) > 0 {
		w.forget(d)
	}
	room := max(mostKnown-w.known, fewKnown)
	if d.depth > deepest {
		room = max(mostKnown-w.known, 1)
	}
	dirs = dirs[min(d.leftDirs, len(dirs)):]
	d.part = len(dirs) > room
	d.next, d.eof = page.Cookie, page.EOF
	var tasks []task
	for _, e := range dirs[:min(room, len(dirs))] {
		if !e.NoAttr && e.Attr.FSID != w.fsid {
			w.keepDir(d, outcome{stays: 1, why: fmt.Errorf("emptying %q: %w", d.path(e.Name), errOther)})
			continue
		}
		tasks = append(tasks, task{dir: w.newDirectory(d, e)})
	}
	for batch := range slices.Chunk(rest, w.batch) {
		tasks = append(tasks, task{dir: d, names: batch})
	}
	d.open = len(tasks)
	w.push(tasks...)
	if d.open == 0 {
		w.turn(d)
	}
}

// forget makes a directory the top. What is above it is found again by another walk.
func (w *walker) forget(d *directory) {
	d.parent, d.depth = nil, 0
	w.tasks, w.known, w.cut = nil, 1, true
}

// keepDir notes that something in a subdirectory stays. The lock is held.
func (w *walker) keepDir(d *directory, o outcome) {
	d.add(outcome{stays: o.stays, why: o.why})
	d.left++
	d.leftDirs++
}

// turn goes on when all of a page is done. The lock is held.
func (w *walker) turn(d *directory) {
	if len(d.emptied) > 0 {
		w.removeEmptied(d)
		return
	}
	if d.left > 0 && !d.part && d.course.Circles(d.next) {
		d.eof = true // nothing new comes behind it
	}
	switch {
	case d.part: // the same page once more, for its other subdirectories
	case d.eof && d.left == 0 && !d.passed, d.eof && !d.again():
		w.finish(d)
		return
	case d.eof:
		d.begin()
		d.passed, d.outcome = false, outcome{}
		d.left, d.leftDirs = 0, 0
	case d.left > 0:
		d.from, d.passed = d.next, true
		d.left, d.leftDirs = 0, 0
	}
	w.push(task{dir: d})
}

// again says at the end of a listing whether another one may remove more. The lock is held.
func (d *directory) again() bool {
	d.idle++
	if d.removed > 0 {
		d.idle = 0
	}
	if d.refilled > 0 && d.idle > again {
		d.add(outcome{stays: d.refilled, why: fmt.Errorf("emptying %q: others keep putting files into it: %w", d.path(""), syscall.ENOTEMPTY)})
		return false
	}
	return d.refilled > 0 || d.passed && d.removed > 0
}

// finish takes leave of a directory, which is empty or as empty as it gets. The lock is held.
func (w *walker) finish(d *directory) {
	w.known--
	p := d.parent
	if p == nil {
		w.end(d)
		return
	}
	p.open--
	if d.stays > 0 {
		w.keepDir(p, d.outcome)
	} else {
		p.emptied = append(p.emptied, file.Entry{Name: d.name, Attr: file.Attr{Type: d.kind}})
	}
	if len(p.emptied) >= w.batch {
		w.removeEmptied(p)
	} else if p.open == 0 {
		w.turn(p)
	}
}

func (w *walker) removeEmptied(d *directory) {
	d.open++
	w.push(task{dir: d, names: d.emptied, dirs: true})
	d.emptied = nil
}

// remove removes the names of one task, past those that cannot be removed, or not yet.
func (w *walker) remove(ctx context.Context, t task) error {
	var o outcome
	names := t.names
	for len(names) > 0 {
		n := 0
		err := w.as(ctx, t.dir, func(cred *rpc.Credential) error {
			more, err := w.client.RemoveNames(ctx, cred, t.dir.handle, names[n:])
			n += more
			return err
		})
		w.done.add(names[:n])
		o.removed += n
		names = names[n:]
		switch {
		case err == nil:
			continue
		case len(names) == 0:
			return err
		case status.Dead(err): // the directory itself is gone
			o.removed += len(names)
			names = nil
			continue
		case status.Is(err, status.NoEnt):
			o.removed++
		case status.Is(err, status.NotEmpty, status.Exist, status.IsDir, status.NotDir):
			o.refilled++
		case hopeless(err):
			return err
		default:
			o.add(outcome{stays: 1, why: fmt.Errorf("removing %q: %w", t.dir.path(names[0].Name), err)})
		}
		names = names[1:]
	}
	w.tell(t, o)
	return nil
}

// tell adds what became of a task's names to its directory.
func (w *walker) tell(t task, o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := t.dir
	d.add(o)
	d.left += o.refilled + o.stays
	if t.dirs {
		d.leftDirs += o.refilled + o.stays
	}
	if d.open--; d.open == 0 {
		w.turn(d)
	}
}
