package nfs4

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
)

// reserveOps is the number of operations besides LOOKUPs in our longest compound.
const reserveOps = 10

// Sizes in a cached reply, of a LOOKUP and of everything else in our longest compound.
const (
	lookupReply  = 8
	reserveReply = 512
)

// place is a directory or file that a compound starts from: a handle, and the names below it that are looked up in the
// same round trip.
type place struct {
	handle file.Handle
	names  []string
	root   bool // handle is the export's
}

func (c *Client) rootHandle() file.Handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.root
}

// at finds where to start for a path below the export, of which at most 1/share of a compound's operations may be used.
// Only paths with too many elements for one compound need a round trip.
func (c *Client) at(ctx context.Context, cred *rpc.Credential, path []string, share int) (place, error) {
	p := place{handle: c.rootHandle(), names: path, root: true}
	s, err := c.current(ctx)
	if err != nil {
		return p, err
	}
	lookups := min(int(s.limits.ops)-reserveOps, (int(s.limits.cached)-reserveReply)/lookupReply)
	longest := max(lookups, share) / share
	for len(p.names) > longest {
		step := place{handle: p.handle, names: p.names[:longest], root: p.root}
		r, err := c.do(ctx, cred, func(b *compound) {
			b.place(c, step)
			b.op(opGetFH)
		})
		if err != nil {
			return p, err
		}
		if p.handle, err = r.handle(); err != nil {
			return p, err
		}
		p.names, p.root = p.names[longest:], false
	}
	return p, nil
}

// place makes p the current file handle.
func (b *compound) place(c *Client, p place) {
	if p.root {
		b.fromRoot = b.fromRoot || len(b.ops) == 1
		p.handle = c.rootHandle() // which may be another since p was made
	}
	b.putFH(p.handle)
	b.lookup(p.names)
}

// call runs a compound that starts at a path, and returns its results.
func (c *Client) call(ctx context.Context, cred *rpc.Credential, path []string, build func(*compound)) (*results, error) {
	p, err := c.at(ctx, cred, path, 1)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, cred, func(b *compound) {
		b.place(c, p)
		build(b)
	})
}

// Step is one directory on the way from the server's root to the export.
type Step struct {
	FSID file.FSID
	Attr file.Attr
}

// Walk looks up the export from the server's root and remembers its handle. The steps, the server's root first, tell
// which file systems were crossed.
func (c *Client) Walk(ctx context.Context, cred *rpc.Credential) ([]Step, error) {
	var steps []Step
	start := file.Handle("")
	for names := c.export; ; {
		n := min(len(names), (int(askOps)/2-reserveOps)/2)
		more, handle, err := c.walkSome(ctx, cred, start, names[:n])
		if err != nil {
			return nil, err
		}
		steps, start, names = append(steps, more...), handle, names[n:]
		if len(names) == 0 {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.root = start
	return steps, nil
}

func (c *Client) walkSome(ctx context.Context, cred *rpc.Credential, start file.Handle, names []string) ([]Step, file.Handle, error) {
	r, err := c.do(ctx, cred, func(b *compound) {
		if start == "" {
			b.op(opPutRootFH)
			b.getattr(statBits)
		} else {
			b.putFH(start)
		}
		for _, name := range names {
			b.lookup([]string{name})
			b.getattr(statBits)
		}
		b.op(opGetFH)
	})
	if err != nil {
		return nil, "", err
	}
	n := len(names)
	if start == "" {
		n++
	}
	steps := make([]Step, n)
	for i := range steps {
		a, err := r.attr()
		if err != nil {
			return nil, "", err
		}
		steps[i] = Step{FSID: a.FSID, Attr: a.Attr}
	}
	h, err := r.handle()
	return steps, h, err
}
