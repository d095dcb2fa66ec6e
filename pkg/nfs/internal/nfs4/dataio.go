package nfs4

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// on runs a compound on one handle.
func (c *Client) on(ctx context.Context, cred *rpc.Credential, h file.Handle, build func(*compound)) (*results, error) {
	return c.do(ctx, cred, func(b *compound) {
		b.putFH(h)
		build(b)
	})
}

// ReadAt reads up to n bytes; it returns fewer where the file ends, or the server likes to.
func (c *Client) ReadAt(ctx context.Context, cred *rpc.Credential, h file.Handle, offset uint64, n int) (data []byte, eof bool, err error) {
	r, err := c.on(ctx, cred, h, func(b *compound) { b.read(offset, n) })
	if err != nil {
		return nil, false, err
	}
	return r.data(nil, n)
}

// WriteAt writes parts of a file; for stable storage there is FinishFiles.
func (c *Client) WriteAt(ctx context.Context, cred *rpc.Credential, f *file.Copy, parts []file.Segment) error {
	for _, p := range parts {
		for len(p.Data) > 0 {
			r, err := c.on(ctx, cred, f.To, func(b *compound) { b.writeSome(p) })
			if err != nil {
				return err
			}
			n, verifier, err := r.wroteSome(len(p.Data))
			if err != nil {
				return err
			}
			f.Wrote(verifier)
			p.Offset, p.Data = p.Offset+uint64(n), p.Data[n:]
		}
	}
	return nil
}

// writeSome writes with the anonymous stateid, and leaves stable storage to a later COMMIT.
func (b *compound) writeSome(p file.Segment) {
	b.op(opWrite)
	b.Fixed(make([]byte, len(stateID{})))
	b.Uint64(p.Offset)
	b.Uint32(writeUnstable)
	b.Opaque(p.Data)
}

func (r *results) wroteSome(most int) (n int, v file.Verifier, err error) {
	if err := r.pass(opWrite); err != nil {
		return 0, v, err
	}
	n = int(r.d.Uint32())
	r.d.Uint32() // committed
	copy(v[:], r.d.Fixed(len(v)))
	if r.d.Err() == nil && (n <= 0 || n > most) {
		r.d.Fail("WRITE wrote %d of %d bytes", n, most)
	}
	return n, v, r.d.Err()
}

func (b *compound) commit() {
	b.op(opCommit)
	b.Uint64(0)
	b.Uint32(0) // everything
}

func (r *results) committed() (v file.Verifier, err error) {
	if err := r.pass(opCommit); err != nil {
		return v, err
	}
	copy(v[:], r.d.Fixed(len(v)))
	return v, r.d.Err()
}

// Segment finds the next part of a file that has data, at or after offset. ok is false when only a hole is left. Versions
// before 4.2 match syscall.ENOTSUP, as do CloneFile and CopyRange, and so do servers that make no sense: ganesha finds both
// data and a hole at the beginning of every file.
func (c *Client) Segment(ctx context.Context, cred *rpc.Credential, h file.Handle, offset uint64) (start, end uint64, ok bool, err error) {
	start, nothing, err := c.seek(ctx, cred, h, offset, seekData)
	if status.Is(err, status.NXIO) {
		return 0, 0, false, nil
	}
	if err == nil && !nothing {
		end, _, err = c.seek(ctx, cred, h, start, seekHole)
	}
	if err == nil && end <= start {
		err = &status.Error{Version: 4, Op: "SEEK", Code: status.NotSupp}
	}
	return start, end, err == nil, err
}

func (c *Client) seek(ctx context.Context, cred *rpc.Credential, h file.Handle, offset uint64, what uint32) (found uint64, eof bool, err error) {
	if c.minor < 2 {
		return 0, false, &status.Error{Version: 4, Op: "SEEK", Code: status.NotSupp}
	}
	r, err := c.on(ctx, cred, h, func(b *compound) {
		b.seek(offset, what)
	})
	if err != nil {
		return 0, false, err
	}
	if err := r.pass(opSeek); err != nil {
		return 0, false, err
	}
	eof, found = r.d.Bool(), r.d.Uint64()
	if r.d.Err() == nil && found < offset {
		return 0, false, &status.Error{Version: 4, Op: "SEEK", Code: status.NotSupp}
	}
	return found, eof, r.d.Err()
}

