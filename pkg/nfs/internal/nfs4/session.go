package nfs4

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// What we ask a session for. Small cached replies matter: knfsd divides a fixed budget by their size into slots.
const (
	askSlots       = 64
	askOps         = 64
	askMessage     = 1<<20 + 8<<10
	askCachedReply = 1024
)

// errOver is a session that the server no longer knows; outcomes of requests sent on it and not answered are unknown.
var errOver = errors.New("session is over")

// slot carries one request at a time. Its sequence number moves when a request's outcome is known, never before:
// that is what makes a repeated request harmless.
type slot struct{ id, seq uint32 }

type session struct {
	id       [sessionIDSize]byte
	clientID uint64
	highest  uint32 // slot id
	slots    chan *slot
	limits   limits
	uses     atomic.Uint64 // of slots

	once sync.Once
	over chan struct{}
}

// limits are what one compound may hold, as the server granted it for the fore channel: bytes of a request, of a response
// and of one that is cached, operations, and how many compounds may be under way at once.
type limits struct{ request, response, cached, ops, slots uint32 }

// Below these a session is no use to us: our longest compound that cannot be split must fit.
const (
	minOps     = 8
	minMessage = 8 << 10
	minCached  = reserveReply + lookupReply
)

func (l limits) tooSmall() bool {
	return l.slots == 0 || l.ops < minOps || l.request < minMessage || l.response < minMessage || l.cached < minCached
}

func newSession(id [sessionIDSize]byte, clientID uint64, l limits) *session {
	l.slots = min(l.slots, askSlots)
	s := &session{id: id, clientID: clientID, highest: l.slots - 1, slots: make(chan *slot, l.slots), limits: l, over: make(chan struct{})}
	for i := range l.slots {
		s.slots <- &slot{id: i, seq: 1}
	}
	return s
}

func (s *session) end() { s.once.Do(func() { close(s.over) }) }

// endIfFree ends the session when no slot is in use. Those who wait for a slot find it ended, and look for another session.
func (s *session) endIfFree() bool {
	var taken []*slot
	for range cap(s.slots) {
		select {
		case sl := <-s.slots:
			taken = append(taken, sl)
		default: // one is in use
			for _, sl := range taken {
				s.slots <- sl
			}
			return false
		}
	}
	s.end()
	return true
}

func (s *session) ended() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

func (s *session) acquire(ctx context.Context) (*slot, error) {
	select {
	case <-s.over:
		return nil, errOver
	default:
	}
	select {
	case sl := <-s.slots:
		s.uses.Add(1)
		return sl, nil
	case <-s.over:
		return nil, errOver
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a free slot of the session: %w", ctx.Err())
	}
}

// release gives a slot back; used tells that the server has counted the request.
func (s *session) release(sl *slot, used bool) {
	if used {
		sl.seq++
	}
	s.slots <- sl
}

// request is one compound on its way through a slot.
type request struct {
	*rpc.Request
	ops  []uint32
	sent int
	lost bool // it may have been carried out on a session that ended before the answer came
}

// exchange sends one compound on a slot until its outcome is known. Over a lost connection it is sent again with the
// same sequence number, so that the server answers from its cache instead of doing it twice. errOver means that the
// outcome is unknown if the request was sent before, and that nothing happened otherwise.
func (c *Client) exchange(ctx context.Context, s *session, sl *slot, q *request) (*results, error) {
	for pause := 1; ; pause++ {
		reply, err := c.send(ctx, s, sl, q)
		if err != nil {
			return nil, err
		}
		r, err := c.answer(s, sl, q, reply)
		if !status.Later(err) {
			return r, err
		}
		// The slot is still busy with the first copy of this request, or the server with something else.
		q.sent = max(q.sent-1, 0)
		if err := rpc.Sleep(ctx, rpc.Pause(pause+1)); err != nil {
			c.abandon(s, sl, q, nil)
			return nil, err
		}
	}
}

// lastAnswers is how long requests that are under way when their session ends wait for their answer: servers answer them still, or
// drop them with the session.
const lastAnswers = 3 * time.Second

// await waits for a reply as long as one may come; left tells that there was none: errOver, or the context's end.
func (s *session) await(ctx context.Context, done <-chan rpc.Reply) (reply rpc.Reply, left error) {
	select {
	case reply = <-done:
		return reply, nil
	case <-ctx.Done():
	case <-s.over:
		last, cancel := context.WithTimeout(ctx, lastAnswers)
		defer cancel()
		select {
		case reply = <-done:
			return reply, nil
		case <-last.Done():
		}
	}
	if ctx.Err() == nil {
		return reply, errOver
	}
	return reply, fmt.Errorf("waiting for the server's answer: %w", ctx.Err())
}

