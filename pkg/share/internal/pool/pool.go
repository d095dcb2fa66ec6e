// Package pool keeps shares open while they are used.
package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Config says how shares are opened, S being what is kept of one, and when they are closed.
type Config[S any] struct {
	// Open opens the share at l; ctx ends with the call. The closer ends what it holds open.
	Open func(ctx context.Context, l volume.Location, mountOptions []string) (S, io.Closer, error)
	// Opened is called with each share that was opened, before or while it is used for the first time.
	Opened func(S)
	// Busy says that a share must stay open although nobody uses it.
	Busy func(S) bool
	// Route names the way to a server that mountOptions ask for: a share is opened once for each.
	Route       func(mountOptions []string) string
	Locations   []volume.Location // are known from the start
	OpenTimeout time.Duration
	IdleTimeout time.Duration // after which a share that nobody uses is closed
	Log         *slog.Logger
}

// Pool keeps one open share per location and way there. It owns the goroutines of whoever works on them beside calls.
type Pool[S any] struct {
	config Config[S]
	ctx    context.Context // of what runs beside calls; ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	slots   map[way]*slot[S]
	options map[volume.Location][]string // how each location was reached when it was opened last
}

// way is where a share is and how it is reached: what one caller wants encrypted must not go over the connection of another.
type way struct {
	volume.Location
	route string // see Config.Route
}

// slot is a share that is being opened, or is open.
type slot[S any] struct {
	ready  chan struct{} // closed when share or err is set
	share  S
	open   bool // share is
	closer io.Closer
	err    error
	users  int
	idle   time.Time // since when there are no users
}

// New makes a Pool with no share open. Close it.
func New[S any](c Config[S]) *Pool[S] {
	p := &Pool[S]{config: c, slots: map[way]*slot[S]{}, options: map[volume.Location][]string{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, l := range c.Locations {
		p.options[l] = nil
	}
	p.tasks.Go(p.closeIdle)
	return p
}

// Context is that of what runs beside calls. It ends with [Pool.Close].
func (p *Pool[S]) Context() context.Context { return p.ctx }

// Use calls do with the share at l, which is opened if it is not; callers at once wait for the same opening. With mountOptions nil the
// share is reached as it was last. [volume.ErrUnavailable]: it did not open in time, or the Pool is closing. [volume.ErrRefused]: it is not
// found.
func (p *Pool[S]) Use(ctx context.Context, l volume.Location, mountOptions []string, do func(S) error) error {
	s, err := p.acquire(ctx, l, mountOptions)
	if err != nil {
		return err
	}
	defer p.leave(s)
	return do(s.share)
}

// acquire answers the slot of the share at l, open. Whoever got a slot leaves it.
func (p *Pool[S]) acquire(ctx context.Context, l volume.Location, mountOptions []string) (*slot[S], error) {
	s, err := p.enter(l, mountOptions)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.ready:
		err = s.err
	case <-ctx.Done():
		err = fmt.Errorf("opening the share: %w", ctx.Err())
	}
	if err != nil {
		p.leave(s)
		return nil, err
	}
	return s, nil
}

func (p *Pool[S]) enter(l volume.Location, mountOptions []string) (*slot[S], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%w: this process is shutting down", volume.ErrUnavailable)
	}
	if mountOptions == nil {
		mountOptions = p.options[l]
	}
	w := way{l, p.config.Route(mountOptions)}
	s := p.slots[w]
	if s == nil {
		s = &slot[S]{ready: make(chan struct{})}
		p.slots[w] = s
		p.tasks.Go(func() { p.open(s, w, mountOptions) })
	}
	s.users++
	return s, nil
}

func (p *Pool[S]) leave(s *slot[S]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.users--
	s.idle = time.Now()
}

// open opens the share for whoever waits; it goes on when one of them has gone.
func (p *Pool[S]) open(s *slot[S], w way, mountOptions []string) {
	ctx, cancel := context.WithTimeout(p.ctx, p.config.OpenTimeout)
	defer cancel()
	share, closer, err := p.config.Open(ctx, w.Location, mountOptions)
	p.mu.Lock()
	if err != nil {
		s.err = fmt.Errorf("opening the share: %w", p.openError(err))
		delete(p.slots, w)
	} else {
		s.share, s.open, s.closer, s.idle = share, true, closer, time.Now()
		p.options[w.Location] = mountOptions
	}
	close(s.ready)
	p.mu.Unlock()
	if err == nil {
		p.config.Opened(share)
	}
}

// openError hides the context of the opening, which is not the caller's. A share that is not found is refused: the server may hide
// it from us, and what is on it is not gone.
func (p *Pool[S]) openError(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: no answer within %v: %v", volume.ErrUnavailable, p.config.OpenTimeout, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", volume.ErrRefused, err)
	}
	return err
}

// Begin runs something beside calls, which [Pool.Close] waits for, and answers true, unless the Pool is closing.
func (p *Pool[S]) Begin(run func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.tasks.Go(run)
	}
	return !p.closed
}

// Locations lists every location that was ever used, and those of the configuration.
func (p *Pool[S]) Locations() []volume.Location {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]volume.Location, 0, len(p.options))
	for l := range p.options {
		all = append(all, l)
	}
	return all
}

// Shares lists those that are open.
func (p *Pool[S]) Shares() []S {
	p.mu.Lock()
	defer p.mu.Unlock()
	var open []S
	for _, s := range p.slots {
		if s.open {
			open = append(open, s.share)
		}
	}
	return open
}

// closeIdle closes shares that nobody has used for a while.
func (p *Pool[S]) closeIdle() {
	ticker := time.NewTicker(p.config.IdleTimeout / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for l, s := range p.takeIdle() {
				if err := s.closer.Close(); err != nil {
					p.config.Log.Debug("closing an idle share", "location", l.String(), "err", err)
				}
			}
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *Pool[S]) takeIdle() map[way]*slot[S] {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := map[way]*slot[S]{}
	for w, s := range p.slots {
		if s.users == 0 && s.open && !p.config.Busy(s.share) && time.Since(s.idle) >= p.config.IdleTimeout {
			idle[w] = s
			delete(p.slots, w)
		}
	}
	return idle
}

// Close ends what runs beside calls, waits for it and closes every share.
func (p *Pool[S]) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.tasks.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for w, s := range p.slots {
		if s.open {
			errs = append(errs, s.closer.Close())
		}
		delete(p.slots, w)
	}
	return errors.Join(errs...)
}
