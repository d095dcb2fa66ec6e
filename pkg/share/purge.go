package share

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"
)

const (
	maxGather     = 10 // times that removing waits for deletions to end
	purgers       = 4  // trees of one share that are removed at once; each has many requests in flight
	minPurgeDelay = time.Second
	maxPurgeDelay = 5 * time.Minute
)

// purger removes what is in a share's trash, beside the calls that put it there. It runs only while there is something
// to do, and stops when its context ends; the next one, perhaps of another process, goes on from what it finds.
type purger struct {
	share *share
	ctx   context.Context
	start func(run func()) // starts a goroutine that somebody waits for, or does nothing any more
	kick  chan struct{}    // ends the delay after a failure, holds one

	mu      sync.Mutex
	running bool
	again   bool            // look once more before stopping
	known   map[string]bool // what is in the trash, as far as we know
}

// add says what has come into the trash.
func (p *purger) add(name string) {
	p.mu.Lock()
	if p.known == nil {
		p.known = map[string]bool{}
	}
	p.known[name] = true
	p.mu.Unlock()
	p.wake()
}

// wake looks into the trash soon.
func (p *purger) wake() {
	p.mu.Lock()
	stopped := !p.running
	p.running, p.again = true, true
	p.mu.Unlock()
	if stopped {
		p.start(p.run)
		return
	}
	select {
	case p.kick <- struct{}{}:
	default: // there is one already
	}
}

func (p *purger) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.known)
}

// busy says whether something is being removed, so that the share must stay open.
func (p *purger) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

func (p *purger) run() {
	delay := minPurgeDelay
	for p.more() {
		p.gather()
		err := p.empty()
		switch {
		case p.ctx.Err() != nil:
			p.stop()
			return
		case err == nil:
			delay = minPurgeDelay
		default:
			p.share.log.Warn("removing deleted volumes is delayed", "location", p.share.location.String(), "err", err, "retry", delay)
			p.sleep(delay, p.kick)
			p.lookAgain()
			delay = min(2*delay, maxPurgeDelay)
		}
	}
}

// gather waits until no more comes into the trash for a while, but not for long.
func (p *purger) gather() {
	for range maxGather {
		p.sleep(p.share.purgeDelay, nil)
		if !p.came() {
			return
		}
	}
}

// came says whether somebody asked for another look meanwhile, and takes that as answered.
func (p *purger) came() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	came := p.again
	p.again = false
	return came
}

// more ends the run when nobody has asked for another look.
func (p *purger) more() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.again {
		p.running = false
		return false
	}
	p.again = false
	return true
}

func (p *purger) stop() {
	p.mu.Lock()
	p.running = false
	p.mu.Unlock()
}

// sleep ends early when the purger is to end, or by a kick.
func (p *purger) sleep(d time.Duration, kick <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
	case <-p.ctx.Done():
	}
}

func (p *purger) lookAgain() {
	p.mu.Lock()
	p.again = true
	p.mu.Unlock()
}

// empty removes all that is in the trash now, and reports one of the failures.
func (p *purger) empty() error {
	infos, err := p.share.fs.ReadDir(p.ctx, trashDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p.learn(infos)
	errs := make([]error, purgers)
	var wg sync.WaitGroup
	names := make(chan string)
	for i := range errs {
		wg.Go(func() {
			for name := range names {
				if err := p.removeTree(name); err != nil {
					errs[i] = err
				}
			}
		})
	}
	for _, info := range infos {
		names <- info.Name()
	}
	close(names)
	wg.Wait()
	return firstError(errs)
}

// learn sets what is known to what was listed.
func (p *purger) learn(infos []fs.FileInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = make(map[string]bool, len(infos))
	for _, info := range infos {
		p.known[info.Name()] = true
	}
}

func (p *purger) removeTree(name string) error {
	began := time.Now()
	err := p.share.fs.RemoveAll(p.ctx, trashDir+"/"+name, nil)
	p.share.observe("purge", time.Since(began), err)
	if err != nil {
		return err
	}
	p.mu.Lock()
	delete(p.known, name)
	p.mu.Unlock()
	p.share.log.Debug("removed a deleted volume's directory", slog.String("location", p.share.location.String()), slog.String("trash", name))
	return nil
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
