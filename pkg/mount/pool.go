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

// pool lends workers, few at a time as long as they do their work, and any number when they hang.
type pool struct {
	command []string
	log     *slog.Logger
	closing context.Context // done when close is called
	end     context.CancelCauseFunc
	starts  sync.WaitGroup

	mu       sync.Mutex
	idle     []*worker
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
	p := &pool{command: command, log: log}
	p.closing, p.end = context.WithCancelCause(context.Background())
	return p
}

// run has a worker do r.
func (p *pool) run(ctx context.Context, r request) error {
	w, err := p.take(ctx)
	if err != nil {
		return err
	}
	err = w.do(ctx, r)
	if f := (*failure)(nil); err == nil || errors.As(err, &f) {
		p.give(w)
		return err
	}
	p.mu.Lock()
	p.lent--
	p.mu.Unlock()
	if !w.kill() {
		p.log.WarnContext(ctx, "A killed mount helper has not ended yet", "pid", w.cmd.Process.Pid, "target", r.Target)
	}
	return err
}

// warm starts a worker if none is idle, for a request that will come soon.
func (p *pool) warm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 && p.lent < eager {
		p.start()
	}
}

// take lends the worker that is free first.
func (p *pool) take(ctx context.Context) (*worker, error) {
	w, turn, err := p.takeOrWait()
	if turn == nil {
		return w, err
	}
	select {
	case l := <-turn:
		return l.worker, l.err
	case <-ctx.Done():
		p.leave(turn)
		return nil, fmt.Errorf("%w (%w)", errNoWorker, context.Cause(ctx))
	}
}

func (p *pool) takeOrWait() (*worker, chan loan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		w := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if w.idle.Stop() && w.alive() {
			p.lent++
			return w, nil, nil
		}
	}
	if p.closing.Err() != nil {
		return nil, nil, errClosed
	}
	turn := make(chan loan, 1)
	p.waiting = append(p.waiting, turn)
	p.grow()
	return nil, turn, nil
}

// leave stops waiting.
func (p *pool) leave(turn chan loan) {
	p.mu.Lock()
	i := slices.Index(p.waiting, turn)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // lent at the same moment
		if l := <-turn; l.worker != nil {
			p.give(l.worker)
		}
	}
}

// give takes a worker back, for the next who waits.
func (p *pool) give(w *worker) {
	p.mu.Lock()
	p.lent--
	kept := p.keep(w)
	p.mu.Unlock()
	if !kept {
		w.retire()
	}
}

// keep finds work for a worker that is free. p.mu is held.
func (p *pool) keep(w *worker) bool {
	p.free = time.Now()
	switch {
	case p.closing.Err() != nil:
		return false
	case len(p.waiting) > 0:
		p.lent++
		p.waiting[0] <- loan{worker: w}
		p.waiting = p.waiting[1:]
	default:
		w.idle = time.AfterFunc(idleTime, func() { p.drop(w) })
		p.idle = append(p.idle, w)
	}
	return true
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
func (p *pool) grow() {
	switch {
	case len(p.waiting) == 0 || p.starting || p.watching || p.closing.Err() != nil:
	case p.lent < eager:
		p.start()
	default:
		p.watching = true
		time.AfterFunc(stall, p.watch)
	}
}

// watch looks whether the workers hang.
func (p *pool) watch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watching = false
	if len(p.waiting) > 0 && time.Since(p.free) >= stall {
		p.start()
	} else {
		p.grow()
	}
}

// start starts a worker, one at a time. p.mu is held.
func (p *pool) start() {
	if p.starting || p.closing.Err() != nil {
		return
	}
	p.starting = true
	p.starts.Go(func() {
		w, err := startWorker(p.closing, p.command)
		if !p.started(w, err) {
			w.retire()
		}
	})
}

// started hands a new worker to who waits, or tells them all why there is none.
func (p *pool) started(w *worker, err error) (kept bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting = false
	if err != nil {
		for _, turn := range p.waiting {
			turn <- loan{err: err}
		}
		p.waiting = nil
		return true
	}
	defer p.grow()
	return p.keep(w)
}

// close retires the idle workers, and waits for one that starts; the others retire when they are given back.
func (p *pool) close() {
	p.mu.Lock()
	idle, waiting := p.idle, p.waiting
	p.idle, p.waiting = nil, nil
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
