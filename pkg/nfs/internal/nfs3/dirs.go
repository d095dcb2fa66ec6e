package nfs3

import (
	"context"
	"io/fs"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

const (
	maxName       = 4096
	maxPath       = 1 << 16
	pageSize      = 128 << 10 // of a listing
	smallestEntry = 32        // bytes of it, without name, attributes and handle
)

func split(path []string) (dir []string, name string) {
	return path[:len(path)-1], path[len(path)-1]
}

func diropargs(name string) func(*xdr.Encoder) {
	return func(e *xdr.Encoder) { e.String(name) }
}

func (c *Client) lookup(ctx context.Context, cred *rpc.Credential, dir file.Handle, name string) (file.Handle, file.Attr, error) {
	d, err := c.call(ctx, cred, procLookup, dir, diropargs(name))
	if err != nil {
		return "", file.Attr{}, err
	}
	h := decodeHandle(d)
	attr, ok := postOpAttr(d)
	if d.Err() == nil && !ok {
		attr, err = c.getattr(ctx, cred, h)
		return h, attr, err
	}
	return h, attr, d.Err()
}

func (c *Client) getattr(ctx context.Context, cred *rpc.Credential, h file.Handle) (file.Attr, error) {
	d, err := c.call(ctx, cred, procGetattr, h, nil)
	if err != nil {
		return file.Attr{}, err
	}
	a := decodeAttr(d)
	return a, d.Err()
}

// Lookup finds path and returns its handle.
func (c *Client) Lookup(ctx context.Context, cred *rpc.Credential, path []string) (h file.Handle, a file.Attr, err error) {
	if len(path) == 0 {
		err = c.inDir(ctx, cred, nil, func(dir file.Handle) (err error) {
			h = dir
			a, err = c.getattr(ctx, cred, dir)
			return err
		})
		return h, a, err
	}
	dir, name := split(path)
	err = c.inDir(ctx, cred, dir, func(dir file.Handle) (err error) {
		h, a, err = c.lookup(ctx, cred, dir, name)
		return err
	})
	return h, a, err
}

// LookupIn finds one name in a directory.
func (c *Client) LookupIn(ctx context.Context, cred *rpc.Credential, dir file.Handle, name string) (file.Handle, file.Attr, error) {
	return c.lookup(ctx, cred, dir, name)
}

// Getattr describes what is at path.
func (c *Client) Getattr(ctx context.Context, cred *rpc.Credential, path []string) (file.Attr, error) {
	_, a, err := c.Lookup(ctx, cred, path)
	return a, err
}

// Setattr changes attributes and returns what they are then. The mode of a link is not touched.
func (c *Client) Setattr(ctx context.Context, cred *rpc.Credential, path []string, set file.Set) (file.Attr, error) {
	h, a, err := c.Lookup(ctx, cred, path)
	if err != nil || set.Nothing() || set.Mode != nil && a.Type == fs.ModeSymlink {
		return a, err
	}
	return c.setattr(ctx, cred, h, set, timeKeep)
}

func (c *Client) setattr(ctx context.Context, cred *rpc.Credential, h file.Handle, set file.Set, times uint32) (file.Attr, error) {
	d, err := c.call(ctx, cred, procSetattr, h, func(e *xdr.Encoder) {
		encodeSet(e, set, times)
		e.Bool(false) // whatever its ctime
	})
	if err != nil {
		return file.Attr{}, err
	}
	if a, ok := skipWcc(d); ok || d.End() != nil {
		return a, d.End()
	}
	return c.getattr(ctx, cred, h)
}

// SetMode changes a directory's mode by handle.
func (c *Client) SetMode(ctx context.Context, cred *rpc.Credential, h file.Handle, mode uint32) error {
	_, err := c.setattr(ctx, cred, h, file.Set{Mode: &mode, UID: -1, GID: -1}, timeKeep)
	return err
}

// made takes what MKDIR, CREATE and SYMLINK return, asking for what the server left out.
func (c *Client) made(ctx context.Context, cred *rpc.Credential, d *xdr.Decoder, dir file.Handle, name string) (file.Handle, file.Attr, error) {
	h := postOpHandle(d)
	a, ok := postOpAttr(d)
	skipWcc(d)
	if d.End() != nil {
		return "", a, d.Err()
	}
	if h == "" || !ok {
		return c.lookup(ctx, cred, dir, name)
	}
	return h, a, nil
}

// Mkdir makes a directory with exactly the wanted mode and owner. What cannot be made as wanted is not left behind.
func (c *Client) Mkdir(ctx context.Context, cred *rpc.Credential, path []string, want file.Set) error {
	parent, name := split(path)
	mode := file.Set{Mode: want.Mode, UID: -1, GID: -1}
	return c.inDir(ctx, cred, parent, func(dir file.Handle) error {
		d, err := c.call(ctx, cred, procMkdir, dir, func(e *xdr.Encoder) {
			e.String(name)
			encodeSet(e, mode, timeKeep)
		})
		if err != nil {
			return err
		}
		h, a, err := c.made(ctx, cred, d, dir, name)
		if err == nil && (want.UID >= 0 || want.GID >= 0) {
			a, err = c.setattr(ctx, cred, h, want, timeKeep)
		}
		if err == nil && a.Mode != *want.Mode {
			_, err = c.setattr(ctx, cred, h, mode, timeKeep)
		}
		if err != nil {
			c.undo(ctx, cred, procRmdir, dir, name)
			return err
		}
		c.remember(path, h)
		return nil
	})
}

// undo takes away what was made but could not be finished; the caller reports why.
func (c *Client) undo(ctx context.Context, cred *rpc.Credential, p procedure, dir file.Handle, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	_ = c.remove(ctx, cred, p, dir, name) // a failure leaves what the caller's error tells of
}

// Symlink makes a link.
func (c *Client) Symlink(ctx context.Context, cred *rpc.Credential, target string, path []string) error {
	parent, name := split(path)
	return c.inDir(ctx, cred, parent, func(dir file.Handle) error {
		d, err := c.call(ctx, cred, procSymlink, dir, func(e *xdr.Encoder) {
			e.String(name)
			encodeSet(e, file.Set{UID: -1, GID: -1}, timeKeep)
			e.String(target)
		})
		if err != nil {
			return err
		}
		postOpHandle(d)
		postOpAttr(d)
		skipWcc(d)
		return d.End()
	})
}

// Readlink returns a link's target.
func (c *Client) Readlink(ctx context.Context, cred *rpc.Credential, path []string) (string, error) {
	h, a, err := c.Lookup(ctx, cred, path)
	if err != nil {
		return "", err
	}
	if a.Type != fs.ModeSymlink {
		return "", &status.Error{Version: 3, Op: "READLINK", Code: status.Inval}
	}
	d, err := c.call(ctx, cred, procReadlink, h, nil)
	if err != nil {
		return "", err
	}
	postOpAttr(d)
	target := d.String(maxPath)
	return target, d.Err()
}

// Rename moves a name.
func (c *Client) Rename(ctx context.Context, cred *rpc.Credential, from, to []string) error {
	fromDir, oldName := split(from)
	toDir, newName := split(to)
	defer c.forget(to)
	defer c.forget(from)
	return c.inDir(ctx, cred, fromDir, func(src file.Handle) error {
		return c.inDir(ctx, cred, toDir, func(dst file.Handle) error {
			d, err := c.call(ctx, cred, procRename, src, func(e *xdr.Encoder) {
				e.String(oldName)
				e.String(string(dst))
				e.String(newName)
			})
			if err == nil {
				skipWcc(d)
				skipWcc(d)
				return d.End()
			}
			if status.Is(err, status.Exist, status.IO) && c.full(ctx, cred, dst, newName) {
				return &status.Error{Version: 3, Op: "RENAME", Code: status.NotEmpty}
			}
			return err
		})
	})
}

// full tells whether a name is a directory with something in it, for servers that do not say so themselves.
func (c *Client) full(ctx context.Context, cred *rpc.Credential, dir file.Handle, name string) bool {
	h, a, err := c.lookup(ctx, cred, dir, name)
	if err != nil || !a.IsDir() {
		return false
	}
	page, err := c.ReadPage(ctx, cred, h, file.Cookie{})
	return err == nil && len(page.Entries) > 0
}

// Access asks which of the wanted rights the export's root grants.
func (c *Client) Access(ctx context.Context, cred *rpc.Credential, want uint32) (granted uint32, err error) {
	err = c.inDir(ctx, cred, nil, func(root file.Handle) error {
		d, err := c.call(ctx, cred, procAccess, root, func(e *xdr.Encoder) { e.Uint32(want) })
		if err != nil {
			return err
		}
		postOpAttr(d)
		granted = d.Uint32()
		return d.Err()
	})
	return granted, err
}

// Usage is the size of the export's file system.
func (c *Client) Usage(ctx context.Context, cred *rpc.Credential) (u file.Usage, err error) {
	err = c.inDir(ctx, cred, nil, func(root file.Handle) error {
		d, err := c.call(ctx, cred, procFsstat, root, nil)
		if err != nil {
			return err
		}
		postOpAttr(d)
		u = file.Usage{Total: d.Uint64(), Free: d.Uint64(), Available: d.Uint64(), Files: d.Uint64(), FilesFree: d.Uint64()}
		return d.Err()
	})
	return u, err
}
