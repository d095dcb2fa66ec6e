package nfs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// RemoveAll takes away a tree; nil when there is none. Many requests are in flight at once, as few as two while somebody
// waits for another call, and memory is bounded whatever the tree. Links are removed, never followed; a directory that is
// another file system is left alone and an error (syscall.EXDEV). Directories of the tree that refuse us are emptied as
// their owner, so that data of any user can be removed from an export that squashes root; the tree's own name is removed
// by us alone. What cannot be removed keeps nothing else from it: the error comes last and tells how much stays and why.
//
// progress gets the number of names removed so far, directories too, and the bytes that their files had.
func (f *FS) RemoveAll(ctx context.Context, name string, progress func(files, bytes int64)) error {
	path, err := splitNew(name)
	return f.behind(ctx, "removeall", err, func() error {
		done := &tally{report: progress}
		defer done.last()
		return f.removeAll(ctx, path, done)
	}, name)
}

// again bounds how often a directory is emptied once more because others keep putting files into it.
const again = 8

func (f *FS) removeAll(ctx context.Context, path []string, done *tally) error {
	for idle := 1; ; idle++ {
		err := f.client.Remove(ctx, &f.cred, path)
		switch {
		case err == nil:
			done.count(1, 0)
			return nil
		case status.Is(err, status.NoEnt):
			return nil
		case !mayBeFull(err) || idle > again:
			return err
		}
		handle, attr, look := f.client.Lookup(ctx, &f.cred, path)
		if status.Is(look, status.NoEnt) {
			return nil
		}
		if look != nil || !attr.IsDir() {
			return errors.Join(look, err)
		}
		w := f.newWalker(attr, done)
		if err := w.empty(ctx, handle, attr); err != nil {
			return err
		}
		if w.cut {
			idle = 0 // there is more, and we come nearer
		}
	}
}

// mayBeFull tells whether a failed removal can be a directory that is not empty. Some servers of version 3 have no word
// of their own for it.
func mayBeFull(err error) bool {
	return status.Is(err, status.NotEmpty, status.Exist, status.IsDir, status.IO, status.Inval, status.Perm)
}

// Bounds of what a walk keeps in memory: some 300 bytes for each directory that it knows and has not removed.
const (
	mostKnown = 8192 // directories; when there are more, only a few of each page are taken up
	fewKnown  = 16   // of a page, down to deepest
	deepest   = 1 << 10
	bottom    = 1 << 16 // levels, after which the ones above are forgotten and found again later
)

// walker empties one tree. Its workers take tasks from the end of a list: so a directory is finished before the next one
// is begun, and what a page named is removed before another page is read.
type walker struct {
	client   client
	base     rpc.Credential
	fsid     file.FSID // of the tree's top; nothing else is entered
	batch    int
	workers  int
	bottom   int
	pace     *background
	done     *tally
	squashed atomic.Bool // the server does not let base do what root may

	mu      sync.Mutex
	changed *sync.Cond // tasks, over or err
	tasks   []task
	known   int
	over    bool
	err     error // ends the walk
	cut     bool  // a part of the tree was too deep to be seen to the end
}

// task is one thing to do in a directory: to remove some of its names, or to list it where there are none.
type task struct {
	dir   *directory
	names []file.Entry
	dirs  bool // the names are those of emptied subdirectories
}

func (f *FS) newWalker(top file.Attr, done *tally) *walker {
	names, calls := f.client.Batch()
	f.background.open(calls)
	w := &walker{
		client: f.client, base: f.cred, fsid: top.FSID, batch: names, workers: calls, bottom: bottom,
		pace: &f.background, done: done,
	}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// empty removes everything below the top.
func (w *walker) empty(ctx context.Context, handle file.Handle, attr file.Attr) error {
	defer context.AfterFunc(ctx, func() { w.fail(ctx.Err()) })()
	w.tasks = []task{{dir: w.newDirectory(nil, file.Entry{Handle: handle, Attr: attr})}}
	var workers sync.WaitGroup
	for range w.workers {
		workers.Go(func() {
			for t, ok := w.next(); ok; t, ok = w.next() {
				w.run(ctx, t)
			}
		})
	}
	workers.Wait()
	return w.err
}

// next waits for a task.
func (w *walker) next() (task, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.tasks) == 0 && !w.over && w.err == nil {
		w.changed.Wait()
	}
	if w.over || w.err != nil {
		return task{}, false
	}
	last := len(w.tasks) - 1
	t := w.tasks[last]
	w.tasks[last] = task{}
	w.tasks = w.tasks[:last]
	return t, true
}

// fail ends the walk.
func (w *walker) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && !w.over {
		w.err = err
	}
	w.changed.Broadcast()
}

func (w *walker) run(ctx context.Context, t task) {
	var err error
	if t.names != nil {
		err = w.remove(ctx, t)
	} else {
		err = w.look(ctx, t.dir)
	}
	if err != nil {
		w.fail(err)
	}
}

// hopeless tells whether an error is about more than one name: there is no use in going on.
func hopeless(err error) bool {
	return status.Of(err) == status.OK || status.Is(err, status.Moved, status.WrongSec) || errors.Is(err, syscall.EROFS)
}

// push adds tasks; the last one is taken first. The lock is held.
func (w *walker) push(tasks ...task) {
	w.tasks = append(w.tasks, tasks...)
	w.changed.Broadcast()
}

// end ends the walk when the top is as empty as it gets. The lock is held.
func (w *walker) end(top *directory) {
	w.over = true
	if top.stays > 0 && w.err == nil {
		w.err = top.why
		if top.stays > 1 {
			w.err = fmt.Errorf("%d names stay, one of them: %w", top.stays, top.why)
		}
	}
	w.changed.Broadcast()
}
