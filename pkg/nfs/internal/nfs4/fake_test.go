package nfs4

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// fake is a server of version 4 with one flat directory: whatever is looked up is looked for there. It keeps sessions with
// slots and cached replies as RFC 8881 wants, or the state of RFC 7530, complains of compounds that exceed what it granted,
// and does wrong what a test tells it.
type fake struct {
	t        *testing.T
	minor    uint32 // the only one it has
	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex
	conns    []net.Conn
	sessions map[[sessionIDSize]byte]*fakeSession
	made     int               // sessions
	clients  map[uint64]string // owners by client ID
	met      int               // clients
	names    map[string]bool
	files    map[string][]byte
	did      []string // CREATE, OPEN and REMOVE that were carried out
	maxOps   uint32
	slots    uint32
	message  uint32            // largest request and response
	owner    map[string]uint32 // of directories that only their owner may search
	state    fakeState
	mode     uint32 // of everything
	deaf     bool   // answer nothing any more
	calls    bool   // call the client before each answer

	inode uint64 // of everything
	// answers to operations, in the place of the fake's own
	answers map[uint32]func(w *work) status.Code
	// fault is asked before each compound of a session, or of version 4.0, with its operations after SEQUENCE; the zero
	// value does nothing.
	fault func(ops []uint32) fault
}

type fakeSession struct {
	client uint64
	seq    map[uint32]uint32
	cache  map[uint32][]byte
}

// fault is what goes wrong with one compound.
type fault struct {
	sequence status.Code // SEQUENCE answers this
	op       uint32      // this operation
	code     status.Code // answers this
	forget   bool        // everything about the client, before the compound is looked at
	hangUp   bool        // after carrying it out, instead of answering
	late     bool        // forget everything about the client after carrying it out
	silent   bool        // carry it out and do not answer
}

func startFake(t *testing.T) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{
		t: t, minor: 1, listener: l, names: map[string]bool{}, files: map[string][]byte{}, maxOps: 16, slots: 4, message: 1 << 16, mode: 0o755,
		fault: func([]uint32) fault { return fault{} },
	}
	f.forget()
	f.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, nc)
			f.mu.Unlock()
			f.wg.Go(func() { f.serve(nc) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.cut()
		f.wg.Wait()
	})
	return f
}

// cut closes all connections.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, nc := range f.conns {
		nc.Close()
	}
}

// connect opens a client whose export is the server's root.
func (f *fake) connect(silence time.Duration) *Client {
	f.t.Helper()
	return f.connectWith(f.config(silence))
}

func (f *fake) connectWith(cfg Config) *Client {
	f.t.Helper()
	c, err := Connect(f.t.Context(), cfg, f.minor)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	if _, err := c.Walk(f.t.Context(), &rpc.Credential{}); err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fake) config(silence time.Duration) Config {
	d := &rpc.Dialer{Host: "127.0.0.1", Port: f.listener.Addr().(*net.TCPAddr).Port, Timeout: 2 * time.Second}
	d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return Config{Dialer: d, Silence: silence, Log: slog.New(slog.DiscardHandler)}
}

// set changes the fault.
func (f *fake) set(fault func(ops []uint32) fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// once is a fault that happens to the first compound with the operation.
func once(op uint32, what fault) func([]uint32) fault {
	happened := false
	return func(ops []uint32) fault {
		if happened || !slices.Contains(ops, op) {
			return fault{}
		}
		happened = true
		return what
	}
}

var errHangUp = errors.New("hang up")

func (f *fake) serve(nc net.Conn) {
	defer nc.Close()
	for {
		var mark [4]byte
		if _, err := readFull(nc, mark[:]); err != nil {
			return
		}
		call := make([]byte, int(mark[1])<<16|int(mark[2])<<8|int(mark[3]))
		if _, err := readFull(nc, call); err != nil {
			return
		}
		reply, err := f.answer(call)
		if err != nil {
			return
		}
		if reply == nil {
			continue
		}
		var e xdr.Encoder
		if f.calls { // CB_NULL of a back channel that nobody offered
			for _, w := range []uint32{1<<31 | 40, 7, 0, 2, 0x40000000, 1, 0, 0, 0, 0, 0} {
				e.Uint32(w)
			}
		}
		e.Uint32(1<<31 | uint32(len(reply)))
		if _, err := nc.Write(append(e.B, reply...)); err != nil {
			return
		}
	}
}

func readFull(nc net.Conn, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = nc.Read(b[n:])
		n += m
	}
	return n, err
}

func (f *fake) answer(call []byte) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf {
		return nil, nil
	}
	d := xdr.NewDecoder(call)
	var e xdr.Encoder
	e.Uint32(d.Uint32())
	for _, w := range []uint32{1, 0, 0, 0, 0} { // an accepted reply
		e.Uint32(w)
	}
	d.Fixed(5 * 4)
	d.Uint32()
	w := &work{fake: f, uid: credentialUID(d.Opaque(400)), r: &reply{}, size: len(call)}
	d.Uint32()
	d.Opaque(400)
	d.Opaque(1024) // tag
	minor := d.Uint32()
	w.d, w.left = d, int(d.Uint32())
	body, err := w.compound(minor)
	if body == nil || err != nil {
		return nil, err
	}
	return append(e.B, body...), nil
}

