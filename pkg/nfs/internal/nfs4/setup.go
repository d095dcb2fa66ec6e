package nfs4

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// createSession introduces us to the server and makes a session without a back channel. A new verifier each time tells
// the server to drop what it knew of us, which is nothing that we need.
func (c *Client) createSession(ctx context.Context) (clientID uint64, s *session, err error) {
	clientID, seq, err := c.exchangeID(ctx)
	if err != nil {
		return 0, nil, err
	}
	r, err := c.raw(ctx, c.createSessionArgs(clientID, seq))
	if status.Is(err, status.StaleClientID) {
		err = fmt.Errorf("%w: %w", errOver, err) // the server has restarted since
	}
	if err != nil {
		return 0, nil, err
	}
	var id [sessionIDSize]byte
	copy(id[:], r.d.Fixed(sessionIDSize))
	r.d.Fixed(8) // sequence, flags
	granted := decodeChannel(r.d)
	if r.d.Err() == nil && granted.tooSmall() {
		r.d.Fail("session limits %+v are too small", granted)
	}
	if r.d.Err() != nil {
		return 0, nil, r.d.Err()
	}
	s = newSession(id, clientID, granted)
	return clientID, s, c.reclaimComplete(ctx, s)
}

func (c *Client) createSessionArgs(clientID uint64, seq uint32) *compound {
	b := rawCompound(c.minor)
	b.op(opCreateSession)
	b.Uint64(clientID)
	b.Uint32(seq)
	b.Uint32(0) // flags: not persistent, no back channel
	encodeChannel(&b.Encoder, limits{request: askMessage, response: askMessage, cached: askCachedReply, ops: askOps, slots: askSlots})
	encodeChannel(&b.Encoder, limits{request: 4096, response: 4096, ops: 2, slots: 1}) // back, never used
	b.Uint32(0x40000000)                                                               // callback program, never called
	b.Uint32(1)
	b.Uint32(0) // callbacks with AUTH_NONE
	return b
}

func (c *Client) exchangeID(ctx context.Context) (clientID uint64, seq uint32, err error) {
	r, err := c.raw(ctx, c.exchangeIDArgs())
	if err != nil {
		return 0, 0, err
	}
	clientID, seq = r.d.Uint64(), r.d.Uint32()
	return clientID, seq, r.d.Err()
}

func (c *Client) exchangeIDArgs() *compound {
	b := rawCompound(c.minor)
	b.op(opExchangeID)
	var verifier [8]byte
	rand.Read(verifier[:])
	b.Fixed(verifier[:])
	b.Opaque(c.owner)
	b.Uint32(0) // flags
	b.Uint32(0) // SP4_NONE
	b.Uint32(0) // no implementation id
	return b
}

// reclaimComplete tells the server that we have nothing to reclaim; some refuse to open files before.
func (c *Client) reclaimComplete(ctx context.Context, s *session) error {
	for tries := 1; ; tries++ {
		b := newCompound(c.minor)
		b.change(opReclaimComplete)
		b.Uint32(0) // all file systems
		sl, err := s.acquire(ctx)
		if err != nil {
			return err
		}
		b.sequence(s.id, sl.seq, sl.id, s.highest)
		r, err := c.exchange(ctx, s, sl, &request{Request: c.compoundCall(&c.cred, b), ops: b.ops})
		if err == nil {
			err = r.end()
		}
		if status.Is(err, status.CompleteAlr) {
			return nil
		}
		if !status.Later(err) || rpc.Sleep(ctx, rpc.Pause(tries+1)) != nil {
			return err
		}
	}
}

// raw runs a compound outside any session and opens the reply of its only operation.
func (c *Client) raw(ctx context.Context, b *compound) (*results, error) {
	for tries := 1; ; tries++ {
		body, _, err := c.link.Call(ctx, c.compoundCall(&c.cred, b))
		if err != nil {
			return nil, err
		}
		r, err := parseResults(body, b.ops)
		if err == nil {
			err = r.take()
		}
		if !status.Later(err) && !status.Is(err, status.ClientIDBusy) {
			return r, err
		}
		if rpc.Sleep(ctx, rpc.Pause(tries+1)) != nil {
			return nil, err
		}
	}
}

func encodeChannel(e *xdr.Encoder, l limits) {
	e.Uint32(0) // header padding
	e.Uint32(l.request)
	e.Uint32(l.response)
	e.Uint32(l.cached)
	e.Uint32(l.ops)
	e.Uint32(l.slots)
	e.Uint32(0) // no RDMA
}

func decodeChannel(d *xdr.Decoder) limits {
	d.Uint32()
	l := limits{request: d.Uint32(), response: d.Uint32(), cached: d.Uint32(), ops: d.Uint32(), slots: d.Uint32()}
	for range d.Count(4) {
		d.Uint32()
	}
	return l
}
