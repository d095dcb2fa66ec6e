package share

import (
	"fmt"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// locks keeps operations on the same volume, directory or snapshot apart. Nobody waits: whoever comes second is told so
// and comes again, as CSI has it.
type locks struct {
	mu   sync.Mutex
	held map[string]bool
	used map[string]int // how many copies are made of it
}

// namesOf are what an operation on a volume locks, in words that a user reads.
func namesOf(id volume.ID) []string {
	place := " on " + id.Location.String()
	return []string{fmt.Sprintf("volume %q", id.Name()) + place, fmt.Sprintf("directory %q", id.Dir) + place}
}

func namesOfSnapshot(id volume.SnapshotID) []string {
	return []string{fmt.Sprintf("snapshot %q on %s", id.Name, id.Location)}
}

// namesOfSource are those of what a volume is filled from.
func namesOfSource(s volume.Source) []string {
	if s.Snapshot != nil {
		return namesOfSnapshot(*s.Snapshot)
	}
	return namesOf(*s.Volume)
}

// hold keeps other operations away from what has these names, or answers [volume.ErrBusy].
func (l *locks) hold(names []string) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.take(names)
}

// holdUnused is hold for what is to go: nobody may be copying it.
func (l *locks) holdUnused(names []string) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if l.used[name] > 0 {
			return nil, fmt.Errorf("%w: %s is being copied", volume.ErrBusy, name)
		}
	}
	return l.take(names)
}

func (l *locks) take(names []string) (release func(), err error) {
	for _, name := range names {
		if l.held[name] {
			return nil, fmt.Errorf("%w: on %s", volume.ErrBusy, name)
		}
	}
	if l.held == nil {
		l.held = map[string]bool{}
	}
	for _, name := range names {
		l.held[name] = true
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, name := range names {
			delete(l.held, name)
		}
	}, nil
}

// use keeps what has these names from being deleted while it is copied; it may be copied more than once at a time.
func (l *locks) use(names []string) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if l.held[name] {
			return nil, fmt.Errorf("%w: on %s, which is to be copied", volume.ErrBusy, name)
		}
	}
	if l.used == nil {
		l.used = map[string]int{}
	}
	for _, name := range names {
		l.used[name]++
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, name := range names {
			if l.used[name]--; l.used[name] == 0 {
				delete(l.used, name)
			}
		}
	}, nil
}
