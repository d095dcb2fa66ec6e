package nfs4

import (
	"context"
	"crypto/rand"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

type stateID [16]byte

// currentState stands for the stateid of the OPEN before it in the same compound (RFC 8881 section 16.2.3.1.2).
func currentState() stateID { return stateID{3: 1} }

const messageOverhead = 4096 // of a READ or WRITE: headers, credential, names on the way

// chunk is how much data one READ or WRITE carries.
func (c *Client) chunk(ctx context.Context) (int, error) {
	s, err := c.current(ctx)
	if err != nil {
		return 0, err
	}
	smallest := min(s.limits.request, s.limits.response, 1<<20+messageOverhead)
	return int(max(smallest, messageOverhead+minMessage/2)-messageOverhead) &^ 511, nil
}

// ReadFile returns the content of a regular file of at most limit bytes.
func (c *Client) ReadFile(ctx context.Context, cred *rpc.Credential, path []string, limit int64) ([]byte, error) {
	chunk, err := c.chunk(ctx)
	if err != nil {
		return nil, err
	}
	chunk = int(min(int64(chunk), max(limit, 0)+1)) // one more tells whether the file is too long
	r, err := c.call(ctx, cred, path, func(b *compound) {
		b.getattr(bits(attrType, attrSize))
		b.op(opGetFH)
		b.read(0, chunk)
	})
	if err != nil {
		return nil, err
	}
	a, err := r.attr()
	if err != nil {
		return nil, err
	}
	if err := status.Readable(4, a.Attr, limit); err != nil {
		return nil, err
	}
	handle, err := r.handle()
	if err != nil {
		return nil, err
	}
	data, eof, err := r.data(nil)
	for err == nil && !eof && int64(len(data)) <= limit {
		data, eof, err = c.readOn(ctx, cred, handle, data, chunk)
	}
	if err == nil && int64(len(data)) > limit {
		err = &status.Error{Version: 4, Op: "READ", Code: status.FBig}
	}
	return data, err
}

func (b *compound) read(offset uint64, n int) {
	b.op(opRead)
	b.Fixed(make([]byte, 16)) // anonymous stateid
	b.Uint64(offset)
	b.Uint32(uint32(n))
}

func (r *results) data(before []byte) ([]byte, bool, error) {
	if err := r.pass(opRead); err != nil {
		return before, false, err
	}
	eof := r.d.Bool()
	data := append(before, r.d.Opaque(rpc.MaxRecord)...)
	if len(data) == len(before) && !eof {
		r.d.Fail("READ returned nothing before the end")
	}
	return data, eof, r.d.Err()
}

func (c *Client) readOn(ctx context.Context, cred *rpc.Credential, h file.Handle, data []byte, chunk int) ([]byte, bool, error) {
	r, err := c.do(ctx, cred, func(b *compound) {
		b.putFH(h)
		b.read(uint64(len(data)), chunk)
	})
	if err != nil {
		return data, false, err
	}
	return r.data(data)
}

// CreateFile makes a file that was not there, with exactly this mode and content, on stable storage: in one round trip
// where one WRITE is enough. What cannot be written whole is removed again.
func (c *Client) CreateFile(ctx context.Context, cred *rpc.Credential, path []string, data []byte, mode uint32) error {
	chunk, err := c.chunk(ctx)
	if err != nil {
		return err
	}
	dir, name := split(path)
	first := data[:min(len(data), chunk)]
	whole := len(first) == len(data)
	set := file.Set{Mode: &mode, UID: -1, GID: -1}
	owner := rand.Text()
	r, err := c.call(ctx, cred, dir, func(b *compound) {
		b.openNew(name, c.id(), owner, set)
		b.op(opGetFH)
		b.setattr(set, nil) // whatever a umask or an ACL took away
		if len(first) > 0 {
			b.write(currentState(), 0, first)
		}
		if whole {
			b.close(currentState())
		}
	})
	if err != nil {
		return err
	}
	open, err := r.open()
	if err != nil {
		return err
	}
	handle, err := r.handle()
	var written int
	if err == nil && len(first) > 0 {
		written, err = r.written()
	}
	if err == nil && whole && written == len(data) {
		return r.end()
	}
	if status.Later(err) {
		err = nil // the loop below has patience
	}
	for err == nil && written < len(data) {
		var n int
		n, err = c.writeOn(ctx, cred, handle, open, data[written:min(written+chunk, len(data))], uint64(written))
		written += n
	}
	return c.finish(ctx, cred, path, handle, open, err)
}

// finish closes a file that is still open, and removes it when it could not be written.
func (c *Client) finish(ctx context.Context, cred *rpc.Credential, path []string, h file.Handle, open stateID, failure error) error {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	r, err := c.do(undo, cred, func(b *compound) {
		b.putFH(h)
		b.close(open)
	})
	if err == nil {
		err = r.end()
	}
	if err != nil { // the server closes it when our lease ends; the content is on its disk
		c.log.Debug("closing a file", "err", err)
	}
	if failure == nil {
		return nil
	}
	if err := c.Remove(undo, cred, path); err != nil {
		c.log.Warn("removing a file that could not be written", "err", err)
	}
	return failure
}

func (c *Client) id() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clientID
}

