package mount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// idleTime is how long a child stays for the next request. Starting one costs more than most requests take.
	idleTime = time.Minute
	// eager is how many children are started for requests that come at once: more only take the processor from each other.
	eager = 2
	// stall is how long requests wait for a child, while none comes free, before another is started: the others hang.
	stall = 250 * time.Millisecond
)

var (
	errClosed   = errors.New("the mounter is closed")
	errNoWorker = errors.New("no mount helper was ready in time: the node is overloaded, or its other mounts hang")
)

// pool lends workers. Requests stand in line by server, so that those for a dead one are in nobody's way. In each lane few
// workers are lent at a time as long as they do their work, and any number when they hang.
type pool struct {
	command []string
	log     *slog.Logger
	closing context.Context // done when close is called
	end     context.CancelCauseFunc
	starts  sync.WaitGroup

	mu    sync.Mutex
	idle  []*worker // of no lane
	lanes map[string]*lane
}

// lane is the line of the requests for one server.
type lane struct {
	name     string
	waiting  []chan loan // in the order they came
	lent     int
	free     time.Time // when a worker came free last
	starting bool
	watching bool
}

type loan struct {
	worker *worker
	err    error
}

func newPool(command []string, log *slog.Logger) *pool {
	p := &pool{command: command, log: log, lanes: map[string]*lane{}}
	p.closing, p.end = context.WithCancelCause(context.Background())
	return p
}

// run has a worker do r.
func (p *pool) run(ctx context.Context, r request) error {
	w, l, err := p.take(ctx, r.server)
	if err != nil {
		return err
	}
	err = w.do(ctx, r)
	if f := (*failure)(nil); err == nil || errors.As(err, &f) {
		p.give(l, w)
		return err
	}
	p.lose(l)
	if !w.kill() {
		p.log.WarnContext(ctx, "A killed mount helper has not ended yet", "pid", w.cmd.Process.Pid, "target", r.Target)
	}
	return err
}

// lose counts a worker of a lane as gone.
func (p *pool) lose(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.lent--
	p.tidy(l)
}

// lane is the one of that name. p.mu is held.
func (p *pool) lane(name string) *lane {
	l := p.lanes[name]
	if l == nil {
		l = &lane{name: name}
		p.lanes[name] = l
	}
	return l
}

// tidy forgets a lane in which nothing happens. p.mu is held.
func (p *pool) tidy(l *lane) {
	if len(l.waiting) == 0 && l.lent == 0 && !l.starting && !l.watching {
		delete(p.lanes, l.name)
	}
}

// warm starts a worker if none is idle, for a request that will come soon in that lane.
func (p *pool) warm(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lane(name)
	if len(p.idle) == 0 && l.lent < eager {
		p.start(l)
	}
	p.tidy(l)
}

// take lends the worker that is free first.
func (p *pool) take(ctx context.Context, name string) (*worker, *lane, error) {
	w, l, turn, err := p.takeOrWait(name)
	if turn == nil {
		return w, l, err
	}
	select {
	case lent := <-turn:
		return lent.worker, l, lent.err
	case <-ctx.Done():
		p.leave(l, turn)
		return nil, nil, fmt.Errorf("%w (%w)", errNoWorker, context.Cause(ctx))
	}
}

func (p *pool) takeOrWait(name string) (*worker, *lane, chan loan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing.Err() != nil {
		return nil, nil, nil, errClosed
	}
	l := p.lane(name)
	for len(p.idle) > 0 {
		w := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if w.idle.Stop() && w.alive() {
			l.lent++
			return w, l, nil, nil
		}
	}
	turn := make(chan loan, 1)
	l.waiting = append(l.waiting, turn)
	p.grow(l)
	return nil, l, turn, nil
}

// leave stops waiting.
func (p *pool) leave(l *lane, turn chan loan) {
	p.mu.Lock()
	i := slices.Index(l.waiting, turn)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	p.tidy(l)
	p.mu.Unlock()
	if i < 0 { // lent at the same moment
		if lent := <-turn; lent.worker != nil {
			p.give(l, lent.worker)
		}
	}
}

// give takes a worker back from a lane, for the next who waits.
func (p *pool) give(l *lane, w *worker) {
	p.mu.Lock()
	l.lent--
	kept := p.keep(l, w)
	p.tidy(l)
	p.mu.Unlock()
	if !kept {
		w.retire()
	}
}

// keep finds work for a worker that is free: first in that lane. p.mu is held.
func (p *pool) keep(l *lane, w *worker) bool {
	l.free = time.Now()
	if p.closing.Err() != nil {
		return false
	}
	if next := p.waitingLane(l); next != nil {
		next.lent++
		next.waiting[0] <- loan{worker: w}
		next.waiting = next.waiting[1:]
		return true
	}
	w.idle = time.AfterFunc(idleTime, func() { p.drop(w) })
	p.idle = append(p.idle, w)
	return true
}

// waitingLane is l, or another where somebody waits; nil if nobody does. p.mu is held.
func (p *pool) waitingLane(l *lane) *lane {
	if len(l.waiting) > 0 {
		return l
	}
	for _, other := range p.lanes {
		if len(other.waiting) > 0 {
			return other
		}
	}
	return nil
}

// drop retires a worker that is still idle.
func (p *pool) drop(w *worker) {
	p.mu.Lock()
	if i := slices.Index(p.idle, w); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	p.mu.Unlock()
	w.retire()
}

// grow starts a worker for those who wait, at once while there are few, else when no worker comes free for a while. p.mu is
// held.
func (p *pool) grow(l *lane) {
	switch {
	case len(l.waiting) == 0 || l.starting || l.watching || p.closing.Err() != nil:
	case l.lent < eager:
		p.start(l)
	default:
		l.watching = true
		time.AfterFunc(stall, func() { p.watch(l) })
	}
}

// watch looks whether the workers hang.
func (p *pool) watch(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.watching = false
	if len(l.waiting) > 0 && time.Since(l.free) >= stall {
		p.start(l)
	} else {
		p.grow(l)
	}
	p.tidy(l)
}

// start starts a worker, one at a time in a lane. p.mu is held.
func (p *pool) start(l *lane) {
	if l.starting || p.closing.Err() != nil {
		return
	}
	l.starting = true
	p.starts.Go(func() {
		w, err := startWorker(p.closing, p.command)
		if !p.started(l, w, err) {
			w.retire()
		}
	})
}

// started hands a new worker to who waits, or tells them all why there is none.
func (p *pool) started(l *lane, w *worker, err error) (kept bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.tidy(l)
	l.starting = false
	if err != nil {
		for _, turn := range l.waiting {
			turn <- loan{err: err}
		}
		l.waiting = nil
		return true
	}
	defer p.grow(l)
	return p.keep(l, w)
}

// close retires the idle workers, and waits for those that start; the others retire when they are given back.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	var waiting []chan loan
	for _, l := range p.lanes {
		waiting = append(waiting, l.waiting...)
		l.waiting = nil
	}
	p.end(errClosed)
	p.mu.Unlock()
	for _, turn := range waiting {
		turn <- loan{err: errClosed}
	}
	for _, w := range idle {
		w.idle.Stop()
		w.retire()
	}
	p.starts.Wait()
}
