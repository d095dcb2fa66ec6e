package nfs4

import (
	"context"
	"io/fs"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// createTypes are the types of CREATE (nfs_ftype4), which makes everything but regular files.
var createTypes = map[fs.FileMode]uint32{
	fs.ModeDir: typeDirectory, fs.ModeSymlink: typeLink, fs.ModeNamedPipe: typeFIFO, fs.ModeSocket: typeSocket,
	fs.ModeDevice: typeBlock, fs.ModeDevice | fs.ModeCharDevice: typeChar,
}

// MakeIn makes something other than a regular file in a directory.
func (c *Client) MakeIn(ctx context.Context, cred *rpc.Credential, dir file.Handle, n file.Node) (file.Handle, file.Attr, error) {
	kind, known := createTypes[n.Type]
	if !known {
		return "", file.Attr{}, &status.Error{Version: 4, Op: "CREATE", Code: status.BadType}
	}
	r, err := c.on(ctx, cred, dir, func(b *compound) {
		b.change(opCreate)
		b.Uint32(kind)
		switch kind {
		case typeLink:
			b.String(n.Target)
		case typeBlock, typeChar:
			b.Uint32(n.Major)
			b.Uint32(n.Minor)
		}
		b.String(n.Name)
		set := file.Set{UID: -1, GID: -1}
		if kind != typeLink {
			set.Mode = &n.Mode
		}
		encodeSet(&b.Encoder, set)
		b.find()
	})
	if err != nil {
		return "", file.Attr{}, err
	}
	if err := r.passed(opCreate); err != nil {
		return "", file.Attr{}, err
	}
	h, a, err := r.found()
	if status.Later(err) { // it is there; asking again has patience
		return c.LookupIn(ctx, cred, dir, n.Name)
	}
	return h, a, err
}

// LinkIn gives a file one more name.
func (c *Client) LinkIn(ctx context.Context, cred *rpc.Credential, h, dir file.Handle, name string) error {
	r, err := c.on(ctx, cred, h, func(b *compound) {
		b.op(opSaveFH)
		b.putFH(dir)
		b.change(opLink)
		b.String(name)
	})
	if err != nil {
		return err
	}
	return r.end()
}

// ReadlinkOf returns the target of a link.
func (c *Client) ReadlinkOf(ctx context.Context, cred *rpc.Credential, h file.Handle) (string, error) {
	r, err := c.on(ctx, cred, h, func(b *compound) { b.op(opReadlink) })
	if err != nil {
		return "", err
	}
	if err := r.pass(opReadlink); err != nil {
		return "", err
	}
	target := r.d.String(maxTarget)
	return target, r.d.Err()
}

const maxTarget = 1 << 16 // of a link

// SetattrOf changes attributes and returns what they are then; of nothing to change it only returns them.
func (c *Client) SetattrOf(ctx context.Context, cred *rpc.Credential, h file.Handle, set file.Set) (file.Attr, error) {
	r, err := c.on(ctx, cred, h, func(b *compound) {
		if !set.Nothing() {
			b.setattr(set)
		}
		b.getattr(statBits)
	})
	if err != nil {
		return file.Attr{}, err
	}
	a, err := r.attr()
	if err != nil {
		return file.Attr{}, err
	}
	return a.Attr, nil
}
