package nfs4

import (
	"context"
	"crypto/rand"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// Content is read and written with the anonymous stateid (RFC 8881 section 8.2.3), so that a file is open for no longer than
// it takes to make it and nothing is lost with a session.
//
// No compound has more than one READ or WRITE, though the protocol allows it: Linux (6.1 for one) mixes up the content of
// the second and later ones, without a word, when it does not begin at a page of its buffer.

// Operations of one file in the longest compound with many, bytes of it, files that one goroutine is worth its while for,
// and calls in flight.
const (
	finishOps = 4
	fileBytes = 512
	copyFiles = 6
	copyCalls = 24
	fewestOps = 2 // SEQUENCE, and one to spare
	cloneOps  = 9 // of making a file by CLONE
)

// Limits tells how much to ask for at once.
func (c *Client) Limits(ctx context.Context) (file.Limits, error) {
	l, err := c.ready(ctx)
	if err != nil {
		return file.Limits{}, err
	}
	return file.Limits{
		Chunk: l.chunk(), Files: copyFiles, Calls: max(1, min(copyCalls, int(l.slots))), Clone: c.minor >= 2 && l.ops >= cloneOps,
	}, nil
}

// MakeFiles makes files in a directory with their content, for which COMMIT is left to [Client.FinishFiles].
func (c *Client) MakeFiles(ctx context.Context, cred *rpc.Credential, dir file.Handle, files []*file.Copy) (done int, err error) {
	for _, f := range files {
		if err := c.makeFile(ctx, cred, dir, f); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

// newMode is a file's mode until it gets its own.
const newMode = 0o600

// makeFile makes one file, patiently: a server may ask for time when the file is there and has no content yet.
func (c *Client) makeFile(ctx context.Context, cred *rpc.Credential, dir file.Handle, f *file.Copy) (err error) {
	switch {
	case f.Begun:
		return c.makeAgain(ctx, cred, dir, f)
	case c.minor == 0:
		err = c.makePlain(ctx, cred, dir, f)
	default:
		err = c.makeNew(ctx, cred, dir, f)
	}
	f.Begun = f.Begun || status.MaybeOurs(err, "OPEN")
	if f.Begun && (status.Later(err) || status.Is(err, status.Exist)) {
		return c.makeAgain(ctx, cred, dir, f)
	}
	return err
}

func (c *Client) makeNew(ctx context.Context, cred *rpc.Credential, dir file.Handle, f *file.Copy) error {
	r, err := c.do(ctx, cred, func(b *compound) {
		owner, mode := &openOwner{name: rand.Text(), clientID: c.id()}, uint32(newMode)
		if f.Clone {
			b.putFH(f.From)
			b.op(opSaveFH)
		}
		b.putFH(dir)
		b.openNew(owner, f.Name, file.Set{Mode: &mode, UID: -1, GID: -1})
		b.close(owner, currentState())
		b.op(opGetFH)
		switch {
		case f.Clone:
			b.clone()
		case len(f.Data) > 0:
			b.writeSome(file.Segment{Data: f.Data})
		}
	})
	if err != nil {
		return err
	}
	if _, _, err := r.open(); err != nil {
		return err
	}
	f.Begun = true
	if f.To, err = r.handle(); err != nil {
		return err
	}
	if f.Clone {
		size, err := r.cloned()
		return f.Cloned(size, err)
	}
	return c.wrote(ctx, cred, r, f)
}

// wrote takes the result of a WRITE of a file's whole content, and writes what was left of it.
func (c *Client) wrote(ctx context.Context, cred *rpc.Credential, r *results, f *file.Copy) error {
	if len(f.Data) == 0 {
		return nil
	}
	n, verifier, err := r.wroteSome(len(f.Data))
	if err != nil {
		return err
	}
	f.Wrote(verifier)
	if n < len(f.Data) {
		return c.WriteAt(ctx, cred, f, []file.Segment{{Offset: uint64(n), Data: f.Data[n:]}})
	}
	return nil
}

// makeAgain makes a file that may be there already, whole or in part, and if so because of us.
func (c *Client) makeAgain(ctx context.Context, cred *rpc.Credential, dir file.Handle, f *file.Copy) error {
	h, a, err := c.LookupIn(ctx, cred, dir, f.Name)
	if status.Is(err, status.NoEnt) {
		f.Begun = false
		return c.makeFile(ctx, cred, dir, f)
	}
	if err != nil {
		return err
	}
	if a.Type != 0 {
		return &status.Error{Version: 4, Op: "OPEN", Code: status.Exist}
	}
	var empty uint64
	mode := uint32(newMode)
	if _, err := c.SetattrOf(ctx, cred, h, file.Set{Mode: &mode, UID: -1, GID: -1, Size: &empty}); err != nil {
		return err
	}
	f.To = h
	if f.Clone {
		size, err := c.CloneFile(ctx, cred, f)
		return f.Cloned(size, err)
	}
	return c.WriteAt(ctx, cred, f, []file.Segment{{Data: f.Data}})
}

// makePlain is for version 4.0, in which a file cannot be closed in the compound that opens it.
func (c *Client) makePlain(ctx context.Context, cred *rpc.Credential, dir file.Handle, f *file.Copy) error {
	mode := uint32(newMode)
	made, _, err := c.create(ctx, cred, place{handle: dir}, f.Name, file.Set{Mode: &mode, UID: -1, GID: -1}, nil, false)
	if made == nil {
		return err
	}
	f.Begun, f.To = true, made.handle
	c.closeFile(ctx, cred, made)
	if err != nil {
		return err
	}
	return c.WriteAt(ctx, cred, f, []file.Segment{{Data: f.Data}})
}

// FinishFiles puts the content of files on stable storage and gives them their attributes, up to the first where that
// cannot be done. A file that must be written again is marked as lost.
func (c *Client) FinishFiles(ctx context.Context, cred *rpc.Credential, files []*file.Copy, want func(*file.Copy) []file.Set) (done int, err error) {
	for tries := 1; done < len(files); tries++ {
		l := c.granted()
		some := files[done:]
		some = some[:max(1, min(len(some), (int(l.ops)-fewestOps)/finishOps, l.chunk()/fileBytes))]
		r, err := c.do(ctx, cred, func(b *compound) {
			for _, f := range some {
				b.finish(f, want(f))
			}
		})
		if err != nil {
			return done, err
		}
		for _, f := range some {
			if err = r.finished(f, len(want(f))); err != nil {
				break
			}
			done++
			tries = 0
		}
		if err != nil && (!status.Later(err) || rpc.Sleep(ctx, rpc.Pause(tries+1)) != nil) {
			return done, err
		}
	}
	return done, nil
}

// finish asks for what [results.finished] reads.
func (b *compound) finish(f *file.Copy, want []file.Set) {
	b.putFH(f.To)
	if f.Written {
		b.commit()
	}
	for _, set := range want {
		b.setattr(set)
	}
}

func (r *results) finished(f *file.Copy, sets int) error {
	if err := r.passed(opPutFH); err != nil {
		return err
	}
	if f.Written {
		v, err := r.committed()
		if err != nil {
			return err
		}
		f.Committed(v)
	}
	for range sets {
		if err := r.passed(opSetattr); err != nil {
			return err
		}
	}
	return nil
}
