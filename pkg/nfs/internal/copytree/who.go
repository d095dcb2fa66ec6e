package copytree

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// as is whom something with these attributes is made as: where we cannot give it away, its owner.
func (c *copier) as(a *file.Attr) rpc.Credential {
	if !c.acting || a.OwnerNamed {
		return c.base
	}
	cred := rpc.Credential{UID: a.UID, GID: a.GID}
	if a.UID == c.base.UID {
		cred.Groups = c.base.Groups
	}
	return cred
}

// readers are those as whom something is read, the likeliest first.
func (c *copier) readers(a *file.Attr) []rpc.Credential {
	owner := rpc.Credential{UID: a.UID, GID: a.GID}
	switch {
	case a.OwnerNamed:
		return []rpc.Credential{c.base}
	case c.acting:
		return []rpc.Credential{owner, c.base}
	}
	return []rpc.Credential{c.base, owner}
}

// try makes one call as the first who is not refused.
func (c *copier) try(ctx context.Context, who []rpc.Credential, do func(cred *rpc.Credential) error) (err error) {
	for i := range who {
		select {
		case c.calls <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err = do(&who[i])
		<-c.calls
		if !status.Refused(err) {
			break
		}
	}
	return err
}

// want lists the changes that give something the attributes. Owner and mode go separately where the one would take bits
// off the other: servers clear setuid and setgid when an owner is set.
func (c *copier) want(a *file.Attr) []file.Set {
	owner := file.Set{UID: int(a.UID), GID: int(a.GID), OwnerName: a.OwnerName, GroupName: a.GroupName}
	rest := file.Set{UID: -1, GID: -1, Atime: a.Atime, Mtime: a.Mtime}
	if a.Type != fs.ModeSymlink {
		mode := a.Mode
		rest.Mode = &mode
	}
	switch {
	case c.acting:
		return []file.Set{rest}
	case a.Mode&0o6000 != 0 && a.Type != fs.ModeSymlink:
		return []file.Set{owner, rest}
	}
	owner.Mode, owner.Atime, owner.Mtime = rest.Mode, rest.Atime, rest.Mtime
	return []file.Set{owner}
}

// admit lets somebody else than its owner make things in a directory's copy. Nobody gets there by its path: what is above
// is not finished either.
func (c *copier) admit(ctx context.Context, d *dir, cred *rpc.Credential) error {
	if cred.UID == d.own.UID {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open {
		return nil
	}
	mode := uint32(0o777)
	err := c.try(ctx, []rpc.Credential{d.own}, func(cred *rpc.Credential) error {
		_, err := c.SetattrOf(ctx, cred, d.to, file.Set{Mode: &mode, UID: -1, GID: -1})
		return err
	})
	if err != nil {
		return fmt.Errorf("letting others write to the copy of %q: %w", d.path(), err)
	}
	d.open = true
	return nil
}

// make makes something other than a regular file in the copy of a directory and tells its handle; not made: it was there.
func (c *copier) make(ctx context.Context, d *dir, n file.Node, a *file.Attr, h *file.Handle) (made bool, err error) {
	cred := c.as(a)
	if err := c.admit(ctx, d, &cred); err != nil {
		return false, err
	}
	var got file.Attr
	err = c.try(ctx, []rpc.Credential{cred}, func(cred *rpc.Credential) (err error) {
		*h, got, err = c.MakeIn(ctx, cred, d.to, n)
		if status.Is(err, status.Exist) && status.MaybeOurs(err, "CREATE", "MKDIR", "SYMLINK", "MKNOD") {
			*h, got, err = c.LookupIn(ctx, cred, d.to, n.Name)
		}
		return err
	})
	switch {
	case status.Is(err, status.Exist):
		d.double(n.Name)
		return false, nil
	case err != nil:
		return false, c.making(d.child(n.Name), a, err)
	case got.Type != n.Type:
		return false, fmt.Errorf("making the copy of %q: there is something else: %w", d.child(n.Name), fs.ErrExist)
	}
	return true, nil
}

// making explains why something could not be made.
func (c *copier) making(name string, a *file.Attr, err error) error {
	if c.acting && status.Refused(err) {
		return fmt.Errorf("making the copy of %q as its owner %d:%d, because the server squashes root: %w", name, a.UID, a.GID, err)
	}
	return fmt.Errorf("making the copy of %q: %w", name, err)
}
