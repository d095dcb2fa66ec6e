package nfs4

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// Version 4.0 (RFC 7530) has no sessions, and all but the making of regular files works without the server knowing us. For
// that alone we register. A file is closed as soon as it is written, so there is never anything to renew: between files the
// registration may lapse, and when the server says that it has (STALE_CLIENTID, EXPIRED) we register again. That is simpler
// than renewing it, and costs two messages after an idle minute.
//
// An answer that is lost is settled as in version 3, by looking, except that of OPEN: a server remembers its last answer to
// each open owner (RFC 7530 section 9.1.8).

// registration is a client ID of version 4.0 (RFC 7530 section 9.1.1) with the open owners that are free.
type registration struct {
	clientID uint64
	over     atomic.Bool // lapsed, or a file may be open that we cannot close: the next registration makes the server drop it

	mu   sync.Mutex
	free []*openOwner
	made int
}

// openOwner opens and closes files one after the other. In version 4.0 its requests are numbered (RFC 7530 section 9.1.7).
type openOwner struct {
	clientID uint64
	name     string
	requests uint32        // answered
	home     *registration // nil since version 4.1
}

// owner returns an open owner that nobody uses.
func (g *registration) owner() *openOwner {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.free); n > 0 {
		o := g.free[n-1]
		g.free = g.free[:n-1]
		return o
	}
	g.made++
	return &openOwner{clientID: g.clientID, name: strconv.Itoa(g.made), home: g}
}

// numbered is an operation that carries the number of an owner's request.
type numbered struct {
	owner *openOwner
	index int
}

// number writes the number of the owner's next request into the operation being built. Since version 4.1 it is not used.
func (b *compound) number(o *openOwner) {
	if b.minor > 0 {
		b.Uint32(0)
		return
	}
	b.numbered = numbered{o, len(b.ops) - 1}
	b.Uint32(o.requests + 1)
}

// answered counts a request that the server has looked at.
func (n numbered) answered(r *results) {
	if n.owner != nil && r.count > n.index && !(r.failed() == n.index && uncounted(r.code)) {
		n.owner.requests++
	}
}

// uncounted tells of the status of an owner's request that the server has not counted it (RFC 7530 section 9.1.7).
func uncounted(c status.Code) bool {
	switch c {
	case status.StaleClientID, status.StaleStateID, status.BadStateID, status.BadSeqID, status.BadXDR, status.Resource, status.NoFileHandle, status.Moved:
		return true
	}
	return false
}

// lose ends the registration of an owner with whose state something is not as it should be.
func (o *openOwner) lose() {
	if o.home != nil {
		o.home.over.Store(true)
	}
}

// release lets others use an owner that has no file open.
func (o *openOwner) release() {
	if o.home == nil {
		return
	}
	o.home.mu.Lock()
	defer o.home.mu.Unlock()
	o.home.free = append(o.home.free, o)
}

// register returns the registration, making one where there is none that serves.
func (c *Client) register(ctx context.Context) (*registration, error) {
	select {
	case c.registering <- struct{}{}:
		defer func() { <-c.registering }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a client ID: %w", ctx.Err())
	}
	if c.registration != nil && !c.registration.over.Load() {
		return c.registration, nil
	}
	id, err := c.setClientID(ctx)
	for tries := 1; status.Is(err, status.StaleClientID) && tries < maxTries && rpc.Sleep(ctx, rpc.Pause(tries)) == nil; tries++ {
		id, err = c.setClientID(ctx) // the server restarted before it was confirmed
	}
	if err != nil {
		return nil, err
	}
	c.registration = &registration{clientID: id}
	c.log.Debug("client ID made", "minor", c.minor)
	return c.registration, nil
}

func (c *Client) setClientID(ctx context.Context) (uint64, error) {
	r, err := c.raw(ctx, c.setClientIDArgs())
	if err != nil {
		return 0, err
	}
	id, confirm := r.d.Uint64(), r.d.Fixed(8)
	if r.d.Err() != nil {
		return 0, r.d.Err()
	}
	_, err = c.raw(ctx, confirmClientIDArgs(id, confirm))
	return id, err
}

