package share

import (
	"context"
	"io"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/copying"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/making"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/removing"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/trash"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// share is one open share.
type share struct {
	*registry.Share
	purger  *trash.Purger
	remover *removing.Remover
	maker   *making.Maker
	copier  *copying.Copier
	ledger  *ledger
	visit   func(at time.Time) // comes back when an archive is due
}

func (m *Manager) open(ctx context.Context, l volume.Location, mountOptions []string) (*share, io.Closer, error) {
	c := m.config
	began := time.Now()
	fsys, closer, err := c.Open(ctx, l, mountOptions)
	c.Observe("open", time.Since(began), err)
	if err != nil {
		return nil, nil, err
	}
	s := &share{
		Share:  &registry.Share{Location: l, FS: fsys, Now: c.Now, Classify: c.Classify, Log: c.Log},
		ledger: m.ledgers.of(l), visit: func(at time.Time) { m.visits.schedule(l, at) },
	}
	s.purger = trash.New(m.pool.Context(), trash.Config{Share: s.Share, Start: m.purge, Delay: c.PurgeDelay, Observe: c.Observe, Tally: &s.ledger.removed})
	s.Trashed = s.purger.Add
	s.copier = copying.New(s.Share)
	s.remover = &removing.Remover{
		Share: s.Share, Wake: s.purger.Wake, Archived: s.archived,
		Hold: func(dir volume.Dir) (func(), error) {
			return m.locks.holdUnused(namesOf(volume.ID{Location: l, Dir: dir})[1:])
		},
	}
	s.maker = &making.Maker{Share: s.Share, Copier: s.copier, Remover: s.remover}
	return s, closer, nil
}

// opened begins what is done beside calls.
func (m *Manager) opened(s *share) {
	if m.config.Passive {
		return
	}
	s.purger.Wake()
	s.visit(m.config.Now())
	m.pool.Begin(func() { s.Tidy(m.pool.Context()) })
}

// purge runs a purger, unless the pool is closing.
func (m *Manager) purge(run func()) {
	if !m.config.Passive {
		m.pool.Begin(run)
	}
}
