package drivertest

import (
	"context"
	"sync"
)

// faulty lets one call at a time into a fake, and makes calls fail at will.
type faulty struct {
	mu    sync.Mutex
	fault func(ctx context.Context) error
}

// Fail makes every following call begin with the given function, which may wait for the context; its error is the call's. nil ends it.
func (f *faulty) Fail(with func(ctx context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = with
}

// lock lets the fault act and locks the fake.
func (f *faulty) lock(ctx context.Context) (unlock func(), err error) {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	if fault != nil {
		if err := fault(ctx); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	return f.mu.Unlock, nil
}
