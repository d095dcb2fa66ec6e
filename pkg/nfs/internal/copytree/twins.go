package copytree

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// twins are the files with several names of which a name is still to be met, by inode number.
type twins struct {
	mu    sync.Mutex
	known map[uint64]*twin
}

// twin is the copy of a file with several names. Whoever meets the first name makes it; he waits for nobody before he has
// done so, and so those who meet the other names can wait for him.
type twin struct {
	left uint32        // names still to be met
	done chan struct{} // closed when of is set
	of   file.Copy     // with To: "" when there is no copy
	once sync.Once
}

func (t *twin) resolve(of file.Copy) {
	t.once.Do(func() {
		t.of = of
		close(t.done)
	})
}

// meet tells of one name of a file, and whether it is the first one.
func (t *twins) meet(a *file.Attr) (w *twin, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w = t.known[a.FileID]
	if w == nil {
		w, first = &twin{left: a.Nlink, done: make(chan struct{})}, true
		t.known[a.FileID] = w
	}
	if w.left--; w.left == 0 {
		delete(t.known, a.FileID)
	}
	return w, first
}

// again takes back the meeting of a name that had been met before.
func (t *twins) again(id uint64, w *twin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.left++
	t.known[id] = w
}

// forget makes the next name the first one again.
func (t *twins) forget(id uint64, w *twin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known[id] == w {
		delete(t.known, id)
	}
}

// link is one more name of a file that somebody copies.
type link struct {
	entry file.Entry
	twin  *twin
}

// claim tells which entries are ours to copy, and which are links to what somebody copies or has copied.
func (c *copier) claim(entries []file.Entry) (ours []*thing, links []link) {
	for _, e := range entries {
		t := &thing{Copy: file.Copy{Name: e.Name, From: e.Handle, Attr: e.Attr}}
		if e.Attr.Nlink > 1 {
			w, first := c.twins.meet(&e.Attr)
			if !first {
				links = append(links, link{e, w})
				continue
			}
			t.twin = w
		}
		ours = append(ours, t)
	}
	return ours, links
}

// resolve lets go on who waits for things of ours.
func resolve(ours []*thing) {
	for _, t := range ours {
		switch {
		case t.twin == nil:
		case t.left:
			t.twin.resolve(file.Copy{})
		default:
			t.twin.resolve(t.Copy)
		}
	}
}

// links makes links, and returns the names of what turned out not to be there: they are to be copied after all.
func (c *copier) links(ctx context.Context, d *dir, links []link) (again []file.Entry, err error) {
	var names []link
	for _, l := range links {
		select {
		case <-l.twin.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		twin, err := c.isTwin(ctx, &l)
		if err != nil {
			return nil, fmt.Errorf("looking at %q: %w", d.child(l.entry.Name), err)
		}
		if !twin {
			c.twins.forget(l.entry.Attr.FileID, l.twin)
			again = append(again, l.entry)
			continue
		}
		names = append(names, l)
	}
	g := &group{copier: c}
	for some := range slices.Chunk(names, nodes) {
		g.start(ctx, c.starts, func() error {
			for _, l := range some {
				if err := c.link(ctx, d, &l); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return again, g.wait()
}

// isTwin tells whether a name is one of the file that was copied. Its attributes may have changed since, which the copy does not have;
// but where the copied file is gone, the name is of another one that has got its inode number.
func (c *copier) isTwin(ctx context.Context, l *link) (bool, error) {
	of := &l.twin.of
	if of.To == "" || c.sum("", &of.Attr) == c.sum("", &l.entry.Attr) {
		return of.To != "", nil
	}
	err := c.try(ctx, c.readers(&of.Attr), func(cred *rpc.Credential) error {
		_, err := c.SetattrOf(ctx, cred, of.From, file.Set{UID: -1, GID: -1})
		return err
	})
	if gone(err) {
		return false, nil
	}
	return err == nil, err
}

func (c *copier) link(ctx context.Context, d *dir, l *link) error {
	e, of := &l.entry, &l.twin.of
	cred := c.as(&of.Attr)
	if err := c.admit(ctx, d, &cred); err != nil {
		return err
	}
	err := c.try(ctx, []rpc.Credential{cred}, func(cred *rpc.Credential) error {
		err := c.LinkIn(ctx, cred, of.To, d.to, e.Name)
		if status.Is(err, status.Exist) && status.MaybeOurs(err, "LINK") {
			h, _, look := c.LookupIn(ctx, cred, d.to, e.Name)
			if look == nil && h == of.To {
				return nil
			}
		}
		return err
	})
	if status.Is(err, status.Exist) {
		d.double(e.Name)
		c.twins.again(e.Attr.FileID, l.twin)
		return nil
	}
	if err != nil {
		return fmt.Errorf("linking the copy of %q: %w", d.child(e.Name), err)
	}
	d.add(c.sum(e.Name, &of.Attr))
	c.progress.add(1, 0)
	return nil
}
