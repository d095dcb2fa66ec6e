// Package rpc calls remote procedures over TCP as RFC 5531 describes, with many calls in flight on one connection.
package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// ErrLost is matched when the connection went away while a call was under way: the server may or may not have done it.
var ErrLost = errors.New("connection lost")

var (
	errClosed = fmt.Errorf("%w: closed by us", ErrLost)
	errSilent = fmt.Errorf("%w: no answer in time", ErrLost)
	errIdle   = fmt.Errorf("%w: closed because nobody used it", ErrLost)
	errOwing  = fmt.Errorf("%w: the server answers, but not one call", ErrLost)
)

// errUnsent is matched besides ErrLost when the connection was over before a call could be started on it.
var errUnsent = errors.New("nothing was sent")

// idleTime without a call ends a connection: it holds a low port here and a place in the server, and a new one costs
// milliseconds. The kernel's client waits as long.
const idleTime = 5 * time.Minute

// A server that has dropped a call, as knfsd may while its exports change, is told from one that takes its time by the clock alone. The
// call is sent again on another connection after patience when other calls are answered meanwhile, and after quietPatience, which lies
// within the deadlines of most callers, when all that is heard is that the server is there.
const (
	patience      = 5 * time.Minute
	quietPatience = 30 * time.Second
)

// MaxRecord bounds a reply. The largest we ask for is a READ of 1 MiB; the rest is for servers that add to it.
const MaxRecord = 2 << 20

// Conn is one connection. Calls are written by one goroutine, all that are waiting in one system call, and replies are
// read by another and handed out by transaction id.
type Conn struct {
	nc      net.Conn
	silence time.Duration // with calls under way and nothing heard for so long, the connection is given up
	idle    time.Duration // with no calls for so long, it is closed

	mu       sync.Mutex
	pending  map[uint32]pending
	xid      uint32
	out      []byte    // records to be written
	null     Request   // of the program that was called last
	active   time.Time // of the last record, or of the call that ended a pause
	answered time.Time // of the last answer to a call
	owed     bool      // a call was given up, and nothing has been heard since
	asked    bool      // null was sent, and nothing has been heard since
	replied  bool      // at least once
	err      error     // why the connection is over

	wake chan struct{} // tells the writer that out is not empty
	over chan struct{} // closed when err is set
	wg   sync.WaitGroup
}

// Reply is the outcome of one call: the procedure's results, which the receiver owns, or why there are none.
type Reply struct {
	Body []byte
	Err  error

	verifier string // the body of one that is AUTH_NONE
}

// pending is a call that was sent and not answered.
type pending struct {
	done chan<- Reply
	sent time.Time
}

// NewConn takes over nc, which it closes on Close.
func NewConn(nc net.Conn, silence time.Duration) *Conn {
	c := &Conn{
		nc: nc, silence: silence, idle: idleTime,
		pending: make(map[uint32]pending),
		active:  time.Now(),
		xid:     rand.Uint32(),
		wake:    make(chan struct{}, 1),
		over:    make(chan struct{}),
	}
	c.wg.Go(c.read)
	c.wg.Go(c.write)
	c.wg.Go(c.watch)
	return c
}

// Close ends the connection and every call on it, and waits for its goroutines.
func (c *Conn) Close() error {
	c.fail(errClosed)
	c.wg.Wait()
	return nil
}

// Alive tells whether calls can still be started.
func (c *Conn) Alive() bool {
	select {
	case <-c.over:
		return false
	default:
		return true
	}
}

// mute tells of a connection that is over whether its server did not answer, as one does that takes connections for a
// machine that is down.
func (c *Conn) mute() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.replied || errors.Is(c.err, errSilent)
}

// Start sends a call. Exactly one Reply arrives on the channel, when the connection is lost too. An error from Start
// itself means that nothing was sent.
func (c *Conn) Start(r *Request) (<-chan Reply, error) {
	done := make(chan Reply, 1)
	_, err := c.start(r, done)
	return done, err
}

