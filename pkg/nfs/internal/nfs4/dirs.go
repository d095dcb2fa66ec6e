package nfs4

import (
	"context"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/listing"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

func split(path []string) (dir []string, name string) {
	return path[:len(path)-1], path[len(path)-1]
}

// Getattr describes what is at path.
func (c *Client) Getattr(ctx context.Context, cred *rpc.Credential, path []string) (file.Attr, error) {
	return c.describe(ctx, cred, path, nil)
}

// Setattr changes attributes and returns what they are then.
func (c *Client) Setattr(ctx context.Context, cred *rpc.Credential, path []string, set file.Set) (file.Attr, error) {
	return c.describe(ctx, cred, path, func(b *compound) {
		if !set.Nothing() {
			b.setattr(set)
		}
	})
}

// describe tells what is at path, after a change if there is one.
func (c *Client) describe(ctx context.Context, cred *rpc.Credential, path []string, change func(*compound)) (file.Attr, error) {
	r, err := c.call(ctx, cred, path, func(b *compound) {
		if change != nil {
			change(b)
		}
		b.getattr(statBits)
	})
	if err != nil {
		return file.Attr{}, err
	}
	a, err := r.attr()
	if err != nil {
		return file.Attr{}, err
	}
	return a.Attr, nil
}

// Mkdir makes a directory with exactly the wanted mode and owner, in one round trip unless the server's umask, ACLs or
// an inherited bit made another mode of it. What cannot be made as wanted is not left behind.
func (c *Client) Mkdir(ctx context.Context, cred *rpc.Credential, path []string, want file.Set) error {
	dir, name := split(path)
	mode := file.Set{Mode: want.Mode, UID: -1, GID: -1}
	r, err := c.call(ctx, cred, dir, func(b *compound) {
		b.change(opCreate)
		b.Uint32(typeDirectory)
		b.String(name)
		encodeSet(&b.Encoder, mode)
		if want.UID >= 0 || want.GID >= 0 || *want.Mode > 0o777 { // mkdir(2) on the server keeps no special bits
			b.setattr(want)
		}
		b.getattr(statBits)
	})
	if err != nil {
		return err
	}
	if err := r.passed(opCreate); err != nil {
		return err
	}
	a, err := r.attr()
	switch {
	case status.Later(err): // the directory is there; asking again has patience
		_, err = c.Setattr(ctx, cred, path, want)
	case err == nil && a.Mode != *want.Mode:
		_, err = c.Setattr(ctx, cred, path, mode)
	}
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		if undone := c.Remove(undo, cred, path); undone != nil {
			c.log.Warn("removing a directory that could not be made as wanted", "err", undone)
		}
	}
	return err
}

// mostOfTarget is as long as the target of a link can be on the servers that we know; longer ones need not fit a request.
const mostOfTarget = 4 << 10

// Symlink makes a link.
func (c *Client) Symlink(ctx context.Context, cred *rpc.Credential, target string, path []string) error {
	if len(target) > mostOfTarget {
		return syscall.ENAMETOOLONG
	}
	dir, name := split(path)
	r, err := c.call(ctx, cred, dir, func(b *compound) {
		b.change(opCreate)
		b.Uint32(typeLink)
		b.String(target)
		b.String(name)
		encodeSet(&b.Encoder, file.Set{UID: -1, GID: -1})
	})
	if err != nil {
		return err
	}
	return r.end()
}

// Readlink returns a link's target.
func (c *Client) Readlink(ctx context.Context, cred *rpc.Credential, path []string) (string, error) {
	r, err := c.call(ctx, cred, path, func(b *compound) {
		b.getattr(bits(attrType))
		b.op(opReadlink)
	})
	if err != nil {
		return "", err
	}
	a, err := r.attr()
	if err != nil {
		return "", err
	}
	if a.Type != fileType(typeLink) {
		return "", &status.Error{Version: 4, Op: "READLINK", Code: status.Inval}
	}
	if err := r.take(); err != nil {
		return "", err
	}
	target := r.d.String(1 << 16)
	return target, r.d.Err()
}

// Remove takes away a file, a link or an empty directory.
func (c *Client) Remove(ctx context.Context, cred *rpc.Credential, path []string) error {
	dir, name := split(path)
	r, err := c.call(ctx, cred, dir, func(b *compound) { b.remove(name) })
	if err != nil {
		return err
	}
	return r.end()
}

