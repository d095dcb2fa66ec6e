package share

import (
	"errors"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// visit is when a share is looked at again for archives that are due.
type visit struct {
	at    time.Time
	timer *time.Timer
}

const (
	minVisitPause = time.Second // of two visits, so that archives that are due at nearly the same time go together
	visitRetry    = 5 * time.Minute
)

// schedule has the share at l visited at the given time, unless it will be sooner.
func (p *pool) schedule(l volume.Location, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	planned, is := p.visits[l]
	if p.closed || is && !at.Before(planned.at) {
		return
	}
	if is {
		planned.timer.Stop()
	}
	wait := max(at.Sub(p.config.Now()), minVisitPause)
	p.visits[l] = visit{at: at, timer: time.AfterFunc(wait, func() { p.begin(func() { p.visit(l) }) })}
}

// visit sweeps the share at l, which is opened if it is not. A sweep that fails is tried again.
func (p *pool) visit(l volume.Location) {
	p.mu.Lock()
	delete(p.visits, l)
	p.mu.Unlock()
	s, err := p.acquire(p.ctx, l, nil)
	var next time.Time
	if err == nil {
		next, err = s.share.sweep(p.ctx)
		p.leave(s)
	}
	if p.ctx.Err() != nil {
		return
	}
	if err != nil {
		if !errors.Is(err, volume.ErrBusy) {
			p.config.Log.Warn("looking for archives that are due", "location", l.String(), "err", err, "retry", visitRetry)
		}
		if retry := p.config.Now().Add(visitRetry); next.IsZero() || retry.Before(next) {
			next = retry
		}
	}
	if !next.IsZero() {
		p.schedule(l, next)
	}
}

func (p *pool) cancelVisits() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.visits {
		v.timer.Stop()
	}
}

func (p *pool) ledger(l volume.Location) *ledger {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ledgers[l] == nil {
		p.ledgers[l] = &ledger{}
	}
	return p.ledgers[l]
}

// stats tells of every location that was ever opened.
func (p *pool) stats() []Stats {
	open := map[volume.Location][]*share{}
	for _, s := range p.shares() {
		open[s.Location] = append(open[s.Location], s)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Stats
	for l, ledger := range p.ledgers {
		stats := ledger.stats(l)
		for _, s := range open[l] { // all of them see the same trash
			if n, oldest := s.purger.Waiting(); n > stats.Trash {
				stats.Trash, stats.OldestTrash = n, oldest
			}
		}
		all = append(all, stats)
	}
	return all
}
