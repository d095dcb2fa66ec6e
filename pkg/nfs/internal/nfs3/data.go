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
	writeUnstable = 0
	newMode       = 0o600 // of a file until it gets its own
	batchFiles    = 4     // one call each, so that a goroutine is worth its while
	batchCalls    = 32
)

// Limits tells how much to ask for at once.
func (c *Client) Limits(context.Context) (file.Limits, error) {
	return file.Limits{Chunk: c.chunk, Files: batchFiles, Calls: batchCalls}, nil
}

// ReadAt reads up to n bytes; it returns fewer where the file ends, or the server likes to.
func (c *Client) ReadAt(ctx context.Context, cred *rpc.Credential, h file.Handle, offset uint64, n int) (data []byte, eof bool, err error) {
	d, err := c.call(ctx, cred, procRead, h, func(e *xdr.Encoder) {
		e.Uint64(offset)
		e.Uint32(uint32(min(n, c.chunk)))
	})
	if err != nil {
		return nil, false, err
	}
	postOpAttr(d)
	d.Uint32() // count, also the length of the data
	eof = d.Bool()
	data = d.Opaque(n)
	if d.Err() == nil && len(data) == 0 && !eof {
		d.Fail("READ returned nothing before the end")
	}
	return data, eof, d.Err()
}