// Rename moves a name.
func (c *Client) Rename(ctx context.Context, cred *rpc.Credential, from, to []string) error {
	fromDir, oldName := split(from)
	toDir, newName := split(to)
	src, err := c.at(ctx, cred, fromDir, 2)
	if err != nil {
		return err
	}
	dst, err := c.at(ctx, cred, toDir, 2)
	if err != nil {
		return err
	}
	r, err := c.do(ctx, cred, func(b *compound) {
		b.place(c, src)
		b.op(opSaveFH)
		b.place(c, dst)
		b.change(opRename)
		b.String(oldName)
		b.String(newName)
	})
	if err != nil {
		return err
	}
	renaming := r.failed() == len(r.ops)-1
	err = r.end()
	if renaming && status.Is(err, status.Exist) {
		return c.occupied(ctx, cred, to, err)
	}
	return err
}

// occupied says what NFS4ERR_EXIST means for a target: RFC 8881 section 18.26.3 has it stand for several things.
func (c *Client) occupied(ctx context.Context, cred *rpc.Credential, to []string, exist error) error {
	page, err := c.List(ctx, cred, to, file.Cookie{})
	if err == nil && len(page.Entries) > 0 {
		return &status.Error{Version: 4, Op: "RENAME", Code: status.NotEmpty}
	}
	return exist
}

// List returns one page of the directory at path.
func (c *Client) List(ctx context.Context, cred *rpc.Credential, path []string, from file.Cookie) (file.Page, error) {
	return listing.Page(ctx, func() (file.Page, bool, error) { return c.list(ctx, cred, path, from) })
}

// list also tells whether there is a directory at path.
func (c *Client) list(ctx context.Context, cred *rpc.Credential, path []string, from file.Cookie) (page file.Page, there bool, err error) {
	r, err := c.call(ctx, cred, path, func(b *compound) {
		b.getattr(statBits)
		c.readdir(b, from, listBits)
	})
	if err != nil {
		return page, false, err
	}
	a, err := r.attr()
	if err != nil {
		return page, false, err
	}
	if !a.IsDir() {
		return page, false, &status.Error{Version: 4, Op: "READDIR", Code: status.NotDir}
	}
	page, err = r.page()
	return page, true, err
}

const (
	pageSize      = 128 << 10 // of a listing; about 800 entries
	smallestEntry = 24        // bytes of it, without name and attributes
	listBits      = statBits | 1<<attrRdattrError
)

func (c *Client) readdir(b *compound, from file.Cookie, want bitmap) {
	size := min(pageSize, c.granted().response-1024)
	b.op(opReaddir)
	b.Uint64(from.Value)
	b.Fixed(from.Verifier[:])
	b.Uint32(size) // bytes of names and cookies
	b.Uint32(size) // bytes of everything
	want.encode(&b.Encoder)
}

// page takes the reply of READDIR.
func (r *results) page() (file.Page, error) {
	var p file.Page
	if err := r.pass(opReaddir); err != nil {
		return p, err
	}
	copy(p.Cookie.Verifier[:], r.d.Fixed(8))
	for r.d.Bool() {
		var a attributes
		p.Cookie.Value = r.d.Uint64()
		name := r.d.String(maxName)
		a.decode(r.d)
		if r.d.Err() != nil {
			break
		}
		if name == "." || name == ".." { // RFC 8881 forbids them; a hostile server must not lead us up
			continue
		}
		noAttr := a.err != 0 || a.has&bits(attrType) == 0
		p.Entries = append(p.Entries, file.Entry{Name: name, Attr: a.Attr, Handle: a.handle, NoAttr: noAttr})
		if len(p.Entries) > pageSize/smallestEntry { // each takes ten times the memory that it had in the reply
			r.d.Fail("more entries than fit into the %d bytes that were asked for", pageSize)
		}
	}
	p.EOF = r.d.Bool()
	if r.next == r.count { // a damaged list must not pass for a shorter one
		return p, r.d.End()
	}
	return p, r.d.Err()
}

// Access asks which of the wanted rights (RFC 8881 section 18.1) the export's root grants.
func (c *Client) Access(ctx context.Context, cred *rpc.Credential, want uint32) (uint32, error) {
	r, err := c.call(ctx, cred, nil, func(b *compound) {
		b.op(opAccess)
		b.Uint32(want)
	})
	if err != nil {
		return 0, err
	}
	if err := r.pass(opAccess); err != nil {
		return 0, err
	}
	r.d.Uint32() // supported
	granted := r.d.Uint32()
	return granted, r.d.Err()
}

// Usage is the size of the export's file system.
func (c *Client) Usage(ctx context.Context, cred *rpc.Credential) (file.Usage, error) {
	const want bitmap = 1<<attrSpaceAvail | 1<<attrSpaceFree | 1<<attrSpaceTotal
	r, err := c.call(ctx, cred, nil, func(b *compound) { b.getattr(want | bits(attrFilesFree, attrFilesTotal)) })
	if err != nil {
		return file.Usage{}, err
	}
	a, err := r.attr()
	if err != nil {
		return file.Usage{}, err
	}
	if a.has&want != want {
		return file.Usage{}, syscall.ENOTSUP
	}
	return a.usage, nil
}
