package nfs4

import (
	"encoding/binary"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// compound is a list of operations being built: what the server does in one round trip, up to the first that fails.
type compound struct {
	xdr.Encoder
	minor uint32
	ops   []uint32
	count int // place of the number of operations
	seq   int // place of SEQUENCE's arguments, 0 without
	first int // index of the first operation that is not SEQUENCE
	// fatal is the index of the first operation that must not be done twice. If an earlier one or this one asks for
	// patience, nothing has happened yet and the whole compound may be repeated.
	fatal    int
	numbered numbered // of version 4.0
	fromRoot bool     // the first operation after SEQUENCE puts the export's handle
}

const sequenceArgs = sessionIDSize + 4*4

// newCompound starts with room for SEQUENCE, which the session fills in when it has a slot. Version 4.0 has none.
func newCompound(minor uint32) *compound {
	c := rawCompound(minor)
	if minor == 0 {
		return c
	}
	c.first = 1
	c.op(opSequence)
	c.seq = len(c.B)
	c.B = append(c.B, make([]byte, sequenceArgs)...)
	return c
}

func rawCompound(minor uint32) *compound {
	c := &compound{minor: minor, fatal: -1}
	c.B = make([]byte, 0, 512)
	c.String("") // tag
	c.Uint32(minor)
	c.count = c.Hole()
	return c
}

func (b *compound) op(n uint32) {
	b.ops = append(b.ops, n)
	b.Uint32(n)
	b.Fill(b.count, uint32(len(b.ops)))
}

// change is op for what must not be done twice.
func (b *compound) change(n uint32) {
	if b.fatal < 0 {
		b.fatal = len(b.ops)
	}
	b.op(n)
}

// repeatable tells whether failing at index i left everything as it was.
func (b *compound) repeatable(i int) bool { return b.fatal < 0 || i <= b.fatal }

// sequence fills in SEQUENCE. The reply is cached by the server where the compound changes something.
func (b *compound) sequence(session [sessionIDSize]byte, seq, slot, highest uint32) {
	a := b.B[b.seq : b.seq+sequenceArgs]
	copy(a, session[:])
	binary.BigEndian.PutUint32(a[16:], seq)
	binary.BigEndian.PutUint32(a[20:], slot)
	binary.BigEndian.PutUint32(a[24:], highest)
	a[31] = 0
	if b.fatal >= 0 {
		a[31] = 1
	}
}

func (b *compound) putFH(h file.Handle) {
	b.op(opPutFH)
	b.String(string(h))
}

func (b *compound) lookup(names []string) {
	for _, name := range names {
		b.op(opLookup)
		b.String(name)
	}
}

func (b *compound) getattr(want bitmap) {
	b.op(opGetattr)
	want.encode(&b.Encoder)
}

func (b *compound) setattr(set file.Set) {
	b.op(opSetattr)
	b.Fixed(make([]byte, 16)) // anonymous stateid
	encodeSet(&b.Encoder, set)
}

func (b *compound) remove(name string) {
	b.change(opRemove)
	b.String(name)
}

// results takes the replies of a compound's operations one after the other.
type results struct {
	d      *xdr.Decoder
	ops    []uint32 // what was asked
	next   int      // index into ops
	count  int      // replies that came
	code   status.Code
	resent bool // the request may have been done before, so "exists" or "not found" may be our own doing
}

func parseResults(body []byte, ops []uint32) (*results, error) {
	d := xdr.NewDecoder(body)
	r := &results{d: d, ops: ops, code: status.Code(d.Uint32())}
	d.Opaque(1024) // tag
	r.count = int(d.Uint32())
	if d.Err() != nil {
		return nil, d.Err()
	}
	if r.count == 0 && r.code != status.OK {
		return nil, &status.Error{Version: 4, Op: "COMPOUND", Code: r.code}
	}
	if r.count > len(ops) || r.count < len(ops) && r.code == status.OK || r.count == 0 {
		d.Fail("%d results for %d operations", r.count, len(ops))
	}
	return r, d.Err()
}

// expected counts the operations of one kind that were asked for.
func (r *results) expected(op uint32) int {
	n := 0
	for _, asked := range r.ops {
		if asked == op {
			n++
		}
	}
	return n
}

// succeeded counts the operations of one kind that were done.
func (r *results) succeeded(op uint32) int {
	n := 0
	for i, asked := range r.ops[:r.count] {
		if asked == op && i != r.failed() {
			n++
		}
	}
	return n
}

// failed is the index of the operation that failed, -1 when none did.
func (r *results) failed() int {
	if r.code == status.OK {
		return -1
	}
	return r.count - 1
}

// take opens the next operation's reply; its results follow in r.d. The error is the operation's own.
func (r *results) take() error {
	if r.d.Err() != nil {
		return r.d.Err()
	}
	if r.next >= r.count {
		return r.d.Err()
	}
	op := r.ops[r.next]
	r.next++
	got, code := r.d.Uint32(), status.Code(r.d.Uint32())
	if r.d.Err() == nil && got != op {
		r.d.Fail("reply of operation %d where %d was asked", got, op)
	}
	if r.d.Err() != nil {
		return r.d.Err()
	}
	if code != status.OK {
		return &status.Error{Version: 4, Op: opNames[op], Code: code, Resent: r.resent}
	}
	return nil
}

// passed takes replies up to and with the given operation, of which only the success matters.
func (r *results) passed(op uint32) error {
	err := r.pass(op)
	if err == nil {
		r.skip(op)
	}
	return err
}

// pass takes replies up to and with the given operation, skipping the results of those before it.
func (r *results) pass(op uint32) error {
	for r.next < r.count {
		current := r.ops[r.next]
		if err := r.take(); err != nil {
			return err
		}
		if current == op {
			return nil
		}
		r.skip(current)
	}
	r.d.Fail("no reply of %s", opNames[op])
	return r.d.Err()
}

// end skips what is left and returns the first failure.
func (r *results) end() error {
	for r.next < r.count {
		current := r.ops[r.next]
		if err := r.take(); err != nil {
			return err
		}
		r.skip(current)
	}
	if r.code != status.OK {
		r.d.Fail("none of %d results says what failed", r.count)
	}
	return r.d.End()
}

func (r *results) skip(op uint32) {
	switch op {
	case opSequence:
		r.d.Fixed(sessionIDSize + 5*4)
	case opCreate:
		r.d.Fixed(20)
		decodeBitmap(r.d)
	case opRemove, opLink, opSetXattr:
		r.d.Fixed(20)
	case opCommit:
		r.d.Fixed(8)
	case opRename:
		r.d.Fixed(40)
	case opSetattr:
		decodeBitmap(r.d)
	case opWrite, opClose, opOpenConfirm:
		r.d.Fixed(16)
	case opGetFH:
		r.d.Opaque(maxHandle)
	case opGetattr:
		var a attributes
		a.decode(r.d)
	case opOpen:
		decodeOpen(r.d)
	}
}

func (r *results) handle() (file.Handle, error) {
	if err := r.pass(opGetFH); err != nil {
		return "", err
	}
	h := file.Handle(r.d.String(maxHandle))
	if r.d.Err() == nil && h == "" { // which stands for one that is not known
		r.d.Fail("GETFH returned an empty handle")
	}
	return h, r.d.Err()
}

func (r *results) attr() (*attributes, error) {
	if err := r.pass(opGetattr); err != nil {
		return nil, err
	}
	a := new(attributes)
	a.decode(r.d)
	return a, r.d.Err()
}
