package nfs4

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

const (
	maxTries     = 12               // of one request over lost connections, and of one compound over lost sessions
	setupTimeout = 20 * time.Second // of making a session; servers may delay it while they drop the old one
	closeTimeout = time.Second      // of saying goodbye
	undoTimeout  = 5 * time.Second  // of taking back what could not be finished
	idleTimeout  = 30 * time.Second // of a session that nobody uses; less than the lease of most servers
)

// Config is what a Client needs to know.
type Config struct {
	Dialer  *rpc.Dialer
	Silence time.Duration  // a connection that owes us replies and says nothing for so long is given up
	Cred    rpc.Credential // of the session itself and of walking to the export
	Export  []string       // elements of the export's path
	// AsOwner lets Walk go on as the owner of a directory on the way that Cred may not search.
	AsOwner bool
	Idle    time.Duration // a session that nobody uses for so long is given back; 0: 30 s
	Log     *slog.Logger
}

// Client is one client of one server (a client ID of RFC 8881 section 2.4) with one session, made again whenever the
// server has forgotten it. It holds no state between calls, so a session that was given back or that expired costs
// nothing but a new one. Of version 4.0 there is no session; see registration.
type Client struct {
	link    *rpc.Link
	minor   uint32
	owner   []byte
	cred    rpc.Credential
	export  []string
	asOwner bool
	idle    time.Duration
	log     *slog.Logger

	mu       sync.Mutex
	session  *session
	clientID uint64
	limits   limits // of the last session, or of version 4.0
	flight   *flight
	root     file.Handle // of the export
	fsid     file.FSID   // of the export's root, with fileID: it stays the directory that was opened
	fileID   uint64
	closed   bool

	registering  chan struct{} // held while asking for a registration
	registration *registration // of version 4.0, nil without

	ctx    context.Context // ends with the client
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// flight is the making or the giving back of a session, for which all callers wait.
type flight struct {
	done    chan struct{} // closed when the rest is set
	session *session      // nil without err: given back
	err     error
}

// ErrMinor is matched by Connect when the server does not have the minor version.
var ErrMinor = errors.New("minor version not supported")

// Connect makes a connection, and a session where the minor version has such; it is 0, 1 or 2. It does not look at the
// export yet.
func Connect(ctx context.Context, cfg Config, minor uint32) (*Client, error) {
	link, err := rpc.NewLink(ctx, cfg.Dialer, cfg.Silence)
	if err != nil {
		return nil, err
	}
	c := &Client{
		link: link, minor: minor, cred: cfg.Cred, export: cfg.Export, asOwner: cfg.AsOwner, idle: cfg.Idle, log: cfg.Log,
		owner: newOwner(), registering: make(chan struct{}, 1),
	}
	if c.idle == 0 {
		c.idle = idleTimeout
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.introduce(ctx); err != nil {
		c.Close()
		if status.Is(err, status.MinorMismatch) {
			err = fmt.Errorf("%w: %w", ErrMinor, err)
		}
		return nil, err
	}
	return c, nil
}

// newOwner is the name by which a server knows this client, unlike any other's: two clients with one name would end each
// other's sessions (RFC 8881 section 2.4.1). Host and process only make it readable in a server's list of clients.
func newOwner() []byte {
	host, _ := os.Hostname()
	return fmt.Appendf(nil, "nfs-csi %s %d %s", host, os.Getpid(), rand.Text())
}

// introduce finds out whether the server has the minor version, by making a session of it.
func (c *Client) introduce(ctx context.Context) error {
	if c.minor == 0 {
		return c.tryPlain(ctx)
	}
	if _, err := c.current(ctx); err != nil {
		return err
	}
	c.wg.Go(c.watchIdle)
	return nil
}

// Close ends the session and the connection and waits for everything that was under way.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	s := c.session
	c.mu.Unlock()
	if s != nil && !s.ended() {
		c.destroy(s)
	}
	c.cancel()
	c.link.Close() // answers whatever still waits
	c.wg.Wait()
	return nil
}

func (c *Client) compoundCall(cred *rpc.Credential, b *compound) *rpc.Request {
	return &rpc.Request{Program: program, Version: version, Procedure: procCompound, Credential: cred, Args: b.B}
}

// isDead and isLater are the codes of status.Dead and status.Later.
func isLater(c status.Code) bool {
	return c == status.Delay || c == status.Grace || c == status.Resource
}
func isDead(c status.Code) bool {
	return c == status.Stale || c == status.BadHandle || c == status.FHExpired
}

// do runs the compound that build makes and returns its results, or an error that is no operation's: what operations
// answered is found in the results. build may be called several times.
func (c *Client) do(ctx context.Context, cred *rpc.Credential, build func(*compound)) (*results, error) {
	resent, walked := false, false
	for tries := 1; ; tries++ {
		b := newCompound(c.minor)
		build(b)
		r, err := c.once(ctx, cred, b, &resent)
		if err != nil {
			return nil, err
		}
		r.resent = resent
		switch {
		case isLater(r.code) && b.repeatable(r.failed()):
			if err := rpc.Sleep(ctx, rpc.Pause(tries+1)); err != nil {
				return nil, fmt.Errorf("%w: %w", r.failure(), err)
			}
		case isDead(r.code) && b.fromRoot && r.failed() == b.first && !walked:
			walked = true
			if err := c.rediscover(ctx, cred); err != nil {
				return nil, err
			}
		default:
			return r, nil
		}
	}
}

// failure is the error of the operation that failed.
func (r *results) failure() error {
	return &status.Error{Version: 4, Op: opNames[r.ops[r.failed()]], Code: r.code}
}

// once gets one compound answered, over as many sessions as it takes.
func (c *Client) once(ctx context.Context, cred *rpc.Credential, b *compound, resent *bool) (*results, error) {
	if c.minor == 0 {
		return c.plain(ctx, cred, b, resent)
	}
	for tries := 1; ; tries++ {
		s, sl, err := c.slot(ctx)
		if errors.Is(err, errOver) && tries < maxTries {
			if err = rpc.Sleep(ctx, rpc.Pause(tries)); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		b.sequence(s.id, sl.seq, sl.id, s.highest)
		q := &request{Request: c.compoundCall(cred, b), ops: b.ops}
		r, err := c.exchange(ctx, s, sl, q)
		if err == nil && r.code == status.RetryUncached && r.failed() == 1 {
			err = errOver // done, but the answer was not kept: as good as lost
		}
		if !errors.Is(err, errOver) || tries == maxTries {
			return r, err // answered by the session it was first sent on: done exactly once
		}
		*resent = *resent || q.sent > 1 || q.lost
	}
}

func (c *Client) slot(ctx context.Context) (*session, *slot, error) {
	s, err := c.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	sl, err := s.acquire(ctx)
	return s, sl, err
}

// current returns the session, making one where there is none.
func (c *Client) current(ctx context.Context) (*session, error) {
	for {
		s, f, err := c.board()
		if f == nil {
			return s, err
		}
		select {
		case <-f.done:
			if f.session != nil || f.err != nil {
				return f.session, f.err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("making a session: %w", ctx.Err())
		}
	}
}

// board returns the session where there is one, and otherwise the flight to wait for.
func (c *Client) board() (*session, *flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, fmt.Errorf("%w: closed", rpc.ErrUnreachable)
	}
	if c.flight != nil {
		return nil, c.flight, nil
	}
	if s := c.session; s != nil && !s.ended() {
		return s, nil, nil
	}
	f := &flight{done: make(chan struct{})}
	c.flight = f
	c.wg.Go(func() { c.renew(f) })
	return nil, f, nil
}

func (c *Client) renew(f *flight) {
	ctx, cancel := context.WithTimeout(c.ctx, setupTimeout)
	defer cancel()
	id, s, err := c.createSession(ctx)
	for tries := 1; errors.Is(err, errOver) && tries < maxTries && rpc.Sleep(ctx, rpc.Pause(tries)) == nil; tries++ {
		id, s, err = c.createSession(ctx) // the server forgot it, or us, while it was being made
	}
	c.land(f, id, s, err)
	if err == nil {
		c.log.Debug("session made", "minor", c.minor, "slots", s.limits.slots, "operations", s.limits.ops, "message", s.limits.request)
	}
}

// land ends a flight and tells those who wait for it.
func (c *Client) land(f *flight, id uint64, s *session, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s != nil && err == nil {
		c.clientID, c.session, c.limits = id, s, s.limits
		f.session = s
	}
	f.err = err
	c.flight = nil
	close(f.done)
}

// granted is what one compound may hold, as far as we know without asking.
func (c *Client) granted() limits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limits
}

// ready makes sure that there is a session, and returns what one compound may hold.
func (c *Client) ready(ctx context.Context) (limits, error) {
	if c.minor > 0 {
		if _, err := c.current(ctx); err != nil {
			return limits{}, err
		}
	}
	return c.granted(), nil
}
