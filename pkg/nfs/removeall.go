package nfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// RemoveAll takes away a tree; nil when there is none. Many requests are in flight at once, and memory is bounded by
// pages of directories, not by the size of the tree. Links are removed, never followed; a directory that is another file
// system is left alone and an error (syscall.EXDEV). Directories of the tree that refuse us are emptied as their owner,
// so that data of any user can be removed from an export that squashes root; the tree's own name is removed by us alone.
func (f *FS) RemoveAll(ctx context.Context, name string, _ func(files, bytes int64)) error {
	path, err := splitNew(name)
	return f.call(ctx, "removeall", err, func() error { return f.removeAll(ctx, path) }, name)
}

// again bounds how often a directory is emptied once more because others keep putting files into it.
const again = 8

func (f *FS) removeAll(ctx context.Context, path []string) error {
	for tries := 1; ; tries++ {
		err := f.client.Remove(ctx, &f.cred, path)
		switch {
		case err == nil, status.Is(err, status.NoEnt):
			return nil
		case !mayBeFull(err) || tries > again:
			return err
		}
		handle, attr, look := f.client.Lookup(ctx, &f.cred, path)
		if status.Is(look, status.NoEnt) {
			return nil
		}
		if look != nil || !attr.IsDir() {
			return errors.Join(look, err)
		}
		if err := f.empty(ctx, handle, attr); err != nil {
			return err
		}
	}
}

// mayBeFull tells whether a failed removal can be a directory that is not empty. Some servers of version 3 have no word
// of their own for it.
func mayBeFull(err error) bool {
	return status.Is(err, status.NotEmpty, status.Exist, status.IsDir, status.IO, status.Inval, status.Perm)
}

func (f *FS) empty(ctx context.Context, handle file.Handle, attr file.Attr) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	names, calls := f.client.Batch()
	w := &walker{
		client: f.client, base: f.cred, fsid: attr.FSID, batch: names,
		calls: make(chan struct{}, calls), starts: make(chan struct{}, 2*calls), helpers: make(chan struct{}, 2*calls),
	}
	return w.dir(ctx, ".", handle, attr)
}

// walker empties one tree.
type walker struct {
	client   client
	base     rpc.Credential
	fsid     file.FSID // of the tree's top; nothing else is entered
	batch    int
	calls    chan struct{} // held during each call: bounds what is in flight
	starts   chan struct{} // held by each goroutine that removes a batch
	helpers  chan struct{} // held by each goroutine that empties a directory
	squashed atomic.Bool   // the server does not let base do what root may
}

// directory is one directory being emptied. cred is whom it is worked in as, which changes when the server refuses.
type directory struct {
	name   string // for messages, below the top
	handle file.Handle
	attr   file.Attr

	mu   sync.Mutex
	cred rpc.Credential
	step int // how far escalate has gone
}

// dir removes everything in a directory. It lists a page, empties the page's directories, removes the page's names, and
// starts over until nothing is listed.
func (w *walker) dir(ctx context.Context, name string, handle file.Handle, attr file.Attr) error {
	if attr.FSID != w.fsid {
		return fmt.Errorf("%q is another file system, which stays: %w", name, syscall.EXDEV)
	}
	d := &directory{name: name, handle: handle, attr: attr, cred: w.base}
	if w.squashed.Load() || w.base.UID != 0 {
		d.toOwner()
	}
	for tries := 1; ; tries++ {
		page, err := w.list(ctx, d)
		if status.Dead(err) || status.Is(err, status.NoEnt) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing %q: %w", name, err)
		}
		if len(page.Entries) == 0 && page.EOF {
			return nil
		}
		removed, err := w.page(ctx, d, page)
		if err != nil {
			return err
		}
		if removed == len(page.Entries) && page.EOF {
			return nil
		}
		if removed > 0 {
			tries = 0
		}
		if tries > again {
			return fmt.Errorf("emptying %q: others keep putting files into it: %w", name, syscall.ENOTEMPTY)
		}
	}
}

// list reads the first page of what is left. A page without entries is followed by the next one: some servers return
// such where much was removed.
func (w *walker) list(ctx context.Context, d *directory) (file.Page, error) {
	var from file.Cookie
	for {
		var page file.Page
		err := w.as(ctx, d, func(cred *rpc.Credential) (err error) {
			page, err = w.client.ReadPage(ctx, cred, d.handle, from)
			return err
		})
		if status.Is(err, status.BadCookie, status.NotSame) && from != (file.Cookie{}) {
			from = file.Cookie{}
			continue
		}
		if err != nil || len(page.Entries) > 0 || page.EOF {
			return page, err
		}
		from = page.Cookie
	}
}

