package nfs4

import (
	"context"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// A session must be used within the server's lease or it expires (RFC 8881 section 8.3). One that nobody uses is given
// back instead of being kept alive: a controller is idle for most of its life, the server then has nothing to keep for
// us and sees no traffic, and the next call pays three messages for a new session.

// watchIdle gives back the session when nobody has used it for a while. It ends with the client.
func (c *Client) watchIdle() {
	tick := time.NewTicker(max(c.idle/2, time.Millisecond))
	defer tick.Stop()
	var last *session
	var uses uint64
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		s := c.session
		c.mu.Unlock()
		if s == nil || s.ended() {
			continue
		}
		if n := s.uses.Load(); s != last || n != uses {
			last, uses = s, n
			continue
		}
		c.giveBack(s)
	}
}

// giveBack ends a session and the client ID, unless a call is under way. Whoever needs a session meanwhile waits, so that
// the server never sees us coming and going at once.
func (c *Client) giveBack(s *session) {
	c.mu.Lock()
	if c.closed || c.flight != nil || c.session != s || !s.endIfFree() {
		c.mu.Unlock()
		return
	}
	f := &flight{done: make(chan struct{})}
	c.flight = f
	c.session = nil
	c.mu.Unlock()
	c.destroy(s)
	c.log.Debug("session given back", "after", c.idle)
	c.land(f, 0, nil, nil)
}

// destroy takes leave of the server, in bounded time; a server that does not hear it forgets us when the lease ends.
func (c *Client) destroy(s *session) {
	ctx, cancel := context.WithTimeout(c.ctx, closeTimeout)
	defer cancel()
	b := rawCompound(c.minor)
	b.op(opDestroySession)
	b.Fixed(s.id[:])
	if err := c.leave(ctx, b); err != nil {
		return
	}
	b = rawCompound(c.minor)
	b.op(opDestroyClientID)
	b.Uint64(s.clientID)
	_ = c.leave(ctx, b)
}

// leave sends one message, once.
func (c *Client) leave(ctx context.Context, b *compound) error {
	conn, err := c.link.Conn(ctx)
	if err != nil {
		return err
	}
	body, err := conn.Call(ctx, c.compoundCall(&c.cred, b))
	if err != nil {
		return err
	}
	r, err := parseResults(body, b.ops)
	if err == nil {
		err = r.end()
	}
	if err != nil && !status.Is(err, status.BadSession) { // which has expired already
		c.log.Debug("leaving the server", "err", err)
	}
	return nil
}
