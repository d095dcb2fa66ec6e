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
	l, err := c.ready(ctx)
	if err != nil {
		return 0, err
	}
	return l.chunk(), nil
}

func (l limits) chunk() int {
	smallest := min(l.request, l.response, 1<<20+messageOverhead)
	return int(smallest-messageOverhead) &^ 511
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
	data, eof, err := r.data(nil, chunk)
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

// data appends what READ brought, at most as many bytes as were asked for: what is beyond would be taken for what follows.
func (r *results) data(before []byte, most int) ([]byte, bool, error) {
	if err := r.pass(opRead); err != nil {
		return before, false, err
	}
	eof := r.d.Bool()
	data := append(before, r.d.Opaque(most)...)
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
	return r.data(data, chunk)
}

// CreateFile makes a file that was not there, with exactly this mode and content, on stable storage: in one round trip
// where one WRITE is enough, since version 4.1. What cannot be written whole is removed again.
func (c *Client) CreateFile(ctx context.Context, cred *rpc.Credential, path []string, data []byte, mode uint32) error {
	chunk, err := c.chunk(ctx)
	if err != nil {
		return err
	}
	parent, name := split(path)
	dir, err := c.at(ctx, cred, parent, 1)
	if err != nil {
		return err
	}
	set := file.Set{Mode: &mode, UID: -1, GID: -1}
	first := data[:min(len(data), chunk)]
	f, written, err := c.create(ctx, cred, dir, name, set, first, len(first) == len(data))
	if f == nil {
		return err
	}
	for err == nil && written < len(data) {
		var n int
		n, err = c.writeOn(ctx, cred, f, data[written:min(written+chunk, len(data))], uint64(written), written+chunk >= len(data))
		written += n
	}
	return c.finish(ctx, cred, path, f, err)
}

// opened is a regular file that we made and that is open for writing, until closed.
type opened struct {
	handle file.Handle
	state  stateID
	owner  *openOwner
	closed bool
}

// lose is for state that the server does not know (any more), as err says: the file is written without (RFC 8881 section
// 8.2.3), and there is nothing to close.
func (f *opened) lose(err error) {
	f.state, f.closed = stateID{}, true
	if !closedBefore(err) {
		f.owner.lose()
	}
}

// closedBefore tells that a request that was sent again found the file closed, by itself: nothing is open. Only the open
// owner is given up, as its requests may be numbered otherwise by now.
func closedBefore(err error) bool {
	return status.Is(err, status.BadStateID) && status.MaybeOurs(err, "WRITE", "CLOSE")
}

// create makes name in dir, which must not be there, with exactly these attributes, and opens it. It also writes the first
// bytes, and closes the file if they are the whole, where that takes no further message. The file is there when it is
// returned, whatever the error.
func (c *Client) create(ctx context.Context, cred *rpc.Credential, dir place, name string, set file.Set, first []byte, whole bool) (
	f *opened, written int, err error,
) {
	if c.minor == 0 {
		f, err = c.openPlain(ctx, cred, dir, name, set)
	} else {
		f, written, err = c.createWhole(ctx, cred, dir, name, set, first, whole)
	}
	if f != nil && status.Later(err) { // with what follows OPEN
		err = c.setByHandle(ctx, cred, f.handle, set)
	}
	return f, written, err
}

func (c *Client) createWhole(ctx context.Context, cred *rpc.Credential, dir place, name string, set file.Set, first []byte, whole bool) (
	f *opened, written int, err error,
) {
	owner := &openOwner{name: rand.Text()}
	r, err := c.do(ctx, cred, func(b *compound) {
		owner.clientID = c.id()
		b.create(c, dir, owner, name, set)
		if len(first) > 0 {
			b.write(currentState(), 0, first)
		}
		if whole {
			b.close(owner, currentState())
		}
	})
	if err != nil {
		return nil, 0, err
	}
	f, _, err = r.opened(owner)
	if err == nil && len(first) > 0 {
		written, err = r.written(len(first))
	}
	if err == nil && whole && written == len(first) {
		f.ended(r.end())
	}
	return f, written, err
}

// create asks for what [results.opened] reads.
func (b *compound) create(c *Client, dir place, owner *openOwner, name string, set file.Set) {
	b.place(c, dir)
	b.openNew(owner, name, set)
	b.op(opGetFH)
	b.setattr(set) // whatever a umask or an ACL took away
}

// opened reads what came of making a file; there is one if it is returned, whatever the error. confirm tells that the
// server wants to have the open owner confirmed.
func (r *results) opened(owner *openOwner) (f *opened, confirm bool, err error) {
	f = &opened{owner: owner}
	if f.state, confirm, err = r.open(); err != nil {
		return nil, false, err
	}
	if f.handle, err = r.handle(); err == nil {
		err = r.passed(opSetattr)
	}
	return f, confirm && f.handle != "", err
}

// finish closes a file that is still open, and removes it when it could not be written.
func (c *Client) finish(ctx context.Context, cred *rpc.Credential, path []string, f *opened, failure error) error {
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	c.closeFile(undo, cred, f)
	if failure == nil {
		return nil
	}
	if err := c.Remove(undo, cred, path); err != nil {
		c.log.Warn("removing a file that could not be written", "err", err)
	}
	return failure
}

// closeFile closes a file that is still open. A server that does not hear it closes the file when our lease ends; the
// content is on its disk.
func (c *Client) closeFile(ctx context.Context, cred *rpc.Credential, f *opened) {
	if f.closed || f.handle == "" {
		return
	}
	r, err := c.do(ctx, cred, func(b *compound) {
		b.putFH(f.handle)
		b.close(f.owner, f.state)
	})
	if err == nil {
		err = r.end()
	}
	f.ended(err)
	if err != nil {
		f.lose(err)
		c.log.Debug("closing a file", "err", err)
	}
}

// ended notes what became of closing the file.
func (f *opened) ended(err error) {
	if err == nil {
		f.closed = true
		f.owner.release()
	}
}

func (c *Client) id() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clientID
}

