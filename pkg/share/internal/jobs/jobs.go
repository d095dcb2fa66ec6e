// Package jobs runs what takes longer than the calls that ask for it.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const keepFailure = 10 * time.Minute // for the caller that comes again to hear of it

// Jobs are what runs now, each under the key of what it makes: a job outlives its caller, and the caller that comes again
// joins it.
type Jobs[K comparable, R any] struct {
	ctx   context.Context
	start func(run func()) bool

	mu   sync.Mutex
	jobs map[K]*job[R]
}

type job[R any] struct {
	done     chan struct{} // closed when made and err are set
	request  string        // what was asked for
	made     R
	err      error
	ended    time.Time
	progress *Progress
}

// New makes Jobs that run as long as ctx. start begins a goroutine that somebody waits for, or answers false: no more begins.
func New[K comparable, R any](ctx context.Context, start func(run func()) bool) *Jobs[K, R] {
	return &Jobs[K, R]{ctx: ctx, start: start, jobs: map[K]*job[R]{}}
}

// Join runs do for the request under key, or waits for the job that runs, until the context ends: then it is [volume.ErrBusy] that
// says how far the job is. What another caller's job came to is an answer only if it failed for the same request, whose caller may have
// gone; else Join begins anew. do, which op names, gets the context of all jobs and tells p how far it is. [volume.ErrUnavailable]: no
// more begins.
func (c *Jobs[K, R]) Join(ctx context.Context, key K, request, op string, do func(ctx context.Context, p *Progress) (R, error)) (made R, err error) {
	for {
		j, began := c.enter(key, request, op, do)
		if j == nil {
			return made, fmt.Errorf("%w: this process is shutting down", volume.ErrUnavailable)
		}
		if err := j.wait(ctx); err != nil {
			return made, err
		}
		c.take(key, j)
		switch {
		case errors.Is(j.err, context.Canceled):
			return made, fmt.Errorf("%w: this process is shutting down: %v", volume.ErrUnavailable, j.err)
		case began || j.err != nil && j.request == request:
			return j.made, j.err
		}
	}
}

// wait answers nil when the job has ended, and how far it is when the context ends before.
func (j *job[R]) wait(ctx context.Context) error {
	select {
	case <-j.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-j.done:
		return nil
	default:
		return fmt.Errorf("%w: %s", volume.ErrBusy, j.progress)
	}
}

// enter answers the job under key; nil when there is none and none may begin.
func (c *Jobs[K, R]) enter(key K, request, op string, do func(ctx context.Context, p *Progress) (R, error)) (j *job[R], began bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, old := range c.jobs {
		if !old.ended.IsZero() && time.Since(old.ended) > keepFailure {
			delete(c.jobs, k)
		}
	}
	if j = c.jobs[key]; j != nil {
		return j, false
	}
	j = &job[R]{done: make(chan struct{}), request: request, progress: newProgress(op)}
	if !c.start(func() { c.run(key, j, do) }) {
		return nil, false
	}
	c.jobs[key] = j
	return j, true
}

func (c *Jobs[K, R]) run(key K, j *job[R], do func(ctx context.Context, p *Progress) (R, error)) {
	j.made, j.err = do(c.ctx, j.progress)
	c.mu.Lock()
	defer c.mu.Unlock()
	j.ended = time.Now()
	if j.err == nil {
		delete(c.jobs, key) // what was made is there to be found
	}
	close(j.done)
}

// take ends a failed job that somebody has heard of.
func (c *Jobs[K, R]) take(key K, j *job[R]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs[key] == j {
		delete(c.jobs, key)
	}
}

// Running is a job that is not at its end.
type Running[K comparable] struct {
	Key K
	State
}

// Running describes the jobs that are running, oldest first.
func (c *Jobs[K, R]) Running() []Running[K] {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Running[K]
	for key, j := range c.jobs {
		if j.ended.IsZero() {
			all = append(all, Running[K]{key, j.progress.state()})
		}
	}
	sort.Slice(all, func(i, k int) bool { return all[i].Began.Before(all[k].Began) })
	return all
}
