package share

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/jobs"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/pool"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Config says how a [Manager] reaches shares. Only Open is needed.
type Config struct {
	// Open opens the share at l. mountOptions are those of a class or a volume and may be nil. The closer ends what
	// the FS holds open; after it no call is made. ctx ends with the call to Open.
	Open func(ctx context.Context, l volume.Location, mountOptions []string) (FS, io.Closer, error)
	// Route names the way to a server that mountOptions ask for: a share is opened once for each. Default: all are one.
	Route func(mountOptions []string) string
	// Locations are known from the start, so that their volumes are listed before any of them is used.
	Locations []volume.Location
	// Classify names the sentinel of pkg/volume that an error of Open or of an FS means, nil for what it does not
	// know. Errors of io/fs, of package syscall and of contexts are known without it.
	Classify func(error) error
	// Observe is told of each operation when it ends: create, delete, expand, modify, get, list, space, snapshot, clone
	// and restore (creations from another volume and from a snapshot), deletesnapshot, listsnapshots, archives, visit, open,
	// and purge, the removal of one deleted volume's content.
	Observe     func(op string, d time.Duration, err error)
	Log         *slog.Logger     // default: nothing is logged
	Now         func() time.Time // default [time.Now]
	OpenTimeout time.Duration    // default 20 s
	IdleTimeout time.Duration    // after which a share that nobody uses is closed; default 5 min
	// PurgeDelay must pass without a deletion, or ten times that with some, before the content of deleted directories
	// is removed; default 300 ms. Servers make renames into a directory wait for removals from it: they take turns.
	PurgeDelay time.Duration
	// Passive does nothing beside calls: what is in the trash, archives that are due and what crashes have left stay for
	// the next Manager. For tools that look at a share.
	Passive bool
}

// Manager keeps volumes on shares, as pkg/driver asks of its Volumes. Use one for all shares of a process.
type Manager struct {
	config  Config
	pool    *pool.Pool[*share]
	locks   locks
	visits  visits
	ledgers ledgers
	copies  *jobs.Jobs[copyKey, copied]
}

// NewManager makes a Manager, which opens shares as they are needed. Close it.
func NewManager(c Config) *Manager {
	if c.Observe == nil {
		c.Observe = func(string, time.Duration, error) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OpenTimeout <= 0 {
		c.OpenTimeout = 20 * time.Second
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 5 * time.Minute
	}
	if c.Route == nil {
		c.Route = func([]string) string { return "" }
	}
	if c.PurgeDelay <= 0 {
		c.PurgeDelay = 300 * time.Millisecond
	}
	m := &Manager{config: c}
	m.pool = pool.New(pool.Config[*share]{
		Open: m.open, Opened: m.opened, Busy: func(s *share) bool { return s.purger.Busy() }, Route: c.Route, Locations: c.Locations,
		OpenTimeout: c.OpenTimeout, IdleTimeout: c.IdleTimeout, Log: c.Log,
	})
	m.visits = visits{now: c.Now, start: m.pool.Begin, sweep: m.sweepLater, planned: map[volume.Location]visit{}}
	m.copies = jobs.New[copyKey, copied](m.pool.Context(), m.pool.Begin)
	return m
}

// Close stops what is done beside calls, which the next Manager goes on with, and closes all shares. Calls that are
// still running fail.
func (m *Manager) Close() error {
	m.visits.close()
	return m.pool.Close()
}

// Trash counts the deleted volumes whose content is still being removed, on the shares that are open.
func (m *Manager) Trash() int {
	n := 0
	for _, s := range m.Stats() {
		n += s.Trash
	}
	return n
}

// on runs one operation on the share at l, and explains its error.
func (m *Manager) on(ctx context.Context, op string, l volume.Location, mountOptions []string, do func(*share) error) (err error) {
	began := time.Now()
	defer func() { m.config.Observe(op, time.Since(began), err) }()
	err = m.pool.Use(ctx, l, mountOptions, do)
	if err == nil {
		return nil
	}
	return failure.Explain(fmt.Errorf("on %s: %w", l, err), m.config.Classify)
}

// Create makes the volume that r asks for, or finds it made by an earlier call. [volume.ErrExists]: a volume of the
// name has another size or source, or its directory is somebody else's. After an error that is not [volume.ErrUnavailable],
// [volume.ErrBusy] or of the context nothing is left behind.
//
// Filling a volume from a source goes on beside calls: one that ends before it answers [volume.ErrBusy], and the next one
// joins. [volume.ErrNotFound]: there is no such source. [volume.ErrRange]: the source is larger than the volume may be.
// The directory has the source's mode and owner where the class names none.
func (m *Manager) Create(ctx context.Context, r volume.Request) (volume.Volume, error) {
	id, err := r.ID()
	if err != nil {
		return volume.Volume{}, err
	}
	if r.MountOptions == nil {
		r.MountOptions = []string{} // a class without is reached without
	}
	if r.Source != nil {
		return m.fill(ctx, r, id)
	}
	release, err := m.locks.hold(namesOf(id))
	if err != nil {
		return volume.Volume{}, err
	}
	defer release()
	var v volume.Volume
	err = m.on(ctx, "create", id.Location, r.MountOptions, func(s *share) (err error) {
		v, err = s.maker.Create(ctx, r, id, nil)
		return err
	})
	if err != nil {
		return volume.Volume{}, err
	}
	return v, nil
}

// Delete does with the volume's directory what the policy says that it was made with; the handle's policy counts where
// there is no record. A volume that does not exist is no error. [volume.ErrInvalid]: the handle is not of the volume
// that it names, or its directory is not a volume's; nothing is touched then.
func (m *Manager) Delete(ctx context.Context, id volume.ID, mountOptions []string) error {
	release, err := m.locks.holdUnused(namesOf(id))
	if err != nil {
		return err
	}
	defer release()
	return m.on(ctx, "delete", id.Location, mountOptions, func(s *share) error { return s.remover.Delete(ctx, id) })
}

// Get finds a volume. [volume.ErrNotFound]: its directory is not there, or is another volume's.
func (m *Manager) Get(ctx context.Context, id volume.ID) (volume.Volume, error) {
	v := volume.Volume{ID: id}
	err := m.on(ctx, "get", id.Location, nil, func(s *share) error {
		st, err := s.Look(ctx, id.Name(), id.Dir)
		if err == nil {
			err = st.Holds(id)
		}
		v.CapacityBytes, v.Created = st.Record.CapacityBytes, st.Record.Created
		return err
	})
	if err != nil {
		return volume.Volume{}, err
	}
	return v, nil
}

// Space is how full the share at l is.
func (m *Manager) Space(ctx context.Context, l volume.Location, mountOptions []string) (volume.Space, error) {
	var space volume.Space
	err := m.on(ctx, "space", l, mountOptions, func(s *share) (err error) {
		space, err = s.Space(ctx)
		return err
	})
	return space, err
}
