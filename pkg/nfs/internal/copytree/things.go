package copytree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// thing is a file, a link or a special file being copied.
type thing struct {
	file.Copy
	twin   *twin // it is the first of several names
	left   bool  // it is not in the copy: somebody removed it, or the copy has its name already
	double bool  // it is left because the copy has its name
	again  bool  // its copy's handle was looked up again
	told   int64 // bytes of it that progress knows of
}

// errAgain has the same be tried once more.
var errAgain = errors.New("try again")

// nodes is how many links and special files one goroutine makes.
const nodes = 8

// things copies what is no directory, first the content of all and then what makes it last, so that a server can do the
// latter for many at once. It returns those that were to be linked to what is no longer there, and the names of those that
// are gone, which may be others' by now: who saves a file by moving a new one to its name takes none away.
func (c *copier) things(ctx context.Context, d *dir, entries []file.Entry) (again, lost []file.Entry, err error) {
	ours, links := c.claim(entries)
	defer func() { resolve(ours) }() // for whoever waits, whatever happens
	g := &group{copier: c}
	var small, special []*thing
	for _, t := range ours {
		switch {
		case t.Attr.Type != 0:
			special = append(special, t)
		case c.isSmall(&t.Attr):
			small = append(small, t)
		default:
			g.start(ctx, c.starts, func() error { return c.big(ctx, d, t) })
		}
	}
	for some := range slices.Chunk(special, nodes) {
		g.start(ctx, c.starts, func() error { return c.special(ctx, d, some) })
	}
	for _, some := range c.batches(small, c.limits.Files, c.limits.Chunk) {
		g.start(ctx, c.starts, func() error { return c.small(ctx, d, some) })
	}
	if err := g.wait(); err != nil {
		return nil, nil, err
	}
	resolve(ours)
	files := slices.DeleteFunc(slices.Clone(ours), func(t *thing) bool { return t.left || t.Attr.Type != 0 })
	if err := c.compareAll(ctx, d, files); err != nil {
		return nil, nil, err
	}
	if err := c.xattrs(ctx, d, files); err != nil {
		return nil, nil, err
	}
	for _, some := range c.batches(files, 2*c.limits.Files, math.MaxInt) {
		g.start(ctx, c.starts, func() error { return c.finish(ctx, d, some) })
	}
	again, failed := c.links(ctx, d, links)
	g.fail(failed)
	if err := g.wait(); err != nil {
		return nil, nil, err
	}
	for _, t := range ours {
		if t.left && !t.double {
			lost = append(lost, file.Entry{Name: t.Name})
		}
	}
	return again, lost, nil
}

// isSmall tells whether one READ brings the whole file and nothing of it is a hole.
func (c *copier) isSmall(a *file.Attr) bool {
	return a.Size <= uint64(c.limits.Chunk) && (a.Size <= block || !sparse(a))
}

// sparse tells whether a file may have holes.
func sparse(a *file.Attr) bool { return a.Used < a.Size&^(block-1) }

// batches sorts files into what is done as one owner in one call: so many files, with so much content.
func (c *copier) batches(files []*thing, most, content int) [][]*thing {
	if c.acting {
		slices.SortStableFunc(files, func(a, b *thing) int {
			return cmp.Or(cmp.Compare(a.Attr.UID, b.Attr.UID), cmp.Compare(a.Attr.GID, b.Attr.GID))
		})
	}
	var all [][]*thing
	var some []*thing
	bytes := uint64(0)
	for _, t := range files {
		if len(some) > 0 && (len(some) == most || bytes+t.Attr.Size > uint64(content) || !c.sameOwner(some[0], t)) {
			all, some, bytes = append(all, some), nil, 0
		}
		some = append(some, t)
		bytes += t.Attr.Size
	}
	if len(some) > 0 {
		all = append(all, some)
	}
	return all
}

func (c *copier) sameOwner(a, b *thing) bool {
	return !c.acting || a.Attr.UID == b.Attr.UID && a.Attr.GID == b.Attr.GID
}

