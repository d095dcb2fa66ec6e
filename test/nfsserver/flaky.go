package nfsserver

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Dial connects to a server; every server of this package has one.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Flaky makes connections that break after a random number of bytes, anywhere in a request or a reply.
type Flaky struct {
	Dial Dial
	Mean int // bytes that a connection carries
	// Orderly lets the server finish what it was sent before the client sees the connection break. Versions 3 and 4.0 have
	// no defence against a request that is carried out after its own repetition.
	Orderly bool

	cuts atomic.Int64
	calm atomic.Bool
}

// Cuts is how many connections were broken.
func (f *Flaky) Cuts() int { return int(f.cuts.Load()) }

// Calm lets connections live from now on.
func (f *Flaky) Calm() { f.calm.Store(true) }

// Rage breaks them again.
func (f *Flaky) Rage() { f.calm.Store(false) }

// Connect is a Dial.
func (f *Flaky) Connect(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := f.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &flakyConn{Conn: nc, flaky: f, left: 1 + rand.IntN(2*f.Mean)}, nil
}

// finishTimeout is what a server gets to answer all that was sent on one connection. go-nfs needs it: it does not hang up
// on half a request.
const finishTimeout = 100 * time.Millisecond

type flakyConn struct {
	net.Conn
	flaky *Flaky
	mu    sync.Mutex
	left  int
}

// spend takes n bytes from what the connection may carry, and breaks it when that is used up.
func (c *flakyConn) spend(n int) (allowed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flaky.calm.Load() {
		return n
	}
	allowed = min(n, c.left)
	c.left -= allowed
	return allowed
}

func (c *flakyConn) cut() {
	c.flaky.cuts.Add(1)
	if half, ok := c.Conn.(*net.TCPConn); ok && c.flaky.Orderly {
		half.CloseWrite()
		half.SetReadDeadline(time.Now().Add(finishTimeout))
		io.Copy(io.Discard, half)
	}
	c.Conn.Close()
}

func (c *flakyConn) Write(b []byte) (int, error) {
	allowed := c.spend(len(b))
	n, err := c.Conn.Write(b[:allowed])
	if err == nil && allowed < len(b) {
		c.cut()
		err = net.ErrClosed
	}
	return n, err
}

func (c *flakyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if allowed := c.spend(n); err == nil && allowed < n {
		c.cut()
		return allowed, net.ErrClosed
	}
	return n, err
}
