package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// script answers one call: the record to send back, or nil to say nothing. io.EOF hangs up.
type script func(call []byte) (reply []byte, err error)

// serve runs a server for the test and returns a dialer to it.
func serve(t *testing.T, s script) *Dialer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serveConn(nc, s) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return &Dialer{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Timeout: 5 * time.Second}
}

func serveConn(nc net.Conn, s script) {
	defer nc.Close()
	r := bufio.NewReader(nc)
	for {
		call, err := readRecord(r, MaxRecord)
		if err != nil {
			return
		}
		reply, err := s(call)
		if err != nil {
			return
		}
		if _, err := nc.Write(reply); err != nil {
			return
		}
	}
}

// record frames the words of a reply to call as n fragments.
func record(call []byte, fragments int, words ...uint32) []byte {
	var e xdr.Encoder
	e.B = append(e.B, call[:4]...)
	for _, w := range words {
		e.Uint32(w)
	}
	var out []byte
	size := (len(e.B) + fragments - 1) / fragments
	for i := 0; i < len(e.B); i += size {
		part := e.B[i:min(i+size, len(e.B))]
		mark := uint32(len(part))
		if i+size >= len(e.B) {
			mark |= lastFragment
		}
		out = append(binary.BigEndian.AppendUint32(out, mark), part...)
	}
	return out
}

// accepted is the header of a good reply.
func accepted(body ...uint32) []uint32 { return append([]uint32{msgReply, 0, 0, 0, 0}, body...) }

// argument is the first word after a call's header without credential.
func argument(call []byte) uint32 { return binary.BigEndian.Uint32(call[40:]) }

// echo answers every call with its argument, and NULL with nothing.
func echo(call []byte) ([]byte, error) {
	if len(call) < 44 {
		return record(call, 1, accepted()...), nil
	}
	return record(call, 1, accepted(argument(call))...), nil
}

func request(arg uint32) *Request {
	return &Request{Program: 1, Version: 2, Procedure: 3, Args: binary.BigEndian.AppendUint32(nil, arg)}
}

func connect(t *testing.T, d *Dialer, silence time.Duration) *Conn {
	t.Helper()
	nc, err := d.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(nc, silence)
	t.Cleanup(func() { c.Close() })
	return c
}

// TestManyCalls has many calls in flight that are answered in several fragments.
func TestManyCalls(t *testing.T) {
	c := connect(t, serve(t, func(call []byte) ([]byte, error) {
		arg := argument(call)
		return record(call, 1+int(arg%5), accepted(arg, arg*2)...), nil
	}), time.Minute)
	var wg sync.WaitGroup
	for i := range uint32(200) {
		wg.Go(func() {
			body, err := c.Call(t.Context(), request(i))
			if d := xdr.NewDecoder(body); err != nil || d.Uint32() != i || d.Uint32() != 2*i {
				t.Errorf("call %d: %x, %v", i, body, err)
			}
		})
	}
	wg.Wait()
}

