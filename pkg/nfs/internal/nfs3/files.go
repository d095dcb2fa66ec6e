package nfs3

import (
	"context"
	"crypto/rand"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

const (
	createUnchecked = 0
	createGuarded   = 1
	createExclusive = 2
	writeFileSync   = 2
)

// ReadFile returns the content of a regular file of at most limit bytes.
func (c *Client) ReadFile(ctx context.Context, cred *rpc.Credential, path []string, limit int64) ([]byte, error) {
	h, a, err := c.Lookup(ctx, cred, path)
	if err != nil {
		return nil, err
	}
	if err := status.Readable(3, a, limit); err != nil {
		return nil, err
	}
	var data []byte
	for eof := false; !eof; {
		if data, eof, err = c.read(ctx, cred, h, data); err != nil {
			return nil, err
		}
		if int64(len(data)) > limit {
			return nil, &status.Error{Version: 3, Op: "READ", Code: status.FBig}
		}
	}
	return data, nil
}

func (c *Client) read(ctx context.Context, cred *rpc.Credential, h file.Handle, before []byte) (data []byte, eof bool, err error) {
	d, err := c.call(ctx, cred, procRead, h, func(e *xdr.Encoder) {
		e.Uint64(uint64(len(before)))
		e.Uint32(uint32(c.chunk))
	})
	if err != nil {
		return nil, false, err
	}
	postOpAttr(d)
	d.Uint32() // count, also the length of the data
	eof = d.Bool()
	data = append(before, d.Opaque(c.chunk)...)
	if d.Err() == nil && len(data) == len(before) && !eof {
		d.Fail("READ returned nothing before the end")
	}
	return data, eof, d.Err()
}

// CreateFile makes a file that was not there, with exactly this mode and content, on stable storage. What cannot be
// written whole is removed again.
func (c *Client) CreateFile(ctx context.Context, cred *rpc.Credential, path []string, data []byte, mode uint32) error {
	parent, name := split(path)
	set := file.Set{Mode: &mode, UID: -1, GID: -1}
	return c.inDir(ctx, cred, parent, func(dir file.Handle) error {
		h, err := c.createExclusive(ctx, cred, dir, name, set)
		if status.Is(err, status.NotSupp) {
			h, err = c.createGuarded(ctx, cred, dir, name, set)
		}
		if err != nil {
			return err
		}
		for written := 0; written < len(data) && err == nil; {
			var n int
			n, err = c.write(ctx, cred, h, data[written:min(written+c.chunk, len(data))], uint64(written))
			written += n
		}
		if err != nil {
			c.undo(ctx, cred, procRemove, dir, name)
		}
		return err
	})
}

// createExclusive makes a file by a verifier, so that a repeated request knows its own file. The server keeps the
// verifier in attributes, which are set right afterwards (RFC 1813 section 3.3.8).
func (c *Client) createExclusive(ctx context.Context, cred *rpc.Credential, dir file.Handle, name string, set file.Set) (file.Handle, error) {
	var verifier [8]byte
	rand.Read(verifier[:])
	create := func() (*xdr.Decoder, error) {
		return c.call(ctx, cred, procCreate, dir, func(e *xdr.Encoder) {
			e.String(name)
			e.Uint32(createExclusive)
			e.Fixed(verifier[:])
		})
	}
	d, err := create()
	// While the first request is under way the server may not yet see that the file is this verifier's.
	for tries := 2; tries < 6 && status.Is(err, status.Exist) && status.MaybeOurs(err, "CREATE"); tries++ {
		if over := rpc.Sleep(ctx, rpc.Pause(tries)); over != nil {
			return "", over
		}
		d, err = create()
		status.NoteResent(err, true)
	}
	if err != nil {
		return "", err
	}
	h, _, err := c.made(ctx, cred, d, dir, name)
	if err != nil {
		return "", err
	}
	if _, err = c.setattr(ctx, cred, h, set, timeServer); err != nil {
		c.undo(ctx, cred, procRemove, dir, name)
	}
	return h, err
}

// createGuarded is for servers without exclusive creation.
func (c *Client) createGuarded(ctx context.Context, cred *rpc.Credential, dir file.Handle, name string, set file.Set) (file.Handle, error) {
	d, err := c.call(ctx, cred, procCreate, dir, func(e *xdr.Encoder) {
		e.String(name)
		e.Uint32(createGuarded)
		encodeSet(e, set, timeKeep)
	})
	if err != nil {
		return "", err
	}
	h, a, err := c.made(ctx, cred, d, dir, name)
	if err != nil {
		return "", err
	}
	if a.Mode == *set.Mode {
		return h, nil
	}
	if _, err = c.setattr(ctx, cred, h, set, timeKeep); err != nil {
		c.undo(ctx, cred, procRemove, dir, name)
	}
	return h, err
}

func (c *Client) write(ctx context.Context, cred *rpc.Credential, h file.Handle, data []byte, offset uint64) (int, error) {
	d, err := c.call(ctx, cred, procWrite, h, func(e *xdr.Encoder) {
		e.Uint64(offset)
		e.Uint32(uint32(len(data)))
		e.Uint32(writeFileSync)
		e.Opaque(data)
	})
	if err != nil {
		return 0, err
	}
	skipWcc(d)
	n, committed := d.Uint32(), d.Uint32()
	if d.Err() == nil && (n == 0 || int(n) > len(data) || committed != writeFileSync) {
		d.Fail("WRITE wrote %d of %d bytes, stable %d", n, len(data), committed)
	}
	d.Fixed(8) // verifier
	return int(n), d.End()
}