// each works through things in order with calls that do as many as they can: do returns how many it did, and an error
// about the next. left tells what to do about an error: nil leaves the thing out, errAgain does not.
func (c *copier) each(ctx context.Context, who func(*thing) []rpc.Credential, things []*thing,
	do func(cred *rpc.Credential, files []*file.Copy) (int, error), left func(*thing, error) error,
) error {
	for len(things) > 0 {
		files := make([]*file.Copy, len(things))
		for i, t := range things {
			files[i] = &t.Copy
		}
		done := 0
		err := c.try(ctx, who(things[0]), func(cred *rpc.Credential) error {
			n, err := do(cred, files[done:])
			done += n
			return err
		})
		things = things[done:]
		if err == nil {
			return nil
		}
		if len(things) == 0 {
			return err
		}
		err = left(things[0], err)
		if errors.Is(err, errAgain) {
			continue
		}
		if err != nil {
			return err
		}
		things[0].left = true
		things = things[1:]
	}
	return nil
}

// small copies files of one owner, a READ and a WRITE each.
func (c *copier) small(ctx context.Context, d *dir, things []*thing) error {
	bytes := uint64(0)
	for _, t := range things {
		bytes += t.Attr.Size
	}
	if bytes > uint64(light) {
		select {
		case c.chunks <- struct{}{}:
			defer func() { <-c.chunks }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for _, t := range things {
		if t.Clone = t.Attr.Size > 0 && !c.noClone.Load(); t.Clone {
			continue
		}
		err := c.read(ctx, t)
		if t.left = gone(err); !t.left && err != nil {
			return fmt.Errorf("reading %q: %w", d.child(t.Name), err)
		}
	}
	things = slices.DeleteFunc(things, func(t *thing) bool { return t.left })
	if err := c.create(ctx, d, things); err != nil {
		return err
	}
	for _, t := range things {
		switch {
		case t.left:
		case t.Clone:
			c.cloned.Add(int64(t.Attr.Size))
			c.tell(t, int64(t.Attr.Size))
		default:
			t.Attr.Size = uint64(len(t.Data)) // it may have become shorter
			c.carried.Add(int64(len(t.Data)))
			c.tell(t, int64(len(t.Data)))
		}
		t.Data = nil
	}
	return nil
}

func (c *copier) read(ctx context.Context, t *thing) error {
	return t.Read(func(offset uint64, n int) (data []byte, eof bool, err error) {
		err = c.try(ctx, c.readers(&t.Attr), func(cred *rpc.Credential) (err error) {
			data, eof, err = c.ReadAt(ctx, cred, t.From, offset, n)
			return err
		})
		return data, eof, err
	})
}

// light is as much content as one goroutine may hold without asking.
const light = 64 << 10

// create makes files of one owner with their data.
func (c *copier) create(ctx context.Context, d *dir, things []*thing) error {
	if len(things) == 0 {
		return nil
	}
	cred := c.as(&things[0].Attr)
	if err := c.admit(ctx, d, &cred); err != nil {
		return err
	}
	return c.each(ctx, func(*thing) []rpc.Credential { return []rpc.Credential{cred} }, things,
		func(cred *rpc.Credential, files []*file.Copy) (int, error) {
			return c.MakeFiles(ctx, cred, d.to, files)
		},
		func(t *thing, err error) error {
			switch {
			case status.Is(err, status.Exist) && !t.Begun:
				t.double = true
				d.double(t.Name)
				return nil
			case t.Clone && (cannot(err) || status.Refused(err) || gone(err)):
				return c.notCloned(ctx, d, t, err)
			}
			return c.making(d.child(t.Name), &t.Attr, err)
		})
}

// notCloned reads a file that the server could not clone, to be made with that.
func (c *copier) notCloned(ctx context.Context, d *dir, t *thing, err error) error {
	if status.Is(err, status.NotSupp, status.OpIllegal) {
		c.noClone.Store(true)
	}
	t.Clone = false
	err = c.read(ctx, t)
	switch {
	case err == nil:
		return errAgain
	case !gone(err):
		return fmt.Errorf("reading %q: %w", d.child(t.Name), err)
	case t.Begun:
		return c.discard(ctx, d, t)
	}
	return nil
}

// finish puts files of one owner on stable storage and gives them their attributes.
func (c *copier) finish(ctx context.Context, d *dir, things []*thing) error {
	want := func(f *file.Copy) []file.Set { return c.want(&f.Attr) }
	for tries := 1; len(things) > 0; tries++ {
		err := c.each(ctx, func(t *thing) []rpc.Credential { return []rpc.Credential{c.as(&t.Attr)} }, things,
			func(cred *rpc.Credential, files []*file.Copy) (int, error) {
				return c.FinishFiles(ctx, cred, files, want)
			},
			func(t *thing, err error) error {
				if status.Dead(err) && c.findAgain(ctx, d, t) {
					return errAgain
				}
				return fmt.Errorf("giving the copy of %q its owner %d:%d, mode and times: %w", d.child(t.Name), t.Attr.UID, t.Attr.GID, err)
			})
		if err != nil {
			return err
		}
		var lost []*thing
		for _, t := range things {
			if t.Lost {
				lost = append(lost, t)
				continue
			}
			d.add(c.sum(t.Name, &t.Attr))
			c.progress.add(1, 0)
		}
		if tries > rewrites && len(lost) > 0 {
			return fmt.Errorf("the server loses what is written to the copy of %q again and again", d.child(lost[0].Name))
		}
		things = slices.DeleteFunc(lost, func(t *thing) bool { return t.left })
		for _, t := range things {
			if err := c.rewrite(ctx, d, t); err != nil {
				return err
			}
		}
		things = slices.DeleteFunc(things, func(t *thing) bool { return t.left })
		if err := c.compareAll(ctx, d, things); err != nil {
			return err
		}
	}
	return nil
}

// findAgain looks up a copy once more whose handle the server no longer knows: some servers forget handles.
func (c *copier) findAgain(ctx context.Context, d *dir, t *thing) bool {
	if t.again {
		return false
	}
	t.again = true
	err := c.try(ctx, []rpc.Credential{d.own}, func(cred *rpc.Credential) (err error) {
		t.To, _, err = c.LookupIn(ctx, cred, d.to, t.Name)
		return err
	})
	return err == nil
}

// rewrites is how often content is written again that a restarting server lost.
const rewrites = 8

// answered tells that the server said no, whatever its reason.
func answered(err error) bool {
	var refused *rpc.RefusedError
	return status.Of(err) != status.OK || errors.As(err, &refused)
}

// special copies links and special files.
func (c *copier) special(ctx context.Context, d *dir, things []*thing) error {
	for _, t := range things {
		n := file.Node{Name: t.Name, Type: t.Attr.Type, Mode: 0o600, Major: t.Attr.Major, Minor: t.Attr.Minor}
		if n.Type == fs.ModeSymlink {
			err := c.try(ctx, c.readers(&t.Attr), func(cred *rpc.Credential) (err error) {
				n.Target, err = c.ReadlinkOf(ctx, cred, t.From)
				return err
			})
			if t.left = gone(err); t.left {
				continue
			}
			if err != nil {
				return fmt.Errorf("reading the link %q: %w", d.child(t.Name), err)
			}
		}
		made, err := c.make(ctx, d, n, &t.Attr, &t.To)
		if err != nil {
			return err
		}
		if t.left, t.double = !made, !made; t.left {
			continue
		}
		for _, set := range c.want(&t.Attr) {
			err := c.try(ctx, []rpc.Credential{c.as(&t.Attr)}, func(cred *rpc.Credential) error {
				_, err := c.SetattrOf(ctx, cred, t.To, set)
				return err
			})
			if n.Type == fs.ModeSymlink && answered(err) { // some servers cannot; whether it matters is seen in the end
				err = nil
			}
			if err != nil {
				return fmt.Errorf("giving the copy of %q its owner %d:%d, mode and times: %w", d.child(t.Name), t.Attr.UID, t.Attr.GID, err)
			}
		}
		d.add(c.sum(t.Name, &t.Attr))
		c.progress.add(1, 0)
	}
	return nil
}
