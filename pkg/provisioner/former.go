package provisioner

import (
	"context"
	"sync"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// former are the processes that were seen to hold the first lease. One that does not hold it any more has stopped working, so
// what it left of the other leases need not be waited for: each would cost its whole duration once more.
type former struct {
	mu   sync.Mutex
	held map[string]bool
}

func (f *former) add(identity string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil {
		f.held = map[string]bool{}
	}
	f.held[identity] = true
}

func (f *former) has(identity string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held[identity]
}

// inherited is the lock of another lease, in the hands of a process that holds the first: what a former leader left there counts
// as given back. Taking it still fails if somebody has written it since it was read.
type inherited struct {
	resourcelock.Interface
	former *former
}

// Get reads the lease.
func (l inherited) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && l.former.has(record.HolderIdentity) {
		free := *record
		free.HolderIdentity = ""
		return &free, raw, nil
	}
	return record, raw, err
}