// MakeFiles makes files in a directory with their content, for which COMMIT is left to [Client.FinishFiles], up to the
// first that cannot be made.
func (c *Client) MakeFiles(ctx context.Context, cred *rpc.Credential, dir file.Handle, files []*file.Copy) (done int, err error) {
	for _, f := range files {
		if err := c.makeFile(ctx, cred, dir, f); err != nil {
			return done, err
		}
		if err := c.WriteAt(ctx, cred, f, []file.Segment{{Data: f.Data}}); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

func (c *Client) makeFile(ctx context.Context, cred *rpc.Credential, dir file.Handle, f *file.Copy) error {
	mode, empty := uint32(newMode), uint64(0)
	set := file.Set{Mode: &mode, UID: -1, GID: -1}
	how := uint32(createGuarded)
	for {
		if f.Begun {
			how, set.Size = createUnchecked, &empty
		}
		d, err := c.call(ctx, cred, procCreate, dir, func(e *xdr.Encoder) {
			e.String(f.Name)
			e.Uint32(how)
			encodeSet(e, set, timeKeep)
		})
		if !f.Begun && status.MaybeOurs(err, "CREATE") {
			f.Begun = true
			continue
		}
		if err != nil {
			return err
		}
		f.Begun = true
		f.To, _, err = c.made(ctx, cred, d, dir, f.Name)
		return err
	}
}

// WriteAt writes parts of a file; for stable storage there is FinishFiles.
func (c *Client) WriteAt(ctx context.Context, cred *rpc.Credential, f *file.Copy, parts []file.Segment) error {
	for _, p := range parts {
		for len(p.Data) > 0 {
			n, err := c.writeSome(ctx, cred, f, p)
			if err != nil {
				return err
			}
			p.Offset, p.Data = p.Offset+uint64(n), p.Data[n:]
		}
	}
	return nil
}

func (c *Client) writeSome(ctx context.Context, cred *rpc.Credential, f *file.Copy, p file.Segment) (int, error) {
	data := p.Data[:min(len(p.Data), c.chunk)]
	d, err := c.call(ctx, cred, procWrite, f.To, func(e *xdr.Encoder) {
		e.Uint64(p.Offset)
		e.Uint32(uint32(len(data)))
		e.Uint32(writeUnstable)
		e.Opaque(data)
	})
	if err != nil {
		return 0, err
	}
	skipWcc(d)
	n := int(d.Uint32())
	d.Uint32() // committed
	var v file.Verifier
	copy(v[:], d.Fixed(len(v)))
	if d.Err() == nil && (n <= 0 || n > len(data)) {
		d.Fail("WRITE wrote %d of %d bytes", n, len(data))
	}
	if d.Err() == nil {
		f.Wrote(v)
	}
	return n, d.Err()
}

// FinishFiles puts the content of files on stable storage and gives them their attributes, up to the first where that
// cannot be done. A file that must be written again is marked as lost.
func (c *Client) FinishFiles(ctx context.Context, cred *rpc.Credential, files []*file.Copy, want func(*file.Copy) []file.Set) (done int, err error) {
	for _, f := range files {
		if f.Written {
			v, err := c.commit(ctx, cred, f.To)
			if err != nil {
				return done, err
			}
			f.Committed(v)
		}
		for _, set := range want(f) {
			if _, err := c.SetattrOf(ctx, cred, f.To, set); err != nil {
				return done, err
			}
		}
		done++
	}
	return done, nil
}

func (c *Client) commit(ctx context.Context, cred *rpc.Credential, h file.Handle) (v file.Verifier, err error) {
	d, err := c.call(ctx, cred, procCommit, h, func(e *xdr.Encoder) {
		e.Uint64(0)
		e.Uint32(0) // everything
	})
	if err != nil {
		return v, err
	}
	skipWcc(d)
	copy(v[:], d.Fixed(len(v)))
	return v, d.Err()
}

// SetattrOf changes attributes and returns what they are then; of nothing to change it only returns them.
func (c *Client) SetattrOf(ctx context.Context, cred *rpc.Credential, h file.Handle, set file.Set) (file.Attr, error) {
	if set.Nothing() {
		return c.getattr(ctx, cred, h)
	}
	return c.setattr(ctx, cred, h, set, timeKeep)
}

// nodeTypes are the types of MKNOD.
var nodeTypes = map[fs.FileMode]uint32{
	fs.ModeDevice: 3, fs.ModeDevice | fs.ModeCharDevice: 4, fs.ModeSocket: 6, fs.ModeNamedPipe: 7,
}

// MakeIn makes something other than a regular file in a directory.
func (c *Client) MakeIn(ctx context.Context, cred *rpc.Credential, dir file.Handle, n file.Node) (file.Handle, file.Attr, error) {
	d, err := c.makeNode(ctx, cred, dir, n)
	if err != nil {
		return "", file.Attr{}, err
	}
	return c.made(ctx, cred, d, dir, n.Name)
}

func (c *Client) makeNode(ctx context.Context, cred *rpc.Credential, dir file.Handle, n file.Node) (*xdr.Decoder, error) {
	set := file.Set{Mode: &n.Mode, UID: -1, GID: -1}
	switch kind := nodeTypes[n.Type]; {
	case n.Type == fs.ModeDir:
		return c.call(ctx, cred, procMkdir, dir, func(e *xdr.Encoder) {
			e.String(n.Name)
			encodeSet(e, set, timeKeep)
		})
	case n.Type == fs.ModeSymlink:
		return c.call(ctx, cred, procSymlink, dir, func(e *xdr.Encoder) {
			e.String(n.Name)
			encodeSet(e, file.Set{UID: -1, GID: -1}, timeKeep)
			e.String(n.Target)
		})
	case kind != 0:
		return c.call(ctx, cred, procMknod, dir, func(e *xdr.Encoder) {
			e.String(n.Name)
			e.Uint32(kind)
			encodeSet(e, set, timeKeep)
			if n.Type&fs.ModeDevice != 0 {
				e.Uint32(n.Major)
				e.Uint32(n.Minor)
			}
		})
	}
	return nil, &status.Error{Version: 3, Op: "MKNOD", Code: status.BadType}
}

// LinkIn gives a file one more name.
func (c *Client) LinkIn(ctx context.Context, cred *rpc.Credential, h, dir file.Handle, name string) error {
	_, err := c.call(ctx, cred, procLink, h, func(e *xdr.Encoder) {
		e.String(string(dir))
		e.String(name)
	})
	return err
}

// ReadlinkOf returns the target of a link.
func (c *Client) ReadlinkOf(ctx context.Context, cred *rpc.Credential, h file.Handle) (string, error) {
	d, err := c.call(ctx, cred, procReadlink, h, nil)
	if err != nil {
		return "", err
	}
	postOpAttr(d)
	target := d.String(maxPath)
	return target, d.Err()
}

// CopyXattrs is of version 4.2.
func (c *Client) CopyXattrs(context.Context, *rpc.Credential, []file.Pair) (int, error) {
	return 0, file.ErrNoXattrs
}

// Segment, CloneFile and CopyRange are of version 4.2.
func (c *Client) Segment(context.Context, *rpc.Credential, file.Handle, uint64) (start, end uint64, ok bool, err error) {
	return 0, 0, false, errLater
}

// CloneFile is of version 4.2.
func (c *Client) CloneFile(context.Context, *rpc.Credential, *file.Copy) (uint64, error) {
	return 0, errLater
}

// CopyRange is of version 4.2.
func (c *Client) CopyRange(context.Context, *rpc.Credential, *file.Copy, uint64, uint64) (uint64, error) {
	return 0, errLater
}

var errLater = &status.Error{Version: 3, Op: "COPY", Code: status.NotSupp}
