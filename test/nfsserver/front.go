package nfsserver

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Front gives a server that has no TLS what RFC 9289 asks of one, or does something else that clients meet.
type Front struct {
	Host  string
	Port  int
	TLS   *tls.Config
	Does  FrontAct
	clear atomic.Int64

	dial    Dial
	address string
	l       net.Listener
	wg      sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]bool
	closed  bool
}

// FrontAct is what a Front does when it is asked for TLS.
type FrontAct int

const (
	StartTLS     FrontAct = iota // have it
	Accept                       // answer as to any call, with an empty verifier: Linux without TLS
	Deny                         // deny the call: ganesha
	HangUp                       // promise TLS and hang up on the first word
	Silence                      // promise TLS and say nothing more
	Inject                       // promise TLS, and put words of our own into the stream before it begins
	AnswerNobody                 // take the connection and say nothing at all
)

// StartFront listens until the test ends and leads to address through dial.
func StartFront(t testing.TB, does FrontAct, config *tls.Config, dial Dial, address string) *Front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Front{
		Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: config, Does: does,
		dial: dial, address: address, l: l, conns: map[net.Conn]bool{},
	}
	f.wg.Go(f.accept)
	t.Cleanup(f.close)
	return f
}

// FrontOf leads to a go-nfs server.
func FrontOf(t testing.TB, does FrontAct, config *tls.Config, g *GoNFS) *Front {
	t.Helper()
	return StartFront(t, does, config, (&net.Dialer{}).DialContext, net.JoinHostPort(g.Host, strconv.Itoa(g.Port)))
}

// Clear is how many calls came in the clear, those that ask for TLS not counted.
func (f *Front) Clear() int { return int(f.clear.Load()) }

func (f *Front) close() {
	f.l.Close()
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.Cut()
	f.wg.Wait()
}

// Cut ends all connections.
func (f *Front) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for nc := range f.conns {
		nc.Close()
	}
}

func (f *Front) accept() {
	for {
		nc, err := f.l.Accept()
		if err != nil {
			return
		}
		f.wg.Go(func() {
			f.track(nc)
			defer f.drop(nc)
			f.serve(nc)
		})
	}
}

func (f *Front) track(nc net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns[nc] = true; f.closed {
		nc.Close()
	}
}

func (f *Front) drop(nc net.Conn) {
	nc.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, nc)
}

// serve looks at the first call, and relays what follows.
func (f *Front) serve(nc net.Conn) {
	call, err := readRecord(nc)
	if err != nil || f.Does == AnswerNobody {
		_, _ = io.Copy(io.Discard, nc) // until the other end leaves
		return
	}
	const flavorTLS = 7
	if len(call) < 28 || binary.BigEndian.Uint32(call[24:]) != flavorTLS {
		f.clear.Add(1)
		f.relay(nc, Frame(call))
		return
	}
	switch f.Does {
	case Accept:
		reply(nc, call, "", 0, 0, 0, 0)
		f.watchClear(nc)
	case Deny:
		reply(nc, call, "", 1, 1, 2)
		f.watchClear(nc)
	default:
		f.startTLS(nc, call)
	}
}

func (f *Front) startTLS(nc net.Conn, call []byte) {
	reply(nc, call, "STARTTLS", 0, 0, 8)
	switch f.Does {
	case HangUp:
		_, _ = nc.Read(make([]byte, 1))
		return
	case Silence:
		_, _ = io.Copy(io.Discard, nc)
		return
	case Inject:
		reply(nc, call, "", 0, 0, 0, 0)
	}
	secure := tls.Server(nc, f.TLS)
	if secure.Handshake() == nil {
		f.relay(secure, nil)
	}
}

// watchClear counts the calls that a client without shame sends now.
func (f *Front) watchClear(nc net.Conn) {
	for {
		if _, err := readRecord(nc); err != nil {
			return
		}
		f.clear.Add(1)
	}
}

// relay carries bytes both ways until one end leaves.
func (f *Front) relay(client net.Conn, first []byte) {
	server, err := f.dial(context.Background(), "tcp", f.address)
	if err != nil {
		return
	}
	f.track(server)
	defer f.drop(server)
	if _, err := server.Write(first); err != nil {
		return
	}
	f.wg.Go(func() {
		_, _ = io.Copy(client, server)
		client.Close()
	})
	_, _ = io.Copy(server, client)
}

// reply answers a call with words, and text after the third of them; with a text, success follows.
func reply(nc net.Conn, call []byte, text string, words ...uint32) {
	b := append([]byte{}, call[:4]...)
	b = binary.BigEndian.AppendUint32(b, 1)
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	if text != "" {
		b = binary.BigEndian.AppendUint32(append(b, text...), 0)
	}
	_, _ = nc.Write(Frame(b)) // a client that has gone is its own business
}
