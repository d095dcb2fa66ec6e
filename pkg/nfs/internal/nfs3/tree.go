package nfs3

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/listing"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// List returns one page of the directory at path.
func (c *Client) List(ctx context.Context, cred *rpc.Credential, path []string, from file.Cookie) (page file.Page, err error) {
	h, a, err := c.Lookup(ctx, cred, path)
	if err != nil {
		return page, err
	}
	if !a.IsDir() {
		return page, &status.Error{Version: 3, Op: "READDIRPLUS", Code: status.NotDir}
	}
	return c.ReadPage(ctx, cred, h, from)
}

// ReadPage lists a directory by handle.
func (c *Client) ReadPage(ctx context.Context, cred *rpc.Credential, dir file.Handle, from file.Cookie) (file.Page, error) {
	return listing.Page(ctx, func() (file.Page, bool, error) { return c.readPage(ctx, cred, dir, from) })
}

// readPage also tells whether a directory is there that READDIRPLUS does not find; it is unless the server says that it is not.
func (c *Client) readPage(ctx context.Context, cred *rpc.Credential, dir file.Handle, from file.Cookie) (page file.Page, there bool, err error) {
	d, err := c.call(ctx, cred, procReaddirplus, dir, func(e *xdr.Encoder) {
		e.Uint64(from.Value)
		e.Fixed(from.Verifier[:])
		e.Uint32(pageSize / 4) // of names and cookies
		e.Uint32(pageSize)
	})
	if status.Is(err, status.NoEnt) {
		_, look := c.getattr(ctx, cred, dir)
		return page, !status.Dead(look) && !status.Is(look, status.NoEnt), err
	}
	if err != nil {
		return page, false, err
	}
	page, err = decodePage(d)
	return page, true, err
}

func decodePage(d *xdr.Decoder) (file.Page, error) {
	var p file.Page
	if a, ok := postOpAttr(d); ok {
		p.ID = a.FileID
	}
	copy(p.Cookie.Verifier[:], d.Fixed(8))
	for d.Bool() {
		d.Uint64() // file id, also in the attributes
		entry := file.Entry{Name: d.String(maxName)}
		p.Cookie.Value = d.Uint64()
		var ok bool
		entry.Attr, ok = postOpAttr(d)
		entry.NoAttr = !ok
		entry.Handle = postOpHandle(d)
		if d.Err() == nil && entry.Name != "." && entry.Name != ".." {
			p.Entries = append(p.Entries, entry)
		}
		if len(p.Entries) > pageSize/smallestEntry { // each takes several times the memory that it had in the reply
			d.Fail("more entries than fit into the %d bytes that were asked for", pageSize)
		}
	}
	p.EOF = d.Bool()
	return p, d.End() // a damaged list must not pass for a shorter one
}

// Batch: one name a call, and many calls.
func (c *Client) Batch() (names, calls int) { return 1, 48 }

// RemoveNames removes names from a directory in order and stops at the first that cannot be removed.
func (c *Client) RemoveNames(ctx context.Context, cred *rpc.Credential, dir file.Handle, entries []file.Entry) (done int, err error) {
	for _, e := range entries {
		p := procRemove
		if e.Attr.IsDir() && !e.NoAttr {
			p = procRmdir
		}
		if err := c.remove(ctx, cred, p, dir, e.Name); err != nil {
			if p == procRmdir && status.Is(err, status.IO) && c.full(ctx, cred, dir, e.Name) {
				err = &status.Error{Version: 3, Op: "RMDIR", Code: status.NotEmpty}
			}
			return done, err
		}
		done++
	}
	return done, nil
}

// remove calls REMOVE or RMDIR. It reads the whole reply: a damaged refusal must not pass for success.
func (c *Client) remove(ctx context.Context, cred *rpc.Credential, p procedure, dir file.Handle, name string) error {
	d, err := c.call(ctx, cred, p, dir, diropargs(name))
	if err != nil {
		return err
	}
	skipWcc(d)
	return d.End()
}

// Remove takes away a file, a link or an empty directory. Which one it is is not known before: a directory refuses
// REMOVE, with a status that differs from server to server.
func (c *Client) Remove(ctx context.Context, cred *rpc.Credential, path []string) error {
	parent, name := split(path)
	defer c.forget(path)
	return c.inDir(ctx, cred, parent, func(dir file.Handle) error {
		err := c.remove(ctx, cred, procRemove, dir, name)
		if err == nil || status.Is(err, status.NoEnt) || status.Dead(err) || status.Of(err) == status.OK {
			return err
		}
		_, a, look := c.lookup(ctx, cred, dir, name)
		if look != nil || !a.IsDir() {
			return err
		}
		_, err = c.RemoveNames(ctx, cred, dir, []file.Entry{{Name: name, Attr: a}})
		return err
	})
}
