package nfs4

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// Extended attributes (RFC 8276): those that Linux calls user.NAME.
const (
	listFiles     = 16       // whose names are asked for at once
	listBytes     = 1 << 10  // of names in the first answer for a file
	listMore      = 8 << 10  // in those that follow
	listOverhead  = 64       // of such an answer, PUTFH included
	maxXattr      = 256      // bytes of a name, on the servers that we know
	maxXattrValue = 64 << 10 // on Linux
	mostXattrs    = 4096     // of one file; Linux has room for fewer
	setEither     = 0        // SETXATTR4_EITHER
)

// CopyXattrs gives copies the extended attributes that their files have, as far as we may read them, up to the first where that
// cannot be done: done have them, err is about the next. [file.ErrNoXattrs]: the server has no such attributes.
func (c *Client) CopyXattrs(ctx context.Context, cred *rpc.Credential, pairs []file.Pair) (done int, err error) {
	if c.minor < 2 {
		return 0, file.ErrNoXattrs
	}
	for done < len(pairs) {
		lists, failed := c.listXattrs(ctx, cred, pairs[done:])
		for _, names := range lists {
			if err := c.copyXattrs(ctx, cred, pairs[done], names); err != nil {
				return done, err
			}
			done++
		}
		if failed != nil {
			return done, failed
		}
	}
	return done, nil
}

// xattrs are names of a file's attributes, of which more may follow.
type xattrs struct {
	names  []string
	cookie uint64
	eof    bool
}

// listXattrs asks for the names of some files' attributes, and returns them up to the first file where it cannot.
func (c *Client) listXattrs(ctx context.Context, cred *rpc.Credential, pairs []file.Pair) (lists []xattrs, err error) {
	l, err := c.ready(ctx)
	if err != nil {
		return nil, err
	}
	pairs = pairs[:min(len(pairs), l.lists())]
	r, err := c.do(ctx, cred, func(b *compound) {
		for _, p := range pairs {
			b.listXattrs(p.From, 0, listBytes)
		}
	})
	if err != nil {
		return nil, err
	}
	for range pairs {
		names, err := r.xattrs()
		switch {
		case status.Is(err, status.NotSupp, status.OpIllegal):
			return lists, file.ErrNoXattrs
		case status.Refused(err): // who may not read a file may not see its attributes either: it has none for us
			return append(lists, xattrs{eof: true}), nil
		case err != nil:
			return lists, err
		}
		lists = append(lists, names)
	}
	return lists, nil
}

// lists is how many files can be asked about in one compound.
func (l limits) lists() int {
	return max(1, min(listFiles, (int(l.ops)-fewestOps)/2, (int(l.response)-messageOverhead)/(listBytes+listOverhead)))
}

func (b *compound) listXattrs(h file.Handle, cookie uint64, size uint32) {
	b.putFH(h)
	b.op(opListXattrs)
	b.Uint64(cookie)
	b.Uint32(size)
}

// xattrs takes the reply of LISTXATTRS.
func (r *results) xattrs() (x xattrs, err error) {
	if err := r.pass(opListXattrs); err != nil {
		return x, err
	}
	x.decode(r.d)
	return x, r.d.Err()
}

func (x *xattrs) decode(d *xdr.Decoder) {
	x.cookie = d.Uint64()
	for range d.Count(4) {
		x.names = append(x.names, d.String(maxXattr))
	}
	x.eof = d.Bool()
}

// copyXattrs copies the attributes of one file that begin with those names.
func (c *Client) copyXattrs(ctx context.Context, cred *rpc.Credential, p file.Pair, list xattrs) error {
	for copied := 0; ; {
		for _, name := range list.names {
			if err := c.copyXattr(ctx, cred, p, name); err != nil {
				return err
			}
		}
		copied += len(list.names)
		if list.eof {
			return nil
		}
		r, err := c.do(ctx, cred, func(b *compound) { b.listXattrs(p.From, list.cookie, listMore) })
		if err != nil {
			return err
		}
		if list, err = r.xattrs(); err != nil {
			return err
		}
		if !list.eof && (len(list.names) == 0 || copied > mostXattrs) {
			r.d.Fail("LISTXATTRS does not come to an end")
			return r.d.Err()
		}
	}
}

// copyXattr copies one attribute; one that somebody removed meanwhile is left out.
func (c *Client) copyXattr(ctx context.Context, cred *rpc.Credential, p file.Pair, name string) error {
	r, err := c.on(ctx, cred, p.From, func(b *compound) {
		b.op(opGetXattr)
		b.String(name)
	})
	if err != nil {
		return err
	}
	err = r.pass(opGetXattr)
	if status.Is(err, status.NoXattr) {
		return nil
	}
	if err != nil {
		return err
	}
	value := r.d.Opaque(maxXattrValue)
	if err := r.d.End(); err != nil {
		return err
	}
	if l := c.granted(); len(value) > int(l.request)-reserveRequest {
		return &status.Error{Version: 4, Op: opNames[opSetXattr], Code: status.XattrTooBig}
	}
	r, err = c.on(ctx, cred, p.To, func(b *compound) { b.setXattr(name, value) })
	if err != nil {
		return err
	}
	return r.end()
}

func (b *compound) setXattr(name string, value []byte) {
	b.op(opSetXattr)
	b.Uint32(setEither)
	b.String(name)
	b.Opaque(value)
}