// page removes the entries of a page and returns how many are gone. Entries that filled up again or were something else
// than listed are left to the next listing.
func (w *walker) page(ctx context.Context, d *directory, page file.Page) (removed int, err error) {
	var dirs, rest []file.Entry
	for _, e := range page.Entries {
		if e.NoAttr || e.Attr.IsDir() {
			dirs = append(dirs, e)
		} else {
			rest = append(rest, e)
		}
	}
	g := &group{walker: w}
	g.removeBatches(ctx, d, rest)
	for i := range dirs {
		g.dir(func() error { return w.entry(ctx, d, &dirs[i]) })
	}
	if err := g.wait(); err != nil {
		return 0, err
	}
	g.removeBatches(ctx, d, dirs)
	err = g.wait()
	return int(g.removed.Load()), err
}

// entry empties one directory of a page; one that turns out to be something else is just to be removed.
func (w *walker) entry(ctx context.Context, d *directory, e *file.Entry) error {
	handle, attr := e.Handle, e.Attr
	if handle == "" || e.NoAttr {
		err := w.as(ctx, d, func(cred *rpc.Credential) (err error) {
			handle, attr, err = w.client.LookupIn(ctx, cred, d.handle, e.Name)
			return err
		})
		if status.Is(err, status.NoEnt) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking up %q: %w", d.child(e.Name), err)
		}
		e.Attr = attr
		if !attr.IsDir() {
			return nil
		}
	}
	return w.dir(ctx, d.child(e.Name), handle, attr)
}

func (d *directory) child(name string) string {
	if d.name == "." {
		return name
	}
	return d.name + "/" + name
}

// as makes one call in a directory, as whoever may. Refused, it is made again as the directory's owner, and then again
// after the owner has given himself all rights.
func (w *walker) as(ctx context.Context, d *directory, do func(cred *rpc.Credential) error) error {
	for {
		cred, step := d.credential()
		select {
		case w.calls <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := do(&cred)
		<-w.calls
		if !status.Refused(err) {
			return err
		}
		more, failed := d.retry(ctx, w, step)
		if failed != nil || !more {
			return errors.Join(err, failed)
		}
	}
}

func (d *directory) credential() (rpc.Credential, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cred, d.step
}

// Steps of escalation.
const (
	asBase = iota
	asOwner
	asOwnerWithRights
)

// retry goes one step further, unless another call in this directory has done so since the refused one began.
func (d *directory) retry(ctx context.Context, w *walker, refusedAt int) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.step > refusedAt {
		return true, nil
	}
	switch d.step {
	case asBase:
		w.squashed.Store(true)
		d.toOwner()
	case asOwner:
		if err := w.client.SetMode(ctx, &d.cred, d.handle, d.attr.Mode|0o700); err != nil {
			return false, err
		}
		d.step = asOwnerWithRights
	default:
		return false, nil
	}
	return true, nil
}

// toOwner switches to the directory's owner, whose groups we do not know. Root is no step up: either we are root, or the
// server squashes it.
func (d *directory) toOwner() {
	d.step = asOwner
	if !d.attr.OwnerNamed && d.attr.UID != 0 && d.attr.UID != d.cred.UID {
		d.cred = rpc.Credential{UID: d.attr.UID, GID: d.attr.GID}
	}
}

// group is the work on one page of a directory.
type group struct {
	*walker
	wg      sync.WaitGroup
	removed atomic.Int64
	mu      sync.Mutex
	err     error
}

func (g *group) fail(err error) {
	if err == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
}

func (g *group) wait() error {
	g.wg.Wait()
	return g.err
}

// dir runs do beside the others if a helper is free, else right here: so the number of goroutines has a bound and none
// ever waits for another to start.
func (g *group) dir(do func() error) {
	select {
	case g.helpers <- struct{}{}:
		g.wg.Go(func() {
			defer func() { <-g.helpers }()
			g.fail(do())
		})
	default:
		g.fail(do())
	}
}

func (g *group) removeBatches(ctx context.Context, d *directory, entries []file.Entry) {
	for batch := range slices.Chunk(entries, g.batch) {
		select {
		case g.starts <- struct{}{}:
		case <-ctx.Done():
			g.fail(ctx.Err())
			return
		}
		g.wg.Go(func() {
			defer func() { <-g.starts }()
			g.fail(g.remove(ctx, d, batch))
		})
	}
}

// remove removes the names of one batch, past those that are gone already or cannot be removed yet.
func (g *group) remove(ctx context.Context, d *directory, batch []file.Entry) error {
	for len(batch) > 0 {
		var done int
		err := g.as(ctx, d, func(cred *rpc.Credential) (err error) {
			var n int
			n, err = g.client.RemoveNames(ctx, cred, d.handle, batch[done:])
			done += n
			return err
		})
		g.removed.Add(int64(done))
		batch = batch[done:]
		switch {
		case err == nil:
			return nil
		case len(batch) == 0:
			return err
		case status.Is(err, status.NoEnt):
			g.removed.Add(1)
		case status.Dead(err):
			return nil // the directory itself is gone
		case !status.Is(err, status.NotEmpty, status.Exist, status.IsDir, status.NotDir):
			return fmt.Errorf("removing %q: %w", d.child(batch[0].Name), err)
		}
		batch = batch[1:]
	}
	return nil
}