func confirmClientIDArgs(id uint64, confirm []byte) *compound {
	b := rawCompound(0)
	b.op(opConfirmClientID)
	b.Uint64(id)
	b.Fixed(confirm)
	return b
}

func (c *Client) setClientIDArgs() *compound {
	b := rawCompound(c.minor)
	b.op(opSetClientID)
	var verifier [8]byte // another each time: what the server still has of us it drops (RFC 7530 section 16.33.5)
	rand.Read(verifier[:])
	b.Fixed(verifier[:])
	b.Opaque(c.owner)
	b.Uint32(0) // callback program: none, so no delegation is granted (RFC 7530 section 10.4)
	b.String("tcp")
	b.String("0.0.0.0.0.0")
	b.Uint32(0) // callback ident
	return b
}

// plain gets one compound of version 4.0 answered, over as many connections as it takes.
func (c *Client) plain(ctx context.Context, cred *rpc.Credential, b *compound, resent *bool) (*results, error) {
	body, again, err := c.link.Call(ctx, c.compoundCall(cred, b))
	*resent = *resent || again
	if err != nil {
		return nil, err
	}
	r, err := parseResults(body, b.ops)
	if err == nil {
		b.numbered.answered(r)
	}
	return r, err
}

// tryPlain finds out whether the server has version 4.0.
func (c *Client) tryPlain(ctx context.Context) error {
	c.limits = plainLimits(transfer{})
	b := rawCompound(c.minor)
	b.op(opPutRootFH)
	_, err := c.raw(ctx, b)
	return err
}

// Servers of version 4.0 do not say how many operations they take at once; Linux took 16 for many years.
const (
	plainOps      = 16
	plainTransfer = 32 << 10 // where a server does not tell
)

func plainLimits(t transfer) limits {
	size := func(n uint64) uint32 {
		if n == 0 {
			n = plainTransfer
		}
		return uint32(min(max(n, 512), 1<<20)) + messageOverhead
	}
	l := limits{request: size(t.write), response: size(t.read), ops: plainOps, slots: askSlots}
	l.cached = l.response
	return l
}

// forgotten tells that the server does not know the client ID or the open owner (any more): it has done nothing.
func forgotten(err error) bool {
	return status.Is(err, status.StaleClientID, status.Expired, status.BadSeqID)
}

// openPlain is create in version 4.0: the file has to be opened before anything can be done with its state.
func (c *Client) openPlain(ctx context.Context, cred *rpc.Credential, dir place, name string, set file.Set) (*opened, error) {
	resent := false
	for tries := 1; ; tries++ {
		reg, err := c.register(ctx)
		if err != nil {
			return nil, err
		}
		owner := reg.owner()
		r, err := c.do(ctx, cred, func(b *compound) { b.create(c, dir, owner, name, set) })
		if err != nil {
			owner.lose() // it may have been done
			return nil, err
		}
		f, confirm, err := r.opened(owner)
		resent = status.NoteResent(err, resent)
		if f != nil && confirm {
			c.confirm(ctx, cred, f)
		}
		if f != nil {
			return f, err
		}
		if !forgotten(err) {
			owner.release()
			return nil, err
		}
		if !status.Is(err, status.BadSeqID) {
			owner.lose()
		}
		if tries == maxTries {
			return nil, err
		}
	}
}

// confirm does what a server asks of an open owner that is new to it (RFC 7530 section 16.18). When it cannot be done the
// file is there all the same, and is written without state.
func (c *Client) confirm(ctx context.Context, cred *rpc.Credential, f *opened) {
	r, err := c.do(ctx, cred, func(b *compound) {
		b.putFH(f.handle)
		b.op(opOpenConfirm)
		b.Fixed(f.state[:])
		b.number(f.owner)
	})
	if err == nil {
		err = r.pass(opOpenConfirm)
	}
	if err == nil {
		copy(f.state[:], r.d.Fixed(len(f.state)))
		err = r.d.Err()
	}
	if err != nil {
		c.log.Debug("confirming an open owner", "err", err)
		f.lose(err)
	}
}
