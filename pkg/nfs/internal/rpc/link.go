package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Link is a connection that is made again when it is lost. All methods may be called at once.
type Link struct {
	dialer  *Dialer
	silence time.Duration
	window  time.Duration // a lost connection is tried again for so long before callers are told

	mu     sync.Mutex
	conn   *Conn
	flight *flight // the attempt under way, shared by all who wait
	closed bool

	ctx    context.Context // ends with the link
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

type flight struct {
	done chan struct{} // closed when conn and err are set
	conn *Conn
	err  error
}

// Back-off between attempts to connect, and the number of times one call is sent before a server that hangs up on it
// is believed.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
	maxSends   = 12
)

// NewLink connects for the first time, with one attempt.
func NewLink(ctx context.Context, dialer *Dialer, silence time.Duration) (*Link, error) {
	nc, err := dialer.Connect(ctx)
	if err != nil {
		return nil, err
	}
	l := &Link{dialer: dialer, silence: silence, window: 2 * dialer.Timeout, conn: NewConn(nc, silence)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, nil
}

// Close ends the connection and all calls, and waits for the goroutines of the link.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.wg.Wait() // from here on nobody replaces the connection
	return l.conn.Close()
}

// Conn returns a live connection, waiting for one to be made if need be.
func (l *Link) Conn(ctx context.Context) (*Conn, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, errClosed
	}
	if l.flight == nil && l.conn.Alive() {
		defer l.mu.Unlock()
		return l.conn, nil
	}
	if l.flight == nil {
		l.flight = &flight{done: make(chan struct{})}
		f := l.flight
		l.wg.Go(func() { l.reconnect(f) })
	}
	f := l.flight
	l.mu.Unlock()
	select {
	case <-f.done:
		return f.conn, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %s, connection lost: %w", ErrUnreachable, l.dialer.Host, ctx.Err())
	}
}

func (l *Link) reconnect(f *flight) {
	l.conn.Close() // nobody else replaces it during a flight
	if l.conn.mute() {
		l.dialer.Memory.doubt()
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.window)
	defer cancel()
	nc, err := l.dial(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flight = nil
	if err == nil {
		l.conn = NewConn(nc, l.silence)
	}
	if l.closed {
		err = errClosed
	}
	f.conn, f.err = l.conn, err
	close(f.done)
}

// dial tries until ctx ends, and then tells why the last whole attempt did not succeed.
func (l *Link) dial(ctx context.Context) (net.Conn, error) {
	var last error
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		nc, err := l.dialer.Connect(ctx)
		if err == nil {
			return nc, nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if Sleep(ctx, pause) != nil {
			return nil, last
		}
	}
}

// Call sends a call until a reply comes. resent tells that the server may have seen it more than once. Before a
// repetition there is a pause, so that a server without a memory of requests has done with the first one.
func (l *Link) Call(ctx context.Context, r *Request) (body []byte, resent bool, err error) {
	for sends := 1; ; sends++ {
		conn, err := l.Conn(ctx)
		if err != nil {
			return nil, resent, err
		}
		body, err := conn.Call(ctx, r)
		if !errors.Is(err, ErrLost) {
			return body, resent, err
		}
		resent = resent || !errors.Is(err, errUnsent)
		if sends == maxSends {
			return nil, resent, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		if err := Sleep(ctx, Pause(sends+1)); err != nil {
			return nil, resent, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
	}
}

// Pause is how long to wait before the n-th repetition of a call: nothing the first time, then more and more.
func Pause(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	return min(firstPause<<min(n-2, 10), lastPause)
}

// Sleep waits for d, or returns the context's error when that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
