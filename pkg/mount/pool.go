package mount

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// idleTime is how long a child stays for the next request. Starting one costs more than most requests take.
const idleTime = time.Minute

// pool lends workers. It starts them one at a time and only while somebody waits for one, since several that start at once
// are slower than one that works for all; but one that hangs is never waited for.
type pool struct {
	command  []string
	log      *slog.Logger
	mu       sync.Mutex
	idle     []*worker
	waiting  []chan loan
	starting bool
	starts   sync.WaitGroup
	closing  context.Context // done when close is called
	end      context.CancelCauseFunc
}

type loan struct {
	worker *worker
	err    error
}

var errClosed = errors.New("the mounter is closed")

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
	} else if !w.kill() {
		p.log.WarnContext(ctx, "A killed mount helper has not ended yet", "pid", w.cmd.Process.Pid, "target", r.Target)
	}
	return err
}

// warm starts a worker if none is idle, for a request that will come soon.
func (p *pool) warm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		p.start()
	}
}

// take lends the worker that is free first.
func (p *pool) take(ctx context.Context) (*worker, error) {
	p.mu.Lock()
	for len(p.idle) > 0 {
		w := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if w.idle.Stop() && w.alive() {
			p.mu.Unlock()
			return w, nil
		}
	}
	if p.closing.Err() != nil {
		p.mu.Unlock()
		return nil, errClosed
	}
	turn := make(chan loan, 1)
	p.waiting = append(p.waiting, turn)
	p.start()
	p.mu.Unlock()
	select {
	case l := <-turn:
		return l.worker, l.err
	case <-ctx.Done():
		p.leave(turn)
		return nil, context.Cause(ctx)
	}
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
	if !p.keep(w) {
		w.retire()
	}
}

func (p *pool) keep(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closing.Err() != nil:
		return false
	case len(p.waiting) > 0:
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
	i := slices.Index(p.idle, w)
	if i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	p.mu.Unlock()
	w.retire()
}

// start starts a worker, and another as long as somebody waits. p.mu is held.
func (p *pool) start() {
	if p.starting || p.closing.Err() != nil {
		return
	}
	p.starting = true
	p.starts.Go(func() {
		w, err := startWorker(p.closing, p.command)
		if err == nil {
			p.give(w)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.starting = false
		if err != nil {
			for _, turn := range p.waiting {
				turn <- loan{err: err}
			}
			p.waiting = nil
		}
		if len(p.waiting) > 0 {
			p.start()
		}
	})
}

// close retires the idle workers, and waits for those that start; the others retire when they are given back.
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