func TestHeader(t *testing.T) {
	var seen []byte
	c := connect(t, serve(t, func(call []byte) ([]byte, error) {
		seen = call
		return record(call, 1, accepted()...), nil
	}), time.Minute)
	groups := make([]uint32, 20)
	for i := range groups {
		groups[i] = uint32(100 + i)
	}
	r := &Request{Program: 100003, Version: 4, Procedure: 1, Credential: &Credential{UID: 7, GID: 8, Groups: groups}}
	if _, err := c.Call(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	d := xdr.NewDecoder(seen)
	d.Uint32() // xid
	for i, want := range []uint32{msgCall, rpcVersion, 100003, 4, 1, authSys} {
		if got := d.Uint32(); got != want {
			t.Errorf("word %d is %d, want %d", i, got, want)
		}
	}
	cred := xdr.NewDecoder(d.Opaque(maxAuth))
	cred.Uint32()
	cred.String(maxHostname)
	if uid, gid, n := cred.Uint32(), cred.Uint32(), cred.Uint32(); uid != 7 || gid != 8 || n != maxGroups {
		t.Errorf("credential %d:%d with %d groups", uid, gid, n)
	}
	for i := range maxGroups {
		if g := cred.Uint32(); g != groups[i] {
			t.Errorf("group %d is %d", i, g)
		}
	}
	if d.Uint32() != authNone || d.Uint32() != 0 || d.Err() != nil || cred.Err() != nil || len(d.Rest())+len(cred.Rest()) > 0 {
		t.Errorf("malformed: %v, %v", d.Err(), cred.Err())
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		reply []uint32
		want  string
	}{
		{[]uint32{msgReply, 0, 0, 0, ProgramUnavailable}, "PROG_UNAVAIL"},
		{[]uint32{msgReply, 0, 0, 0, ProgramMismatch, 3, 4}, "versions 3 to 4"},
		{[]uint32{msgReply, 0, 0, 0, ProcedureUnavailable}, "PROC_UNAVAIL"},
		{[]uint32{msgReply, 0, 0, 0, GarbageArguments}, "GARBAGE_ARGS"},
		{[]uint32{msgReply, 0, 0, 0, SystemError}, "SYSTEM_ERR"},
		{[]uint32{msgReply, 0, 0, 0, 99}, "accept_stat 99"},
		{[]uint32{msgReply, 1, 0, 2, 2}, "versions 2 to 2"},
		{[]uint32{msgReply, 1, 1, 5}, "AUTH_TOOWEAK"},
		{[]uint32{msgReply, 1, 1, 1}, "AUTH_BADCRED"},
		{[]uint32{msgReply, 1, 1, 77}, "auth_stat 77"},
		{[]uint32{msgReply, 2}, "reply status 2"},
		{[]uint32{msgReply, 0, 0, 1 << 30}, "malformed"},
		{[]uint32{msgReply}, "malformed"},
	} {
		c := connect(t, serve(t, func(call []byte) ([]byte, error) { return record(call, 1, tt.reply...), nil }), time.Minute)
		if _, err := c.Call(t.Context(), request(1)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %q", tt.reply, err, tt.want)
		}
	}
	if denied := (&DeniedError{Stat: 5}); !denied.TooWeak() || (&DeniedError{Stat: 1}).TooWeak() {
		t.Error("which denial asks for another flavor?")
	}
}

// TestNoise: a server's own calls, and replies that nobody waits for, are passed over.
func TestNoise(t *testing.T) {
	c := connect(t, serve(t, func(call []byte) ([]byte, error) {
		noise := slices.Concat(record(call, 1, msgCall, 2, 100003, 1, 1, 0, 0, 0, 0), record([]byte("none"), 1, accepted(9)...))
		return append(noise, record(call, 1, accepted(1)...)...), nil
	}), time.Minute)
	if body, err := c.Call(t.Context(), request(1)); err != nil || len(body) != 4 {
		t.Errorf("%x, %v", body, err)
	}
}

// TestLost: all calls under way end when the connection does, whatever ends it.
func TestLost(t *testing.T) {
	for name, s := range map[string]script{
		"hang up":        func([]byte) ([]byte, error) { return nil, io.EOF },
		"silence":        func([]byte) ([]byte, error) { return nil, nil },
		"endless record": func([]byte) ([]byte, error) { return []byte{0xff, 0xff, 0xff, 0xff}, nil },
		"empty fragment": func([]byte) ([]byte, error) { return []byte{0, 0, 0, 0}, nil },
	} {
		c := connect(t, serve(t, s), 50*time.Millisecond)
		done, err := c.Start(request(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), request(2)); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		if reply := <-done; !errors.Is(reply.Err, ErrLost) || c.Alive() {
			t.Errorf("%s: %v, alive %v", name, reply.Err, c.Alive())
		}
		if _, err := c.Start(request(3)); !errors.Is(err, ErrLost) {
			t.Errorf("%s: started on a dead connection: %v", name, err)
		}
	}
}

// TestIdle: a connection that nobody uses is closed, and the next call makes another without having been sent twice.
func TestIdle(t *testing.T) {
	l, err := NewLink(t.Context(), serve(t, echo), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, _, err := l.Call(t.Context(), request(1)); err != nil {
		t.Fatal(err)
	}
	old := l.conn
	old.end(time.Now().Add(idleTime - time.Minute))
	if !old.Alive() {
		t.Fatal("ended too early")
	}
	old.end(time.Now().Add(idleTime + time.Minute))
	if _, err := old.Start(request(2)); !errors.Is(err, errIdle) || !errors.Is(err, errUnsent) || old.mute() {
		t.Errorf("got %v, mute %v", err, old.mute())
	}
	if _, resent, err := l.Call(t.Context(), request(2)); err != nil || resent || l.conn == old {
		t.Errorf("resent %v, %v", resent, err)
	}
}

// TestBusyIsNotIdle: a call under way keeps the connection, however long it takes within the silence allowed.
func TestBusyIsNotIdle(t *testing.T) {
	c := connect(t, serve(t, func([]byte) ([]byte, error) { return nil, nil }), 3*idleTime)
	if _, err := c.Start(request(1)); err != nil {
		t.Fatal(err)
	}
	if c.end(time.Now().Add(2 * idleTime)); !c.Alive() {
		t.Error("ended")
	}
	if c.end(time.Now().Add(4 * idleTime)); c.Alive() || !c.mute() {
		t.Error("a silent server is waited for")
	}
}

func TestCallObeysContext(t *testing.T) {
	c := connect(t, serve(t, func([]byte) ([]byte, error) { return nil, nil }), time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, request(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if len(c.pending) != 0 {
		t.Error("the call is still waited for")
	}
}

// TestSilenceForShortCalls: a server that is silent is given up too when each call ends before that is sure.
func TestSilenceForShortCalls(t *testing.T) {
	var silent atomic.Bool
	c := connect(t, serve(t, func(call []byte) ([]byte, error) {
		if silent.Load() {
			return nil, nil
		}
		return echo(call)
	}), time.Minute)
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Call(t.Context(), request(1)); err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	for range 2 {
		if _, err := c.Call(impatient, request(2)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.active = c.active.Add(-40 * time.Second)
		c.mu.Unlock()
	}
	if _, err := c.Start(request(3)); err != nil {
		t.Fatal(err)
	}
	if c.end(time.Now()); c.Alive() || !c.mute() {
		t.Error("a silent server is waited for")
	}
}

// TestLinkReconnects loses every second connection; each call is told whether it was sent twice.
func TestLinkReconnects(t *testing.T) {
	var mu sync.Mutex
	seen := map[uint32]int{}
	d := serve(t, func(call []byte) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		arg := argument(call)
		if seen[arg]++; arg%2 == 1 && seen[arg] == 1 {
			return nil, io.EOF
		}
		return record(call, 1, accepted(arg)...), nil
	})
	l, err := NewLink(t.Context(), d, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range uint32(6) {
		_, resent, err := l.Call(t.Context(), request(i))
		if err != nil || resent != (i%2 == 1) {
			t.Errorf("call %d: resent %v, %v", i, resent, err)
		}
	}
}

// TestLinkGivesUp: a server that hangs up on a call every time is believed in the end.
func TestLinkGivesUp(t *testing.T) {
	l, err := NewLink(t.Context(), serve(t, func([]byte) ([]byte, error) { return nil, io.EOF }), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // ends in a long pause between two attempts
	defer cancel()
	if _, resent, err := l.Call(ctx, request(1)); !errors.Is(err, ErrUnreachable) || !resent {
		t.Errorf("resent %v, %v", resent, err)
	}
}

// TestLinkServerGone: the connection is lost and nobody listens any more.
func TestLinkServerGone(t *testing.T) {
	var dials int
	d := serve(t, func([]byte) ([]byte, error) { return nil, io.EOF })
	d.Timeout = time.Second
	d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials++; dials > 1 {
			return nil, fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	l, err := NewLink(t.Context(), d, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Call(t.Context(), request(1)); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "is the NFS server running") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Conn(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("waiting for a connection: %v", err)
	}
	l.Close()
	if _, err := l.Conn(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAdvice(t *testing.T) {
	for want, err := range map[string]error{
		"DNS":             &net.DNSError{},
		"nothing listens": syscall.ECONNREFUSED,
		"firewalls":       context.DeadlineExceeded,
		"no route":        syscall.EHOSTUNREACH,
	} {
		if got := advice(err, time.Second); !strings.Contains(got, want) {
			t.Errorf("%v: %q", err, got)
		}
	}
	if got := advice(io.EOF, 0); got != "" {
		t.Errorf("EOF: %q", got)
	}
}

// The same failure is said in the same words, from whichever port we called.
func TestErrorsDoNotNameOurPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	for _, source := range []SourcePorts{AnyPort, LowIfAllowed} {
		d := Dialer{Host: "127.0.0.1", Port: port, Timeout: 10 * time.Second, Source: source}
		_, first := d.Connect(t.Context())
		if first == nil || !strings.Contains(first.Error(), fmt.Sprintf("dial tcp 127.0.0.1:%d: connect: connection refused", port)) || !errors.Is(first, syscall.ECONNREFUSED) {
			t.Errorf("%v", first)
		}
	}
	read := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 12345}, Addr: &net.TCPAddr{Port: 2049}, Err: syscall.ECONNRESET}
	if got := withoutSource(read); strings.Contains(got.Error(), "12345") || !errors.Is(got, syscall.ECONNRESET) || read.Source == nil {
		t.Errorf("%v", got)
	}
	if got := withoutSource(io.EOF); got != io.EOF {
		t.Errorf("%v", got)
	}
}

func TestPause(t *testing.T) {
	last := time.Duration(-1)
	for n := range 100 {
		p := Pause(n)
		if p < last || p > lastPause {
			t.Errorf("pause %d is %v after %v", n, p, last)
		}
		last = p
	}
	if Pause(1) != 0 || last != lastPause {
		t.Errorf("first %v, last %v", Pause(1), last)
	}
}