// openNew makes a file and opens it.
func (b *compound) openNew(owner *openOwner, name string, set file.Set) {
	access := uint32(openAccessWrite)
	if b.minor > 0 {
		access |= openWantNoDeleg
	}
	b.change(opOpen)
	b.number(owner)
	b.Uint32(access)
	b.Uint32(0) // deny nobody
	b.Uint64(owner.clientID)
	b.String(owner.name)
	b.Uint32(openCreate)
	b.Uint32(createGuarded)
	encodeSet(&b.Encoder, set)
	b.Uint32(claimNull)
	b.String(name)
}

func (r *results) open() (id stateID, confirm bool, err error) {
	if err := r.pass(opOpen); err != nil {
		return id, false, err
	}
	id, confirm = decodeOpen(r.d)
	return id, confirm, r.d.Err()
}

// decodeOpen reads OPEN4resok. We ask for no delegation, but a server may still grant one.
func decodeOpen(d *xdr.Decoder) (id stateID, confirm bool) {
	copy(id[:], d.Fixed(len(id)))
	d.Fixed(20) // change_info
	confirm = d.Uint32()&openMustConfirm != 0
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
	return id, confirm
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

func (b *compound) close(owner *openOwner, id stateID) {
	b.op(opClose)
	b.number(owner)
	b.Fixed(id[:])
}

func (r *results) written(most int) (int, error) {
	if err := r.pass(opWrite); err != nil {
		return 0, err
	}
	n := r.d.Uint32()
	committed := r.d.Uint32()
	r.d.Fixed(8) // verifier
	if r.d.Err() == nil && (n == 0 || uint64(n) > uint64(most) || committed != writeFileSync) {
		r.d.Fail("WRITE wrote %d of %d bytes, stable %d", n, most, committed)
	}
	return int(n), r.d.Err()
}

// writeOn writes one chunk, and closes the file after the last. When the server has lost the state of the file, it is
// written without.
func (c *Client) writeOn(ctx context.Context, cred *rpc.Credential, f *opened, data []byte, offset uint64, last bool) (int, error) {
	for {
		closing := last && !f.closed
		r, err := c.do(ctx, cred, func(b *compound) {
			b.putFH(f.handle)
			b.write(f.state, offset, data)
			if closing {
				b.close(f.owner, f.state)
			}
		})
		if err != nil {
			return 0, err
		}
		n, err := r.written(len(data))
		if err == nil && closing {
			f.ended(r.end())
		}
		if !stateLost(err) || f.state == (stateID{}) {
			return n, err
		}
		c.log.Debug("writing without state", "err", err)
		f.lose(err)
	}
}

// stateLost tells that the server does not know the state of an open file (any more).
func stateLost(err error) bool {
	return status.Is(err, status.BadStateID, status.StaleStateID, status.OldStateID, status.Expired, status.AdminRevoked)
}
