package provisioner

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errStopping = errors.New("the controller is stopping")

// calls knows what is running, so that a stop can wait for it. A volume that is made but not yet saved as a
// PersistentVolume counts as running.
type calls struct {
	timeout time.Duration // of one call
	ctx     context.Context
	cancel  context.CancelFunc

	mu       sync.Mutex
	stopping bool
	unsaved  map[string]*call // by the PersistentVolume's name
	running  sync.WaitGroup
}

func newCalls(timeout time.Duration) *calls {
	c := &calls{timeout: timeout, unsaved: map[string]*call{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

type call struct {
	of     *calls
	cancel context.CancelFunc
	once   sync.Once
}

// begin starts a call, and gives it a context that outlives parent: it ends after the timeout, or when [calls.stop] has
// waited long enough.
func (c *calls) begin(parent context.Context) (context.Context, *call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, nil, errStopping
	}
	c.running.Add(1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), c.timeout)
	undo := context.AfterFunc(c.ctx, cancel)
	return ctx, &call{of: c, cancel: func() { undo(); cancel() }}, nil
}

func (c *call) end() {
	c.once.Do(func() { c.cancel(); c.of.running.Done() })
}

// endWhenSaved leaves the call running until [calls.saved] is told the name.
func (c *call) endWhenSaved(name string) {
	c.of.mu.Lock()
	before := c.of.unsaved[name]
	c.of.unsaved[name] = c
	c.of.mu.Unlock()
	if before != nil {
		before.end()
	}
}

// saved is told that the library has tried to save the PersistentVolume name.
func (c *calls) saved(name string) {
	c.mu.Lock()
	call := c.unsaved[name]
	delete(c.unsaved, name)
	c.mu.Unlock()
	if call != nil {
		call.end()
	}
}

func (c *calls) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// stop lets no call begin any more and returns when none is running. Those that take longer than grace are canceled.
func (c *calls) stop(grace time.Duration) {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	late := time.AfterFunc(grace, c.cancel)
	c.running.Wait()
	late.Stop()
	c.cancel()
}