// credentialUID reads an AUTH_SYS credential.
func credentialUID(body []byte) uint32 {
	d := xdr.NewDecoder(body)
	d.Uint32()
	d.Opaque(255)
	return d.Uint32()
}

// forget drops what is known of clients, as a restart does.
func (f *fake) forget() {
	f.sessions = map[[sessionIDSize]byte]*fakeSession{}
	f.clients = map[uint64]string{}
	f.state = newFakeState()
}

// work is one compound being carried out.
type work struct {
	*fake
	uid  uint32
	d    *xdr.Decoder
	left int // operations
	size int // of the call
	r    *reply
	fh   string

	saved string
}

// compound carries out one compound and returns its encoded results.
func (w *work) compound(minor uint32) ([]byte, error) {
	if minor != w.minor {
		return w.r.done(status.MinorMismatch), nil
	}
	w.check("operations", w.left, w.maxOps)
	w.check("bytes of a request", w.size, w.message)
	op := w.d.Uint32()
	if op == opSequence {
		return w.sequence()
	}
	what := w.fault(operations(op, w.d.Rest(), w.left))
	if minor > 0 && what.op == op {
		return w.r.only(op, what.code), nil
	}
	if minor > 0 {
		return w.r.done(w.operation(op)), nil
	}
	if what.forget {
		w.forget()
	}
	return w.ending(what, w.run(op, what))
}

// check finds a client that provokes NFS4ERR_TOO_MANY_OPS and the like.
func (w *work) check(what string, n int, most uint32) {
	if n > int(most) {
		w.t.Errorf("%d %s, %d granted", n, what, most)
	}
}

func (w *work) sequence() ([]byte, error) {
	var id [sessionIDSize]byte
	copy(id[:], w.d.Fixed(sessionIDSize))
	seq, slot := w.d.Uint32(), w.d.Uint32()
	w.d.Uint32()
	cache := w.d.Bool()
	w.left--
	what := w.fault(operations(0, w.d.Rest(), w.left))
	if what.forget {
		w.forget()
	}
	s := w.sessions[id]
	switch {
	case s == nil:
		return w.r.only(opSequence, status.BadSession), nil
	case what.sequence != status.OK:
		return w.r.only(opSequence, what.sequence), nil
	case seq == s.seq[slot] && s.cache[slot] != nil:
		return s.cache[slot], nil
	case seq == s.seq[slot]:
		return w.r.only(opSequence, status.RetryUncached), nil
	case seq != s.seq[slot]+1:
		return w.r.only(opSequence, status.SeqMisordered), nil
	}
	s.seq[slot] = seq
	w.r.op(opSequence, status.OK)
	w.r.Fixed(make([]byte, sessionIDSize+4*4))
	w.r.Uint32(0xffffffff) // all flags: nothing that concerns us
	body := w.run(0, what)
	if s.cache[slot] = nil; cache {
		s.cache[slot] = body
		w.check("bytes of a cached reply", len(body)+24, askCachedReply)
	}
	return w.ending(what, body)
}

// ending is what becomes of an answer.
func (w *work) ending(what fault, body []byte) ([]byte, error) {
	w.check("bytes of a reply", len(body)+24, w.message)
	if what.late {
		w.forget()
	}
	switch {
	case what.hangUp:
		return nil, errHangUp
	case what.silent:
		return nil, nil
	}
	return body, nil
}

// run carries out what is left, beginning with op where that has been read already.
func (w *work) run(op uint32, what fault) []byte {
	for range w.left {
		if op == 0 {
			op = w.d.Uint32()
		}
		if op == what.op {
			return w.r.done(w.faulty(op, what.code))
		}
		if code := w.operation(op); code != status.OK {
			return w.r.done(code)
		}
		op = 0
	}
	return w.r.done(status.OK)
}

// reply is a COMPOUND4res being built.
type reply struct {
	xdr.Encoder
	count uint32
}

func (r *reply) op(op uint32, code status.Code) status.Code {
	r.count++
	r.Uint32(op)
	r.Uint32(uint32(code))
	return code
}

func (r *reply) only(op uint32, code status.Code) []byte { return r.done(r.op(op, code)) }

func (r *reply) done(code status.Code) []byte {
	var e xdr.Encoder
	e.Uint32(uint32(code))
	e.Uint32(0)
	e.Uint32(r.count)
	return append(e.B, r.B...)
}

// operations lists what a compound asks for, by running it on a server that does nothing; first is the operation that has
// been read already, 0 for none.
func operations(first uint32, body []byte, n int) []uint32 {
	dry := &work{fake: &fake{names: map[string]bool{}, files: map[string][]byte{}}, d: xdr.NewDecoder(bytes.Clone(body)), r: &reply{}}
	dry.forget()
	var ops []uint32
	for range n {
		op := first
		if first = 0; op == 0 {
			op = dry.d.Uint32()
		}
		ops = append(ops, op)
		dry.operation(op)
	}
	return ops
}
