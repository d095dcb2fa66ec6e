package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/trash"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// share is one open share.
type share struct {
	*registry.Share
	purger  *trash.Purger
	copying chan struct{} // holds one for each copy that runs
	locks   *locks
	ledger  *ledger
	visit   func(at time.Time) // comes back when an archive is due
	observe func(op string, d time.Duration, err error)
}

// pool keeps one open share per location and way there. It owns every goroutine of the package.
type pool struct {
	config Config
	locks  *locks
	ctx    context.Context // of what runs beside calls; ends with close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	slots   map[way]*slot
	options map[volume.Location][]string // how each location was reached when it was opened last
	ledgers map[volume.Location]*ledger  // of each location that was ever opened
	visits  map[volume.Location]visit    // the next one to each location
}

// way is where a share is and how it is reached: what one caller wants encrypted must not go over the connection of another.
type way struct {
	volume.Location
	route string // see Config.Route
}

// slot is a share that is being opened, or is open.
type slot struct {
	ready  chan struct{} // closed when share or err is set
	share  *share
	closer io.Closer
	err    error
	users  int
	idle   time.Time // since when there are no users
}

func newPool(c Config, l *locks) *pool {
	p := &pool{
		config: c, locks: l, slots: map[way]*slot{}, options: map[volume.Location][]string{},
		ledgers: map[volume.Location]*ledger{}, visits: map[volume.Location]visit{},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, l := range c.Locations {
		p.options[l] = nil
	}
	p.tasks.Go(p.closeIdle)
	return p
}

// acquire answers the slot of the share at l, open, after opening it if needed; callers at once wait for the same
// opening. Without mountOptions the share is reached as it was last. Whoever got a slot leaves it.
func (p *pool) acquire(ctx context.Context, l volume.Location, mountOptions []string) (*slot, error) {
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

func (p *pool) enter(l volume.Location, mountOptions []string) (*slot, error) {
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
		s = &slot{ready: make(chan struct{})}
		p.slots[w] = s
		p.tasks.Go(func() { p.open(s, w, mountOptions) })
	}
	s.users++
	return s, nil
}

func (p *pool) leave(s *slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.users--
	s.idle = time.Now()
}

// open opens the share for whoever waits; it goes on when one of them has gone.
func (p *pool) open(s *slot, w way, mountOptions []string) {
	ctx, cancel := context.WithTimeout(p.ctx, p.config.OpenTimeout)
	defer cancel()
	began := time.Now()
	fsys, closer, err := p.config.Open(ctx, w.Location, mountOptions)
	p.config.Observe("open", time.Since(began), err)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		s.err = fmt.Errorf("opening the share: %w", p.openError(err))
		delete(p.slots, w)
		close(s.ready)
		return
	}
	opened := p.newShare(w.Location, fsys)
	p.mu.Lock()
	s.share, s.closer, s.idle = opened, closer, time.Now()
	p.options[w.Location] = mountOptions
	close(s.ready)
	p.mu.Unlock()
	if p.config.Passive {
		return
	}
	opened.purger.Wake()
	opened.visit(p.config.Now())
	p.begin(func() { opened.Tidy(p.ctx) })
}

func (p *pool) newShare(l volume.Location, fsys FS) *share {
	c := p.config
	s := &share{
		Share: &registry.Share{Location: l, FS: fsys, Now: c.Now, Classify: c.Classify, Log: c.Log}, copying: make(chan struct{}, maxCopies),
		locks: p.locks, ledger: p.ledger(l), visit: func(at time.Time) { p.schedule(l, at) },
	}
	s.purger = trash.New(p.ctx, trash.Config{Share: s.Share, Start: p.task, Delay: c.PurgeDelay, Observe: c.Observe, Tally: &s.ledger.removed})
	s.Trashed = s.purger.Add
	return s
}

// openError hides the context of the opening, which is not the caller's.
func (p *pool) openError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: no answer within %v: %v", volume.ErrUnavailable, p.config.OpenTimeout, err)
	}
	return err
}

// task runs a purger, unless the pool is closing.
func (p *pool) task(run func()) {
	if !p.config.Passive {
		p.begin(run)
	}
}

// begin runs something beside calls and answers true, unless the pool is closing.
func (p *pool) begin(run func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.tasks.Go(run)
	}
	return !p.closed
}

// locations lists every location that was ever used, and those of the configuration.
func (p *pool) locations() []volume.Location {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]volume.Location, 0, len(p.options))
	for l := range p.options {
		all = append(all, l)
	}
	return all
}

// shares lists those that are open.
func (p *pool) shares() []*share {
	p.mu.Lock()
	defer p.mu.Unlock()
	var open []*share
	for _, s := range p.slots {
		if s.share != nil {
			open = append(open, s.share)
		}
	}
	return open
}

// closeIdle closes shares that nobody has used for a while.
func (p *pool) closeIdle() {
	ticker := time.NewTicker(p.config.IdleTimeout / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for _, s := range p.takeIdle() {
				if err := s.closer.Close(); err != nil {
					p.config.Log.Debug("closing an idle share", "location", s.share.Location.String(), "err", err)
				}
			}
		case <-p.ctx.Done():
			return
		}
	}
}

func (p *pool) takeIdle() []*slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	var idle []*slot
	for w, s := range p.slots {
		if s.users == 0 && s.share != nil && !s.share.purger.Busy() && time.Since(s.idle) >= p.config.IdleTimeout {
			idle = append(idle, s)
			delete(p.slots, w)
		}
	}
	return idle
}

// close ends what runs beside calls, waits for it and closes every share.
func (p *pool) close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.cancelVisits()
	p.tasks.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for w, s := range p.slots {
		if s.closer != nil {
			errs = append(errs, s.closer.Close())
		}
		delete(p.slots, w)
	}
	return errors.Join(errs...)
}