// send gets one reply, over as many connections as it takes.
func (c *Client) send(ctx context.Context, s *session, sl *slot, q *request) ([]byte, error) {
	for tries := 1; ; tries++ {
		conn, err := c.link.Conn(ctx)
		if err != nil {
			c.abandon(s, sl, q, nil)
			return nil, err
		}
		done, err := conn.Start(q.Request)
		if err == nil {
			q.sent++
			reply, left := s.await(ctx, done)
			switch {
			case left != nil:
				q.lost = true
				c.abandon(s, sl, q, done)
				return nil, left
			case !errors.Is(reply.Err, rpc.ErrLost):
				if reply.Err != nil { // a damaged reply may look like this too, of a request that was carried out
					c.abandon(s, sl, q, nil)
				}
				return reply.Body, reply.Err
			}
			err = reply.Err
		}
		if tries == maxTries {
			c.abandon(s, sl, q, nil)
			return nil, fmt.Errorf("%w: %w", rpc.ErrUnreachable, err)
		}
		if err := rpc.Sleep(ctx, rpc.Pause(tries)); err != nil {
			c.abandon(s, sl, q, nil)
			return nil, fmt.Errorf("%w: %w", rpc.ErrUnreachable, err)
		}
	}
}

// answer reads what SEQUENCE says and gives the slot back, except when the request must be sent once more (status.Later).
func (c *Client) answer(s *session, sl *slot, q *request, body []byte) (*results, error) {
	r, err := parseResults(body, q.ops)
	if err == nil {
		err = r.take()
	}
	switch {
	case err == nil:
		r.skip(opSequence)
		s.release(sl, true)
		return r, nil
	case status.Later(err):
		return nil, err
	case status.Is(err, status.RetryUncached):
		s.release(sl, true)
		return nil, errOver
	case status.Is(err, status.BadSession, status.DeadSession, status.BadSlot, status.SeqMisordered, status.SeqFalseRetry,
		status.NotBound, status.StaleClientID, status.Expired): // the last is ganesha's word for a lease that has run out
		s.end()
		return nil, fmt.Errorf("%w: %w", errOver, err)
	case errors.Is(err, xdr.ErrMalformed):
		s.end()
		return nil, err
	}
	c.abandon(s, sl, q, nil) // refused before it was counted, if the reply is to be believed
	return nil, err
}

// abandon takes care of a slot whose caller has gone: it is used again only when the server has told what became of
// the request.
func (c *Client) abandon(s *session, sl *slot, q *request, done <-chan rpc.Reply) {
	if q.sent == 0 {
		s.release(sl, false)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		s.end()
		return
	}
	c.wg.Go(func() { c.settle(s, sl, q, done) })
}

func (c *Client) settle(s *session, sl *slot, q *request, done <-chan rpc.Reply) {
	if done != nil {
		if reply := <-done; reply.Err == nil {
			if _, err := c.answer(s, sl, q, reply.Body); !status.Later(err) {
				return
			}
		}
	}
	// A bare SEQUENCE with the same number uses the number up, whether or not the server had seen the request.
	probe := newCompound(c.minor)
	probe.sequence(s.id, sl.seq, sl.id, s.highest)
	for {
		body, _, err := c.link.Call(c.ctx, c.compoundCall(&c.cred, probe))
		if err == nil {
			err = sequenceStatus(body)
		}
		switch {
		case err == nil, status.Is(err, status.SeqFalseRetry, status.RetryUncached):
			s.release(sl, true)
			return
		case !status.Later(err), rpc.Sleep(c.ctx, rpc.Pause(8)) != nil:
			s.end()
			return
		}
	}
}

// sequenceStatus reads what SEQUENCE says in a reply that may be the cached one of another request on the slot.
func sequenceStatus(body []byte) error {
	d := xdr.NewDecoder(body)
	d.Uint32()     // of the whole compound
	d.Opaque(1024) // tag
	d.Uint32()     // number of results
	if op := d.Uint32(); op != opSequence {
		d.Fail("operation %d instead of SEQUENCE", op)
	}
	if code := status.Code(d.Uint32()); code != status.OK && d.Err() == nil {
		return &status.Error{Version: 4, Op: "SEQUENCE", Code: code}
	}
	return d.Err()
}
