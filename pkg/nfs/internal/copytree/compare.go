package copytree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
)

var errDiffers = fmt.Errorf("the copy has other content than what was copied: %w", syscall.EIO)

// compareAll reads files and their copies once more, some at a time, before the copies get their attributes: reading them
// later would change when they were read.
func (c *copier) compareAll(ctx context.Context, d *dir, files []*thing) error {
	if !c.compare {
		return nil
	}
	g := &group{copier: c}
	for _, t := range files {
		g.start(ctx, c.chunks, func() error { return c.compareFile(ctx, d, t) })
	}
	return g.wait()
}

// compareFile leaves out a file that somebody has changed, or removed, since it was listed: no copy of it can be the same.
func (c *copier) compareFile(ctx context.Context, d *dir, t *thing) error {
	for offset := uint64(0); offset < t.Attr.Size; {
		n := int(min(t.Attr.Size-offset, uint64(c.limits.Chunk)))
		from, err := c.readPart(ctx, c.readers(&t.Attr), t.From, offset, n)
		var to []byte
		if err == nil {
			to, err = c.readPart(ctx, []rpc.Credential{c.as(&t.Attr)}, t.To, offset, n)
		}
		if err == nil && !bytes.Equal(from, to) {
			err = errDiffers
		}
		if gone(err) || errors.Is(err, errDiffers) {
			if changed, look := c.changed(ctx, t); changed || look != nil {
				return look
			}
		}
		if err != nil {
			return fmt.Errorf("comparing the copy of %q with it: %w", d.child(t.Name), err)
		}
		offset += uint64(n)
		c.progress.add(0, 0) // that it goes on
	}
	return nil
}

// readPart reads n bytes of a file, fewer only where it ends.
func (c *copier) readPart(ctx context.Context, who []rpc.Credential, h file.Handle, offset uint64, n int) (all []byte, err error) {
	for eof := false; err == nil && !eof && len(all) < n; {
		err = c.try(ctx, who, func(cred *rpc.Credential) error {
			var data []byte
			var err error
			data, eof, err = c.ReadAt(ctx, cred, h, offset+uint64(len(all)), n-len(all))
			all = append(all, data...)
			return err
		})
	}
	return all, err
}

// changed tells whether the source is not what was listed any more. Its time of change is what nobody can set back.
func (c *copier) changed(ctx context.Context, t *thing) (changed bool, err error) {
	var now file.Attr
	err = c.try(ctx, c.readers(&t.Attr), func(cred *rpc.Credential) (err error) {
		now, err = c.SetattrOf(ctx, cred, t.From, file.Set{UID: -1, GID: -1})
		return err
	})
	if gone(err) {
		return true, nil
	}
	return err == nil && (!now.Ctime.Equal(t.Attr.Ctime) || !now.Mtime.Equal(t.Attr.Mtime)), err
}
