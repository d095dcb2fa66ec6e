package copytree

import (
	"context"
	"errors"
	"sync"
	"time"
)

// group is work that is waited for together. The first error of any group ends the whole copy, but for errGone.
type group struct {
	*copier
	wg  sync.WaitGroup
	mu  sync.Mutex
	err error
}

func (g *group) fail(err error) {
	if err == nil {
		return
	}
	if !errors.Is(err, errGone) {
		g.cancel(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
}

func (g *group) wait() error {
	g.wg.Wait()
	return g.err
}

// dir runs do beside the others if a helper is free, else right here: so the number of goroutines has a bound and none
// ever waits for another to start.
func (g *group) dir(do func() error) {
	select {
	case g.helpers <- struct{}{}:
		g.wg.Go(func() {
			defer func() { <-g.helpers }()
			g.fail(do())
		})
	default:
		g.fail(do())
	}
}

// start runs do as soon as one of the slots is free.
func (g *group) start(ctx context.Context, slots chan struct{}, do func() error) {
	select {
	case slots <- struct{}{}:
		g.wg.Go(func() {
			defer func() { <-slots }()
			g.fail(do())
		})
	case <-ctx.Done():
		g.fail(context.Cause(ctx))
	}
}

// progress counts what is done and tells it now and then.
type progress struct {
	tell func(files, bytes int64)

	mu           sync.Mutex
	files, bytes int64
	told         time.Time
}

const tellEvery = 200 * time.Millisecond

func (p *progress) add(files, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files += files
	p.bytes += bytes
	if now := time.Now(); p.tell != nil && now.Sub(p.told) >= tellEvery {
		p.told = now
		p.tell(p.files, p.bytes)
	}
}

// last tells the final count.
func (p *progress) last() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tell != nil {
		p.tell(p.files, p.bytes)
	}
}
