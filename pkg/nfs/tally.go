package nfs

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
)

// tally counts what work on a tree has done, and tells it now and then.
type tally struct {
	files, bytes atomic.Int64
	report       func(files, bytes int64) // may be nil

	mu   sync.Mutex
	next time.Time // when to tell again
}

const tallyEvery = 500 * time.Millisecond

// add counts what was removed, directories too.
func (t *tally) add(removed []file.Entry) {
	var bytes int64
	for i := range removed {
		if a := &removed[i].Attr; a.Type == 0 {
			bytes += int64(a.Size)
		}
	}
	t.count(int64(len(removed)), bytes)
}

// count adds, and tells if nobody else is just doing so.
func (t *tally) count(files, bytes int64) {
	t.files.Add(files)
	t.bytes.Add(bytes)
	if t.report == nil || !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	if now := time.Now(); !now.Before(t.next) {
		t.next = now.Add(tallyEvery)
		t.report(t.files.Load(), t.bytes.Load())
	}
}

// last tells the sum when everybody is done.
func (t *tally) last() {
	if t.report != nil {
		t.report(t.files.Load(), t.bytes.Load())
	}
}
