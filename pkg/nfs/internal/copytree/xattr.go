package copytree

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
)

// xattrFiles is how many files' extended attributes are asked for at once.
const xattrFiles = 16

// xattrs gives copies of files the extended attributes, before they get modes that may forbid it.
func (c *copier) xattrs(ctx context.Context, d *dir, files []*thing) error {
	if c.noXattrs.Load() {
		return nil
	}
	g := &group{copier: c}
	for _, some := range c.batches(files, xattrFiles, math.MaxInt) {
		g.start(ctx, c.starts, func() error { return c.xattrsOfSome(ctx, d, some) })
	}
	return g.wait()
}

// xattrsOfSome is xattrs for files of one owner.
func (c *copier) xattrsOfSome(ctx context.Context, d *dir, some []*thing) error {
	for len(some) > 0 {
		pairs := make([]file.Pair, len(some))
		for i, t := range some {
			pairs[i] = file.Pair{From: t.From, To: t.To}
		}
		done, err := c.copyXattrs(ctx, c.movers(some[0]), pairs)
		some = some[done:]
		switch {
		case err == nil:
			return nil
		case len(some) == 0:
			return err
		case !gone(err):
			return fmt.Errorf("giving the copy of %q its extended attributes: %w", d.child(some[0].Name), err)
		}
		_, there, look := c.same(ctx, d, some[0].Name, &some[0].Attr)
		switch {
		case look != nil:
			return look
		case there && !c.findAgain(ctx, d, some[0]): // it is the copy that is gone
			return fmt.Errorf("giving the copy of %q its extended attributes: %w", d.child(some[0].Name), err)
		case !there:
			some = some[1:]
		}
	}
	return nil
}

// xattrsOf gives the copy of a directory the extended attributes.
func (c *copier) xattrsOf(ctx context.Context, d *dir) error {
	if c.noXattrs.Load() {
		return nil
	}
	for {
		_, err := c.copyXattrs(ctx, []rpc.Credential{d.own}, []file.Pair{{From: d.from, To: d.to}})
		if err == nil {
			return nil
		}
		err = fmt.Errorf("giving the copy of %q its extended attributes: %w", d.path(), err)
		if !gone(err) {
			return err
		}
		if there, err := c.again(ctx, d, err); !there {
			return err
		}
	}
}

// copyXattrs copies as many as it can; all of none where the server has no extended attributes.
func (c *copier) copyXattrs(ctx context.Context, who []rpc.Credential, pairs []file.Pair) (done int, err error) {
	err = c.try(ctx, who, func(cred *rpc.Credential) error {
		n, err := c.CopyXattrs(ctx, cred, pairs[done:])
		done += n
		return err
	})
	if errors.Is(err, file.ErrNoXattrs) {
		c.noXattrs.Store(true)
		return len(pairs), nil
	}
	return done, err
}
