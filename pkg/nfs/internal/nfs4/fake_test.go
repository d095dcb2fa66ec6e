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

// fake is a server of version 4.1 with one flat directory. It keeps sessions with slots and cached replies as RFC 8881
// wants, and does wrong what a test tells it.
type fake struct {
	t        *testing.T
	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex
	conns    []net.Conn
	sessions map[[sessionIDSize]byte]*fakeSession
	made     int // sessions
	clients  int
	names    map[string]bool
	did      []string // CREATE and REMOVE that were carried out
	maxOps   uint32
	slots    uint32

	// fault is asked before each compound in a session, with its operations after SEQUENCE; the zero value does nothing.
	fault func(ops []uint32) fault
}

type fakeSession struct {
	seq   map[uint32]uint32
	cache map[uint32][]byte
}

// fault is what goes wrong with one compound.
type fault struct {
	sequence status.Code // SEQUENCE answers this
	op       uint32      // this operation
	code     status.Code // answers this
	forget   bool        // all sessions, before the compound is looked at
	hangUp   bool        // after carrying it out, instead of answering
	late     bool        // forget all sessions after carrying it out
	silent   bool        // carry it out and do not answer
}

func startFake(t *testing.T) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{
		t: t, listener: l, sessions: map[[sessionIDSize]byte]*fakeSession{}, names: map[string]bool{}, maxOps: 16, slots: 4,
		fault: func([]uint32) fault { return fault{} },
	}
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
		f.mu.Lock()
		for _, nc := range f.conns {
			nc.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	return f
}

// connect opens a client whose export is the server's root.
func (f *fake) connect(silence time.Duration) *Client {
	f.t.Helper()
	c, err := Connect(f.t.Context(), f.config(silence), 1)
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
	d := xdr.NewDecoder(call)
	var e xdr.Encoder
	e.Uint32(d.Uint32())
	for _, w := range []uint32{1, 0, 0, 0, 0} { // an accepted reply
		e.Uint32(w)
	}
	d.Fixed(5 * 4)
	d.Uint32()
	d.Opaque(400)
	d.Uint32()
	d.Opaque(400)
	d.Opaque(1024) // tag
	minor := d.Uint32()
	body, err := f.compound(d, minor, int(d.Uint32()))
	if body == nil || err != nil {
		return nil, err
	}
	return append(e.B, body...), nil
}

// compound carries out one compound and returns its encoded results.
func (f *fake) compound(d *xdr.Decoder, minor uint32, n int) ([]byte, error) {
	r := &reply{}
	if minor != 1 {
		return r.done(status.MinorMismatch), nil
	}
	if op := d.Uint32(); op != opSequence {
		return r.done(f.operation(op, d, r)), nil
	}
	var id [sessionIDSize]byte
	copy(id[:], d.Fixed(sessionIDSize))
	seq, slot := d.Uint32(), d.Uint32()
	d.Uint32()
	cache := d.Bool()
	what := f.fault(operations(d.Rest(), n-1))
	if what.forget {
		clear(f.sessions)
	}
	s := f.sessions[id]
	switch {
	case s == nil:
		return r.only(opSequence, status.BadSession), nil
	case what.sequence != status.OK:
		return r.only(opSequence, what.sequence), nil
	case seq == s.seq[slot] && s.cache[slot] != nil:
		return s.cache[slot], nil
	case seq == s.seq[slot]:
		return r.only(opSequence, status.RetryUncached), nil
	case seq != s.seq[slot]+1:
		return r.only(opSequence, status.SeqMisordered), nil
	}
	s.seq[slot] = seq
	body := f.run(d, r, n-1, what)
	if s.cache[slot] = nil; cache {
		s.cache[slot] = body
	}
	if what.late {
		clear(f.sessions)
	}
	if what.hangUp {
		return nil, errHangUp
	}
	if what.silent {
		return nil, nil
	}
	return body, nil
}

func (f *fake) run(d *xdr.Decoder, r *reply, n int, what fault) []byte {
	r.op(opSequence, status.OK)
	r.Fixed(make([]byte, sessionIDSize+5*4))
	for range n {
		op := d.Uint32()
		if op == what.op {
			return r.done(r.op(op, what.code))
		}
		if code := f.operation(op, d, r); code != status.OK {
			return r.done(code)
		}
	}
	return r.done(status.OK)
}

// operation carries out one operation and appends its result.
func (f *fake) operation(op uint32, d *xdr.Decoder, r *reply) status.Code {
	switch op {
	case opExchangeID:
		f.clients++
		r.op(op, status.OK)
		r.Uint64(uint64(f.clients))
		r.Uint32(1)
	case opCreateSession:
		f.made++
		var id [sessionIDSize]byte
		id[0] = byte(f.made)
		f.sessions[id] = &fakeSession{map[uint32]uint32{}, map[uint32][]byte{}}
		r.op(op, status.OK)
		r.Fixed(id[:])
		r.Fixed(make([]byte, 8))
		encodeChannel(&r.Encoder, limits{request: 1 << 16, response: 1 << 16, cached: 1024, ops: f.maxOps, slots: f.slots})
	case opDestroySession:
		clear(f.sessions)
		r.op(op, status.OK)
	case opReclaimComplete:
		d.Uint32()
		r.op(op, status.OK)
	case opPutRootFH:
		r.op(op, status.OK)
	case opPutFH:
		d.Opaque(maxHandle)
		r.op(op, status.OK)
	case opLookup:
		return r.found(op, f.names[d.String(maxName)])
	case opGetFH:
		r.op(op, status.OK)
		r.String("handle")
	case opGetattr:
		decodeBitmap(d)
		r.op(op, status.OK)
		bits(attrType, attrMode).encode(&r.Encoder)
		r.Opaque([]byte{0, 0, 0, typeDirectory, 0, 0, 1, 0o355})
	case opCreate:
		d.Uint32()
		name := d.String(maxName)
		decodeBitmap(d)
		d.Opaque(1 << 10)
		if f.names[name] {
			return r.op(op, status.Exist)
		}
		f.names[name] = true
		f.did = append(f.did, "create "+name)
		r.op(op, status.OK)
		r.Fixed(make([]byte, 20))
		bitmap(0).encode(&r.Encoder)
	case opRemove:
		name := d.String(maxName)
		if !f.names[name] {
			return r.op(op, status.NoEnt)
		}
		delete(f.names, name)
		f.did = append(f.did, "remove "+name)
		r.op(op, status.OK)
		r.Fixed(make([]byte, 20))
	default:
		return r.op(op, status.NotSupp)
	}
	return status.OK
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

func (r *reply) found(op uint32, there bool) status.Code {
	if !there {
		return r.op(op, status.NoEnt)
	}
	return r.op(op, status.OK)
}

func (r *reply) only(op uint32, code status.Code) []byte { return r.done(r.op(op, code)) }

func (r *reply) done(code status.Code) []byte {
	var e xdr.Encoder
	e.Uint32(uint32(code))
	e.Uint32(0)
	e.Uint32(r.count)
	return append(e.B, r.B...)
}

// operations lists what a compound asks for, by running it on a server that does nothing.
func operations(body []byte, n int) []uint32 {
	d, dry := xdr.NewDecoder(bytes.Clone(body)), &fake{names: map[string]bool{}, sessions: map[[sessionIDSize]byte]*fakeSession{}}
	var ops []uint32
	for range n {
		op := d.Uint32()
		ops = append(ops, op)
		dry.operation(op, d, &reply{})
	}
	return ops
}
