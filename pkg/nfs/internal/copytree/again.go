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

// find looks a directory up by its name.
func (c *copier) find(ctx context.Context, d *dir) (h file.Handle, there bool, err error) {
	if d.parent == nil {
		return d.from, true, nil
	}
	return c.same(ctx, d.parent, d.name, &d.attr)
}

// same looks for something by its name in a directory, which is found again where the server does not know that any more either.
// Another thing that has its name by now is not it.
func (c *copier) same(ctx context.Context, d *dir, name string, was *file.Attr) (h file.Handle, there bool, err error) {
	var attr file.Attr
	for from := d.from; ; {
		err := c.try(ctx, c.readers(&d.attr), func(cred *rpc.Credential) (err error) {
			h, attr, err = c.LookupIn(ctx, cred, from, name)
			return err
		})
		switch {
		case err == nil:
			return h, attr.Type == was.Type && attr.FileID == was.FileID, nil
		case status.Is(err, status.NoEnt):
			return "", false, nil
		case !status.Dead(err):
			return "", false, fmt.Errorf("looking up %q: %w", d.child(name), err)
		}
		known := from
		if from, there, err = c.find(ctx, d); err != nil || !there {
			return "", false, err
		}
		if from == known {
			return "", false, fmt.Errorf("looking up %q: the server does not know what it is in: %w", d.child(name), syscall.ESTALE)
		}
	}
}