func (b *compound) openNew(name string, clientID uint64, owner string, set file.Set) {
	b.change(opOpen)
	b.Uint32(0) // seqid: not used since 4.1
	b.Uint32(openAccessWrite | openWantNoDeleg)
	b.Uint32(0) // deny nobody
	b.Uint64(clientID)
	b.String(owner)
	b.Uint32(openCreate)
	b.Uint32(createGuarded)
	encodeSet(&b.Encoder, set, nil)
	b.Uint32(claimNull)
	b.String(name)
}

func (r *results) open() (stateID, error) {
	var id stateID
	if err := r.pass(opOpen); err != nil {
		return id, err
	}
	id = decodeOpen(r.d)
	return id, r.d.Err()
}

// decodeOpen reads OPEN4resok. We ask for no delegation, but a server may still grant one.
func decodeOpen(d *xdr.Decoder) stateID {
	var id stateID
	copy(id[:], d.Fixed(16))
	d.Fixed(20 + 4) // change_info, flags
	decodeBitmap(d)
	switch kind := d.Uint32(); kind {
	case 0:
	case delegateRead:
		d.Fixed(16 + 4)
		skipACE(d)
	case delegateWrite:
		d.Fixed(16 + 4)
		d.Fixed(4 + 8) // space limit: either arm is 8 bytes
		skipACE(d)
	case delegateNoneExt:
		if why := d.Uint32(); why == 1 || why == 2 { // contention, resource: say whether they will tell
			d.Bool()
		}
	default:
		d.Fail("delegation type %d", kind)
	}
	return id
}

func skipACE(d *xdr.Decoder) {
	d.Fixed(12)
	d.Opaque(maxOwner)
}

func (b *compound) write(id stateID, offset uint64, data []byte) {
	b.op(opWrite)
	b.Fixed(id[:])
	b.Uint64(offset)
	b.Uint32(writeFileSync)
	b.Opaque(data)
}

func (b *compound) close(id stateID) {
	b.op(opClose)
	b.Uint32(0) // seqid: not used since 4.1
	b.Fixed(id[:])
}

func (r *results) written() (int, error) {
	if err := r.pass(opWrite); err != nil {
		return 0, err
	}
	n := r.d.Uint32()
	committed := r.d.Uint32()
	r.d.Fixed(8) // verifier
	if r.d.Err() == nil && (n == 0 || committed != writeFileSync) {
		r.d.Fail("WRITE wrote %d bytes, stable %d", n, committed)
	}
	return int(n), r.d.Err()
}

func (c *Client) writeOn(ctx context.Context, cred *rpc.Credential, h file.Handle, open stateID, data []byte, offset uint64) (int, error) {
	r, err := c.do(ctx, cred, func(b *compound) {
		b.putFH(h)
		b.write(open, offset, data)
	})
	if err != nil {
		return 0, err
	}
	return r.written()
}
