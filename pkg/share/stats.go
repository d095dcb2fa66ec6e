package share

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/removing"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/trash"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Stats is what is going on beside calls on one share that was used since the process began.
type Stats struct {
	Location volume.Location

	Trash       int       // deleted volumes whose content is still being removed; 0 while the share is closed
	OldestTrash time.Time // since when the oldest of them is deleted; zero: there is none

	RemovedFiles int64 // since the process began
	RemovedBytes int64

	Archives      int       // archived volumes, as of the last look
	OldestArchive time.Time // zero: there is none
}

// Stats tells of every share that was used since the process began, by location. It asks no server.
func (m *Manager) Stats() []Stats {
	open := map[volume.Location][]*share{}
	for _, s := range m.pool.Shares() {
		open[s.Location] = append(open[s.Location], s)
	}
	var all []Stats
	for l, ledger := range m.ledgers.all() {
		stats := ledger.stats(l)
		for _, s := range open[l] { // all of them see the same trash
			if n, oldest := s.purger.Waiting(); n > stats.Trash {
				stats.Trash, stats.OldestTrash = n, oldest
			}
		}
		all = append(all, stats)
	}
	slices.SortFunc(all, func(a, b Stats) int { return strings.Compare(a.Location.String(), b.Location.String()) })
	return all
}

// Visit opens the share at l, which goes on with what is in its trash, and moves the archives that are due there. After
// that the Manager comes back by itself when the next archive is due. A controller that has just come to lead visits the
// shares it knows of; calls on a share do the same for it.
func (m *Manager) Visit(ctx context.Context, l volume.Location, mountOptions []string) error {
	return m.on(ctx, "visit", l, mountOptions, func(s *share) error {
		next, err := s.sweep(ctx)
		if !next.IsZero() {
			s.visit(next)
		}
		return err
	})
}

// ledgers are those of every location that was ever opened.
type ledgers struct {
	mu sync.Mutex
	at map[volume.Location]*ledger
}

func (l *ledgers) of(at volume.Location) *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = map[volume.Location]*ledger{}
	}
	if l.at[at] == nil {
		l.at[at] = &ledger{}
	}
	return l.at[at]
}

func (l *ledgers) all() map[volume.Location]*ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.at)
}

// sweep removes archives that are due, and counts those that stay.
func (s *share) sweep(ctx context.Context) (next time.Time, err error) {
	kept, next, err := s.remover.Sweep(ctx)
	if kept != nil {
		s.ledger.keeps(kept)
	}
	return next, err
}

// archived counts an archive, and comes back when it is due.
func (s *share) archived(a removing.Archive) {
	s.ledger.archived(a.Archived)
	if !a.Expires.IsZero() {
		s.visit(a.Expires)
	}
}

// ledger keeps the numbers of a share, which outlive its being open.
type ledger struct {
	removed trash.Tally

	mu       sync.Mutex
	archives int
	oldest   time.Time
}

// archived adds an archive.
func (l *ledger) archived(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.archives++; l.oldest.IsZero() || at.Before(l.oldest) {
		l.oldest = at
	}
}

// keeps sets what archives there are.
func (l *ledger) keeps(all []removing.Archive) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.archives, l.oldest = len(all), time.Time{}
	for _, r := range all {
		if l.oldest.IsZero() || r.Archived.Before(l.oldest) {
			l.oldest = r.Archived
		}
	}
}

func (l *ledger) stats(at volume.Location) Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	files, bytes := l.removed.Sum()
	return Stats{Location: at, RemovedFiles: files, RemovedBytes: bytes, Archives: l.archives, OldestArchive: l.oldest}
}
