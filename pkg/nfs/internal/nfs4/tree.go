package nfs4

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/listing"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// Sizes of a REMOVE in a cached reply, and of everything else in it.
const (
	removeReply = 28
	baseReply   = 96
	mostRemoves = 16
)

// Batch is how many names RemoveNames should be given at once, and how many such calls should be in flight: more names
// in one call save messages, but a server handles them one after the other.
func (c *Client) Batch() (names, calls int) {
	l := c.granted()
	return l.removes(), max(1, min(16, int(l.slots)))
}

// removes is how many REMOVEs one compound can hold besides SEQUENCE and PUTFH.
func (l limits) removes() int {
	return max(min(mostRemoves, int(l.ops)-2, (int(l.cached)-baseReply)/removeReply), 1)
}

// batch is as many of the entries as one compound can remove.
func (l limits) batch(entries []file.Entry) []file.Entry {
	names := make([]string, min(len(entries), l.removes()))
	for i := range names {
		names[i] = entries[i].Name
	}
	return entries[:fitting(names, len(names), int(l.request)-reserveRequest)]
}

// Lookup finds path and returns its handle.
func (c *Client) Lookup(ctx context.Context, cred *rpc.Credential, path []string) (file.Handle, file.Attr, error) {
	r, err := c.call(ctx, cred, path, func(b *compound) {
		b.find()
	})
	if err != nil {
		return "", file.Attr{}, err
	}
	return r.found()
}

// LookupIn finds one name in a directory.
func (c *Client) LookupIn(ctx context.Context, cred *rpc.Credential, dir file.Handle, name string) (file.Handle, file.Attr, error) {
	r, err := c.do(ctx, cred, func(b *compound) {
		b.putFH(dir)
		b.lookup([]string{name})
		b.find()
	})
	if err != nil {
		return "", file.Attr{}, err
	}
	return r.found()
}

// find asks for what [results.found] reads: the attributes and the handle of the current file.
func (b *compound) find() {
	b.getattr(statBits)
	b.op(opGetFH)
}

func (r *results) found() (file.Handle, file.Attr, error) {
	a, err := r.attr()
	if err != nil {
		return "", file.Attr{}, err
	}
	h, err := r.handle()
	return h, a.Attr, err
}

// ReadPage lists a directory by handle; the entries have handles too.
func (c *Client) ReadPage(ctx context.Context, cred *rpc.Credential, dir file.Handle, from file.Cookie) (file.Page, error) {
	return listing.Page(ctx, func() (file.Page, bool, error) { return c.readPage(ctx, cred, dir, from) })
}

// readPage also tells whether there is something at dir.
func (c *Client) readPage(ctx context.Context, cred *rpc.Credential, dir file.Handle, from file.Cookie) (page file.Page, there bool, err error) {
	r, err := c.do(ctx, cred, func(b *compound) {
		b.putFH(dir)
		b.getattr(bits(attrFileID))
		c.readdir(b, from, listBits|1<<attrFilehandle)
	})
	if err != nil {
		return page, false, err
	}
	a, err := r.attr()
	if err != nil {
		return page, false, err
	}
	page, err = r.page()
	page.ID = a.FileID
	return page, true, err
}

// RemoveNames removes names from a directory in order and stops at the first that cannot be removed: done names are
// gone, err says why names[done] is not.
func (c *Client) RemoveNames(ctx context.Context, cred *rpc.Credential, dir file.Handle, entries []file.Entry) (done int, err error) {
	for tries := 1; done < len(entries); tries++ {
		l, err := c.ready(ctx)
		if err != nil {
			return done, err
		}
		r, err := c.do(ctx, cred, func(b *compound) {
			b.putFH(dir)
			for _, e := range l.batch(entries[done:]) {
				b.remove(e.Name)
			}
		})
		if err != nil {
			return done, err
		}
		done += r.succeeded(opRemove)
		err = r.end()
		if err == nil {
			tries = 0
			continue
		}
		if !status.Later(err) {
			return done, err
		}
		if rpc.Sleep(ctx, rpc.Pause(tries+1)) != nil {
			return done, err
		}
	}
	return done, nil
}

// SetMode changes a directory's mode by handle.
func (c *Client) SetMode(ctx context.Context, cred *rpc.Credential, h file.Handle, mode uint32) error {
	return c.setByHandle(ctx, cred, h, file.Set{Mode: &mode, UID: -1, GID: -1})
}

func (c *Client) setByHandle(ctx context.Context, cred *rpc.Credential, h file.Handle, set file.Set) error {
	r, err := c.do(ctx, cred, func(b *compound) {
		b.putFH(h)
		b.setattr(set)
	})
	if err != nil {
		return err
	}
	return r.end()
}