// CloneFile makes the content of one file share the blocks of another's, and returns how long it is then.
func (c *Client) CloneFile(ctx context.Context, cred *rpc.Credential, f *file.Copy) (size uint64, err error) {
	if c.minor < 2 {
		return 0, &status.Error{Version: 4, Op: "CLONE", Code: status.NotSupp}
	}
	r, err := c.do(ctx, cred, func(b *compound) {
		b.between(f)
		b.clone()
	})
	if err != nil {
		return 0, err
	}
	return r.cloned()
}

// clone shares the content of the saved file with the current one, and asks for what [results.cloned] reads.
func (b *compound) clone() {
	b.op(opClone)
	b.anonymous()
	b.Uint64(0)
	b.Uint64(0)
	b.Uint64(0) // to the end
	b.getattr(bits(attrSize))
}

// cloned returns the size of the copy.
func (r *results) cloned() (size uint64, err error) {
	if err := r.pass(opClone); err != nil {
		return 0, err
	}
	a, err := r.attr()
	if err != nil {
		return 0, err
	}
	return a.Size, nil
}

func (b *compound) seek(offset uint64, what uint32) {
	b.op(opSeek)
	b.Fixed(make([]byte, len(stateID{})))
	b.Uint64(offset)
	b.Uint32(what)
}

func (b *compound) copyRange(f *file.Copy, offset, n uint64) {
	b.between(f)
	b.op(opCopy)
	b.anonymous()
	b.Uint64(offset)
	b.Uint64(offset)
	b.Uint64(n)
	b.Bool(true) // in order
	b.Bool(true) // synchronously
	b.Uint32(0)  // within this server
}

// between makes a file the saved one, and its copy the current one.
func (b *compound) between(f *file.Copy) {
	b.putFH(f.From)
	b.op(opSaveFH)
	b.putFH(f.To)
}

// anonymous gives both files of an operation the anonymous stateid.
func (b *compound) anonymous() { b.Fixed(make([]byte, 2*len(stateID{}))) }

// CopyRange lets the server copy part of a file to the same place of its copy, as far as it likes to at once; 0 is the end
// of the file. A server that wants to do so behind our back is told not to: that matches syscall.ENOTSUP.
func (c *Client) CopyRange(ctx context.Context, cred *rpc.Credential, f *file.Copy, offset, n uint64) (uint64, error) {
	notSupported := &status.Error{Version: 4, Op: "COPY", Code: status.NotSupp}
	if c.minor < 2 {
		return 0, notSupported
	}
	r, err := c.do(ctx, cred, func(b *compound) {
		b.copyRange(f, offset, n)
	})
	if err != nil {
		return 0, err
	}
	if err := r.pass(opCopy); err != nil {
		return 0, err
	}
	if r.d.Count(len(stateID{})) > 0 {
		c.cancelCopy(ctx, cred, f.To, r.d.Fixed(len(stateID{})))
		return 0, notSupported
	}
	copied := r.d.Uint64()
	r.d.Uint32() // committed
	var v file.Verifier
	copy(v[:], r.d.Fixed(len(v)))
	if r.d.Err() == nil && copied > n {
		r.d.Fail("COPY copied %d of %d bytes", copied, n)
	}
	if r.d.Err() == nil && copied > 0 {
		f.Wrote(v)
	}
	return copied, r.d.Err()
}

func (c *Client) cancelCopy(ctx context.Context, cred *rpc.Credential, h file.Handle, id []byte) {
	r, err := c.on(ctx, cred, h, func(b *compound) {
		b.op(opOffloadCancel)
		b.Fixed(id)
	})
	if err == nil {
		err = r.end()
	}
	if err != nil { // what it still writes is what we write, too
		c.log.Debug("ending a copy in the background", "err", err)
	}
}