// Call sends a call and waits for its reply or the end of ctx.
func (c *Conn) Call(ctx context.Context, r *Request) ([]byte, error) {
	done := make(chan Reply, 1)
	xid, err := c.start(r, done)
	if err != nil {
		return nil, err
	}
	select {
	case reply := <-done:
		return reply.Body, reply.Err
	case <-ctx.Done():
		c.giveUp(xid)
		return nil, fmt.Errorf("waiting for the server's answer: %w", ctx.Err())
	}
}

// giveUp stops waiting for a reply. The server owes it all the same: calls that are shorter than the silence allowed would
// otherwise never find out that their server has gone.
func (c *Conn) giveUp(xid uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, waits := c.pending[xid]; waits {
		delete(c.pending, xid)
		c.owed = true
	}
}

func (c *Conn) start(r *Request, done chan<- Reply) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, fmt.Errorf("%w: %w", errUnsent, c.err)
	}
	now := time.Now()
	if len(c.pending) == 0 && !c.owed {
		c.active = now
	}
	c.null = Request{Program: r.Program, Version: r.Version}
	c.send(r)
	c.pending[c.xid] = pending{done, now}
	return c.xid, nil
}

// send hands a call to the writer, with the next transaction id. The lock is held.
func (c *Conn) send(r *Request) {
	c.xid++
	c.out = r.appendRecord(c.out, c.xid)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked(err)
}

func (c *Conn) failLocked(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	close(c.over)
	c.nc.Close() // wakes reader and writer; what it returns tells nothing more
	for xid, p := range c.pending {
		delete(c.pending, xid)
		p.done <- Reply{Err: err}
	}
}

func (c *Conn) write() {
	var buf []byte
	for {
		select {
		case <-c.over:
			return
		case <-c.wake:
		}
		c.mu.Lock()
		buf, c.out = c.out, buf[:0]
		c.mu.Unlock()
		if _, err := c.nc.Write(buf); err != nil {
			c.fail(fmt.Errorf("%w: %w", ErrLost, withoutSource(err)))
			return
		}
		if cap(buf) > 4*MaxRecord {
			buf = nil
		}
	}
}

func (c *Conn) read() {
	r := bufio.NewReaderSize(c.nc, 64<<10)
	for {
		record, err := readRecord(r, MaxRecord)
		if err != nil {
			c.fail(fmt.Errorf("%w: %w", ErrLost, withoutSource(err)))
			return
		}
		xid, reply, ok := parseReply(record)
		c.mu.Lock()
		c.active, c.replied, c.owed, c.asked = time.Now(), true, false, false
		if p, waits := c.pending[xid]; ok && waits {
			c.answered = c.active
			delete(c.pending, xid)
			p.done <- reply
		}
		c.mu.Unlock()
	}
}

// watch gives up a connection whose peer has gone without a word, for which TCP alone would take a quarter of an hour, and
// one that nobody uses.
func (c *Conn) watch() {
	tick := time.NewTicker(max(min(c.silence, c.idle)/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-c.over:
			return
		case now := <-tick.C:
			c.end(now)
		}
	}
}

// end ends a connection that has been quiet for too long, or on which one call has waited for too long. A server may take its time
// for a call that it owes us: when half of the silence allowed is over it is asked, once, whether it is there. Nobody waits for
// the answer to that, which ends the silence.
func (c *Conn) end(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	quiet := now.Sub(c.active)
	switch {
	case len(c.pending) > 0 && quiet > c.silence:
		c.failLocked(errSilent)
	case len(c.pending) == 0 && quiet > c.idle:
		c.failLocked(errIdle)
	case c.owing(now):
		c.failLocked(errOwing)
	case (len(c.pending) > 0 || c.owed) && quiet > c.silence/2 && !c.asked && c.err == nil:
		c.asked = true
		c.send(&c.null)
	}
}

// owing tells whether a call waits for longer than we have patience. The lock is held.
func (c *Conn) owing(now time.Time) bool {
	most := patience
	if now.Sub(c.answered) > quietPatience {
		most = quietPatience
	}
	for _, p := range c.pending {
		if now.Sub(p.sent) > max(most, c.silence) {
			return true
		}
	}
	return false
}
