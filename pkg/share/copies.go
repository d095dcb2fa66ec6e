package share

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	maxCopies   = 4                // of one share that run at once; each has many requests in flight
	stallAfter  = 15 * time.Minute // without any progress a copy is given up, for a retry to begin anew
	keepFailure = 10 * time.Minute // for the caller that comes again to hear of it
)

// Copy is a copy that is being made beside calls.
type Copy struct {
	Location     volume.Location
	Op           string    // clone, restore or snapshot
	Name         string    // of the volume or the snapshot that is being made
	Began        time.Time // of the operation; it may be waiting for other copies first
	Files, Bytes int64     // copied so far
	// TotalFiles and TotalBytes are what the source holds; 0 while that is not known.
	TotalFiles, TotalBytes int64
}

// copies runs what copies trees, beside the calls that ask for it: a copy outlives its caller, and the caller that comes
// again joins it.
type copies struct {
	ctx   context.Context       // ends with the pool
	start func(run func()) bool // starts a goroutine that the pool waits for; false: the pool is closing
	jobs  map[jobKey]*job
	mu    sync.Mutex
}

// jobKey names what is being made.
type jobKey struct {
	location volume.Location
	kind     kind
	name     string
}

// made is what a job has made: one of the two.
type made struct {
	volume   volume.Volume
	snapshot volume.Snapshot
}

type job struct {
	done     chan struct{} // closed when made and err are set
	request  string        // what was asked for
	made     made
	err      error
	ended    time.Time
	progress *progress
}

// join runs do for the request under key, or waits for the job that runs, until the context ends. What another caller's
// job came to is an answer only if it failed for the same request, whose caller may have gone; else join begins anew.
func (c *copies) join(ctx context.Context, key jobKey, request string, p *progress, do func(ctx context.Context) (made, error)) (made, error) {
	for {
		j, began := c.enter(key, request, p, do)
		if j == nil {
			return made{}, fmt.Errorf("%w: this process is shutting down", volume.ErrUnavailable)
		}
		if err := j.wait(ctx); err != nil {
			return made{}, err
		}
		c.take(key, j)
		switch {
		case errors.Is(j.err, context.Canceled):
			return made{}, fmt.Errorf("%w: this process is shutting down: %v", volume.ErrUnavailable, j.err)
		case began || j.err != nil && j.request == request:
			return j.made, j.err
		}
	}
}

// wait answers nil when the job has ended, and how far it is when the context ends before.
func (j *job) wait(ctx context.Context) error {
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
func (c *copies) enter(key jobKey, request string, p *progress, do func(ctx context.Context) (made, error)) (j *job, began bool) {
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
	j = &job{done: make(chan struct{}), request: request, progress: p}
	if !c.start(func() { c.run(key, j, do) }) {
		return nil, false
	}
	if c.jobs == nil {
		c.jobs = map[jobKey]*job{}
	}
	c.jobs[key] = j
	return j, true
}

func (c *copies) run(key jobKey, j *job, do func(ctx context.Context) (made, error)) {
	j.made, j.err = do(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	j.ended = time.Now()
	if j.err == nil {
		delete(c.jobs, key) // what was made is there to be found
	}
	close(j.done)
}

// take ends a failed job that somebody has heard of.
func (c *copies) take(key jobKey, j *job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs[key] == j {
		delete(c.jobs, key)
	}
}

// list describes the copies that are running, oldest first.
func (c *copies) list() []Copy {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Copy
	for key, j := range c.jobs {
		if j.ended.IsZero() {
			all = append(all, j.progress.describe(key))
		}
	}
	sort.Slice(all, func(i, k int) bool { return all[i].Began.Before(all[k].Began) })
	return all
}
