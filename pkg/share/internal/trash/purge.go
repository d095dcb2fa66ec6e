// Package trash removes what is in the trash of shares.
package trash

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
)

const (
	maxGather     = 10 // times that removing waits for deletions to end
	purgers       = 4  // trees of one share that are removed at once; each has many requests in flight
	minPurgeDelay = time.Second
	maxPurgeDelay = 5 * time.Minute
	// purgeTurn is how long one tree is worked on before the others have their turn: somebody may keep filling it.
	purgeTurn = 15 * time.Minute
)

// errMore says that a tree's turn was over before the tree was gone.
var errMore = errors.New("there is more to be removed")

// Purger removes what is in a share's trash, beside the calls that put it there. It runs only while there is something
// to do, and stops when its context ends; the next one, perhaps of another process, goes on from what it finds. Two at
// once do no harm: no name in the trash is ever used again.
type Purger struct {
	Config
	ctx  context.Context
	kick chan struct{} // ends the delay after a failure, holds one

	mu      sync.Mutex
	running bool
	again   bool                 // look once more before stopping
	known   map[string]time.Time // what is in the trash, as far as we know, and since when
}

// Config says what a [Purger] works on, and how.
type Config struct {
	Share *registry.Share
	// Start starts a goroutine that somebody waits for, or does nothing any more.
	Start func(run func())
	// Delay must pass without a new thing in the trash, or ten times that with some, before anything is removed.
	Delay   time.Duration
	Observe func(op string, d time.Duration, err error) // is told of each thing ("purge") when it is removed, or its turn is over
	Tally   *Tally
}

// New makes a Purger that runs as long as ctx, once it is told that there is something ([Purger.Add], [Purger.Wake]).
func New(ctx context.Context, c Config) *Purger {
	return &Purger{Config: c, ctx: ctx, kick: make(chan struct{}, 1), known: map[string]time.Time{}}
}

// Tally counts what was removed. The zero Tally has counted nothing.
type Tally struct{ files, bytes atomic.Int64 }

// Sum is what was removed so far.
func (t *Tally) Sum() (files, bytes int64) { return t.files.Load(), t.bytes.Load() }

func (t *Tally) add(files, bytes int64) {
	t.files.Add(files)
	t.bytes.Add(bytes)
}

// Add says what has come into the trash.
func (p *Purger) Add(name string) {
	p.mu.Lock()
	p.note(p.known, name)
	p.mu.Unlock()
	p.Wake()
}

// note enters a name into a new list of what is known. What does not tell its time is as old as we have known it.
func (p *Purger) note(list map[string]time.Time, name string) {
	at, told := registry.TrashedAt(name)
	if since, known := p.known[name]; known && !told {
		at = since
	} else if !told {
		at = p.Share.Now()
	}
	list[name] = at
}

// Wake looks into the trash soon.
func (p *Purger) Wake() {
	p.mu.Lock()
	stopped := !p.running
	p.running, p.again = true, true
	p.mu.Unlock()
	if stopped {
		p.Start(p.run)
		return
	}
	select {
	case p.kick <- struct{}{}:
	default: // there is one already
	}
}

// Waiting counts what is in the trash, and tells since when the oldest is.
func (p *Purger) Waiting() (entries int, oldest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range p.known {
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	return len(p.known), oldest
}

// Busy says whether something is being removed, so that the share must stay open.
func (p *Purger) Busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

func (p *Purger) run() {
	delay := minPurgeDelay
	for p.more() {
		p.gather()
		err := p.empty()
		switch {
		case p.ctx.Err() != nil:
			p.stop()
			return
		case errors.Is(err, errMore):
			p.lookAgain()
		case err == nil:
			delay = minPurgeDelay
		default:
			p.Share.Log.Warn("removing deleted volumes is delayed", "location", p.Share.Location.String(), "err", err, "retry", delay)
			p.sleep(delay, p.kick)
			p.lookAgain()
			delay = min(2*delay, maxPurgeDelay)
		}
	}
}

// gather waits until no more comes into the trash for a while, but not for long.
func (p *Purger) gather() {
	for range maxGather {
		p.sleep(p.Delay, nil)
		if !p.came() {
			return
		}
	}
}

// came says whether somebody asked for another look meanwhile, and takes that as answered.
func (p *Purger) came() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	came := p.again
	p.again = false
	return came
}

