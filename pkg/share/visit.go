package share

import (
	"errors"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// visits has shares looked at again when archives on them are due.
type visits struct {
	now   func() time.Time
	start func(run func()) bool   // starts a goroutine that somebody waits for
	sweep func(l volume.Location) // does what is due

	mu      sync.Mutex
	closed  bool
	planned map[volume.Location]visit // the next one to each location
}

// visit is when a share is looked at again.
type visit struct {
	at    time.Time
	timer *time.Timer
}

const (
	minVisitPause = time.Second // of two visits, so that archives that are due at nearly the same time go together
	visitRetry    = 5 * time.Minute
)

// schedule has the share at l visited at the given time, unless it will be sooner.
func (v *visits) schedule(l volume.Location, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	planned, is := v.planned[l]
	if v.closed || is && !at.Before(planned.at) {
		return
	}
	if is {
		planned.timer.Stop()
	}
	wait := max(at.Sub(v.now()), minVisitPause)
	v.planned[l] = visit{at: at, timer: time.AfterFunc(wait, func() { v.start(func() { v.visit(l) }) })}
}

func (v *visits) visit(l volume.Location) {
	v.mu.Lock()
	delete(v.planned, l)
	v.mu.Unlock()
	v.sweep(l)
}

// close ends what is planned.
func (v *visits) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	for _, planned := range v.planned {
		planned.timer.Stop()
	}
}

// sweepLater sweeps the share at l, which is opened if it is not, when nobody waits for it. A sweep that fails is tried again.
func (m *Manager) sweepLater(l volume.Location) {
	var next time.Time
	ctx := m.pool.Context()
	err := m.pool.Use(ctx, l, nil, func(s *share) (err error) { next, err = s.sweep(ctx); return err })
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		if !errors.Is(err, volume.ErrBusy) {
			m.config.Log.Warn("looking for archives that are due", "location", l.String(), "err", err, "retry", visitRetry)
		}
		if retry := m.config.Now().Add(visitRetry); next.IsZero() || retry.Before(next) {
			next = retry
		}
	}
	if !next.IsZero() {
		m.visits.schedule(l, next)
	}
}
