package copytree

import (
	"context"
	"fmt"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// again finds a directory once more of which the server said that it is gone: some servers forget handles, or lose track of a
// directory that changes. there is false when its name says so too. Nothing else is done with the directory meanwhile.
func (c *copier) again(ctx context.Context, d *dir, cause error) (there bool, err error) {
	h, there, err := c.find(ctx, d)
	if err != nil || !there {
		return false, err
	}
	if d.looks++; d.looks > mostLooks {
		return false, fmt.Errorf("%q is there, but the server does not know it: %s: %w", d.path(), cause.Error(), syscall.ESTALE)
	}
	d.from = h
	return true, rpc.Sleep(ctx, rpc.Pause(d.looks))
}

// find looks a directory up by its name, and that above it where the server does not know that any more either. Another directory
// that has its name by now is not it.
func (c *copier) find(ctx context.Context, d *dir) (h file.Handle, there bool, err error) {
	if d.parent == nil {
		return d.from, true, nil
	}
	var attr file.Attr
	for above := d.parent.from; ; {
		err := c.try(ctx, c.readers(&d.parent.attr), func(cred *rpc.Credential) (err error) {
			h, attr, err = c.LookupIn(ctx, cred, above, d.name)
			return err
		})
		switch {
		case err == nil:
			return h, attr.IsDir() && attr.FileID == d.attr.FileID, nil
		case status.Is(err, status.NoEnt):
			return "", false, nil
		case !status.Dead(err):
			return "", false, fmt.Errorf("looking up %q: %w", d.path(), err)
		}
		known := above
		if above, there, err = c.find(ctx, d.parent); err != nil || !there {
			return "", false, err
		}
		if above == known {
			return "", false, fmt.Errorf("looking up %q: the server does not know what it is in: %w", d.path(), syscall.ESTALE)
		}
	}
}