// more ends the run when nobody has asked for another look.
func (p *Purger) more() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.again {
		p.running = false
		return false
	}
	p.again = false
	return true
}

func (p *Purger) stop() {
	p.mu.Lock()
	p.running = false
	p.mu.Unlock()
}

// sleep ends early when the purger is to end, or by a kick.
func (p *Purger) sleep(d time.Duration, kick <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
	case <-p.ctx.Done():
	}
}

func (p *Purger) lookAgain() {
	p.mu.Lock()
	p.again = true
	p.mu.Unlock()
}

// empty removes all that is in the trash now, and reports one of the failures.
func (p *Purger) empty() error {
	infos, err := p.Share.FS.ReadDir(p.ctx, registry.TrashDir)
	errs := make([]error, purgers, purgers+1)
	switch {
	case errors.Is(err, syscall.EFBIG):
		errs = append(errs, errMore)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	p.learn(infos)
	defer p.report()()
	var wg sync.WaitGroup
	queue := make(chan fs.FileInfo)
	for i := range purgers {
		wg.Go(func() {
			for info := range queue {
				if err := p.remove(p.ctx, info); err != nil && (errs[i] == nil || errors.Is(errs[i], errMore)) {
					errs[i] = err
				}
			}
		})
	}
	for _, info := range infos {
		queue <- info
	}
	close(queue)
	wg.Wait()
	return worst(errs)
}

// learn sets what is known to what was listed.
func (p *Purger) learn(infos []fs.FileInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make(map[string]time.Time, len(infos))
	for _, info := range infos {
		p.note(list, info.Name())
	}
	p.known = list
}

// Remove removes one thing of the trash now; that it has gone is no error.
func (p *Purger) Remove(ctx context.Context, name string) error {
	infos, err := p.Share.FS.ReadDir(ctx, registry.TrashDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listing the trash: %w", err)
	}
	for _, info := range infos {
		if info.Name() != name {
			continue
		}
		for err = p.remove(ctx, info); errors.Is(err, errMore); {
			err = p.remove(ctx, info)
		}
		return err
	}
	return nil
}

// remove works for one turn on one thing of the trash.
func (p *Purger) remove(parent context.Context, info fs.FileInfo) error {
	ctx, cancel := context.WithTimeout(parent, purgeTurn)
	defer cancel()
	began := time.Now()
	name := info.Name()
	err := p.removeBeside(ctx, info)
	if err == nil {
		err = p.removeTree(ctx, registry.TrashDir+"/"+name)
	}
	p.Observe("purge", time.Since(began), err)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil && parent.Err() == nil {
		return errMore
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	delete(p.known, name)
	p.mu.Unlock()
	p.Share.Log.Debug("removed a deleted volume's directory", slog.String("location", p.Share.Location.String()), slog.String("trash", name))
	return nil
}

// removeTree removes a tree and counts what was in it.
func (p *Purger) removeTree(ctx context.Context, name string) error {
	var files, bytes int64 // counted so far
	return p.Share.FS.RemoveAll(ctx, name, func(f, b int64) {
		p.Tally.add(f-files, b-bytes)
		files, bytes = f, b
	})
}

const (
	firstReport = time.Second
	nextReports = 30 * time.Second
)

// report logs now and then how far removing has come, until the returned function is called.
func (p *Purger) report() (end func()) {
	log := p.sums()
	done := make(chan struct{})
	var wg sync.WaitGroup
	told := false
	wg.Go(func() {
		timer := time.NewTimer(firstReport)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				log().Info("removing deleted volumes")
				told = true
				timer.Reset(nextReports)
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		if told {
			log().Info("removed deleted volumes")
		}
	}
}

// sums makes loggers that tell what has been done since.
func (p *Purger) sums() func() *slog.Logger {
	began := time.Now()
	files, bytes := p.Tally.Sum()
	return func() *slog.Logger {
		f, b := p.Tally.Sum()
		left, _ := p.Waiting()
		return p.Share.Log.With("location", p.Share.Location.String(), "volumes left", left,
			"files", f-files, "bytes", b-bytes, "duration", time.Since(began).Round(time.Millisecond))
	}
}

// worst picks the error that asks for most patience.
func worst(errs []error) error {
	var first error
	for _, err := range errs {
		if err != nil && (first == nil || errors.Is(first, errMore)) {
			first = err
		}
	}
	return first
}
