package nfs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
)

// background bounds the calls of work on whole trees, of which there may be several at once, so that the calls that
// somebody waits for find the server free: while there are such, and for a moment after, only a few are made at a time.
type background struct {
	once  sync.Once
	calls chan struct{} // held during each call

	waited atomic.Int64 // calls under way that somebody waits for
	last   atomic.Int64 // when the last one of them ended, in Unix nanoseconds
}

const (
	politeCalls = 2                     // at a time while somebody waits
	politeTime  = 20 * time.Millisecond // after which nobody does: an operation's calls follow each other sooner
	politePause = 2 * time.Millisecond  // before it is looked again
)

// open says how many calls may be made at once; the first time counts.
func (b *background) open(calls int) { b.once.Do(func() { b.calls = make(chan struct{}, calls) }) }

// enter waits for the turn of one call. It is over with leave.
func (b *background) enter(ctx context.Context) error {
	for {
		select {
		case b.calls <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if len(b.calls) <= politeCalls || !b.disturbs() {
			return nil
		}
		b.leave()
		if err := rpc.Sleep(ctx, politePause); err != nil {
			return err
		}
	}
}

func (b *background) leave() { <-b.calls }

func (b *background) disturbs() bool {
	return b.waited.Load() > 0 || time.Since(time.Unix(0, b.last.Load())) < politeTime
}

// wait tells of a call that somebody waits for, until the returned function is called.
func (b *background) wait() (end func()) {
	b.waited.Add(1)
	return func() {
		b.last.Store(time.Now().UnixNano())
		b.waited.Add(-1)
	}
}
