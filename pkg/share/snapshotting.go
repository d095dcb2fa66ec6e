package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/jobs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// CreateSnapshot copies a volume, or finds the copy that an earlier call made. The copying goes on beside calls: one that
// ends before it answers [volume.ErrBusy], and the next one joins. [volume.ErrNotFound]: there is no such volume.
// [volume.ErrExists]: a snapshot of the name is of another volume.
func (m *Manager) CreateSnapshot(ctx context.Context, r volume.SnapshotRequest) (volume.Snapshot, error) {
	id := r.ID()
	key := copyKey{id.Location, ofSnapshot, id.Name}
	made, err := m.copies.Join(ctx, key, r.Source.String(), "snapshot", func(ctx context.Context, p *jobs.Progress) (copied, error) {
		return m.snapshot(ctx, r, id, p)
	})
	return made.snapshot, err
}

func (m *Manager) snapshot(ctx context.Context, r volume.SnapshotRequest, id volume.SnapshotID, p *jobs.Progress) (copied, error) {
	release, err := m.locks.hold(namesOfSnapshot(id))
	if err != nil {
		return copied{}, err
	}
	defer release()
	released, err := m.locks.use(namesOf(r.Source))
	if err != nil {
		return copied{}, err
	}
	defer released()
	var rec volume.SnapshotRecord
	err = m.on(ctx, "snapshot", id.Location, r.MountOptions, func(s *share) (err error) {
		rec, err = s.snapshot(ctx, r, m.config.Now(), p)
		return err
	})
	if err != nil {
		return copied{}, err
	}
	return copied{snapshot: snapshotOf(rec, id.Location)}, nil
}

// snapshotting makes one snapshot: record, copy in staging, and the move into place.
type snapshotting struct {
	*share
	request  volume.SnapshotRequest
	progress progress
	seen     snapshotState
	source   state
	record   volume.SnapshotRecord
	drop     bool // the record, if this fails for good
}

func (s *share) snapshot(ctx context.Context, r volume.SnapshotRequest, now time.Time, p progress) (volume.SnapshotRecord, error) {
	c := &snapshotting{share: s, request: r, progress: p}
	for range creationAttempts {
		c.record = volume.SnapshotRecord{Version: volume.RecordVersion, Name: r.ID().Name, Source: r.Source.String(), Created: now.UTC().Truncate(time.Second)}
		c.drop = false
		err := c.try(ctx)
		if c.drop && failure.Definite(err, c.classify) {
			err = c.undo(ctx, err)
		}
		if !errors.Is(err, errChanged) {
			return c.record, err
		}
	}
	return volume.SnapshotRecord{}, fmt.Errorf("%w: somebody else keeps changing snapshot %q", volume.ErrBusy, c.record.Name)
}

func (c *snapshotting) try(ctx context.Context) error {
	if err := c.layout.ensure(ctx, c.fs); err != nil {
		return err
	}
	err := together(
		func() (err error) { c.seen, err = c.lookAtSnapshot(ctx, c.record.Name); return err },
		func() (err error) {
			c.source, err = c.look(ctx, c.request.Source.Name(), c.request.Source.Dir)
			return err
		},
	)
	if err != nil {
		return err
	}
	if c.seen.found == whole {
		if c.seen.record.Source != c.record.Source {
			return fmt.Errorf("%w: snapshot %q is of volume %q, not of %q", volume.ErrExists, c.record.Name, c.seen.record.Source, c.record.Source)
		}
		c.record = c.seen.record
		if c.seen.complete() {
			return nil
		}
	}
	if c.seen.tree != nil {
		return c.alone(ctx)
	}
	c.drop = c.seen.found != noRecord
	if err := c.copyable(ctx, c.source, c.request.Source); err != nil {
		return err
	}
	if err := c.write(ctx); err != nil {
		return err
	}
	return c.copy(ctx)
}

// alone refuses a tree that has no record. One that another process makes has had its record for longer, so a second look
// sees it.
func (c *snapshotting) alone(ctx context.Context) error {
	again, err := c.lookAtSnapshotBy(ctx, c.seen.key)
	switch {
	case err != nil:
		return err
	case again.found != c.seen.found || again.tree == nil:
		return errChanged
	}
	return fmt.Errorf("%w: %q is on the share without a record of a snapshot %q: somebody put it there, or took the record away; remove it",
		volume.ErrExists, snapshotPath(c.seen.key), c.record.Name)
}

// write makes the record, which says that the name is taken, by whom and since when.
func (c *snapshotting) write(ctx context.Context) error {
	if c.seen.found == whole {
		return nil
	}
	if c.seen.found == torn {
		if err := c.remove(ctx, snapshotPath(c.seen.key)+recordSuffix); err != nil {
			return err
		}
	}
	c.record.SizeBytes = c.source.record.CapacityBytes
	data, err := c.record.Marshal()
	if err != nil {
		return err
	}
	err = c.fs.CreateFile(ctx, snapshotPath(c.seen.key)+recordSuffix, data, recordMode)
	switch {
	case err == nil:
		c.drop = true
		return nil
	case errors.Is(err, fs.ErrNotExist):
		c.layout.forget()
		return errChanged
	case errors.Is(err, fs.ErrExist):
		return errChanged
	}
	return fmt.Errorf("writing the record of snapshot %q: %w", c.record.Name, err)
}

func (c *snapshotting) copy(ctx context.Context) error {
	t := transfer{share: c.share, kind: ofSnapshot, key: c.seen.key, from: string(c.request.Source.Dir), wanted: c.wanted, progress: c.progress}
	staged, err := t.run(ctx)
	if err != nil {
		return err
	}
	err = c.fs.Rename(ctx, stagingDir+"/"+staged, snapshotPath(c.seen.key))
	switch {
	case err == nil:
		return c.confirm(ctx)
	case errors.Is(err, fs.ErrNotExist):
		c.layout.forget()
		return fmt.Errorf("%w: somebody else makes snapshot %q: %w", volume.ErrUnavailable, c.record.Name, err)
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ENOTDIR):
		t.abandon(ctx, staged)
		return errChanged // another process was faster
	}
	return fmt.Errorf("moving snapshot %q into place: %w", c.record.Name, err)
}

// wanted looks whether the snapshot is still to be made, and whether its source is still the volume that it was.
func (c *snapshotting) wanted(ctx context.Context) error {
	var own volume.SnapshotRecord
	var found recordState
	var source state
	err := together(
		func() (err error) { own, found, err = c.readSnapshotRecord(ctx, c.seen.key); return err },
		func() (err error) {
			source, err = c.look(ctx, c.request.Source.Name(), c.request.Source.Dir)
			return err
		},
	)
	switch {
	case err != nil:
		return err
	case found != whole || !sameSnapshot(own, c.record):
		return fmt.Errorf("%w: snapshot %q is no longer to be made: somebody deleted it", volume.ErrBusy, c.record.Name)
	}
	return source.stillHolds(c.source, c.request.Source)
}

func sameSnapshot(a, b volume.SnapshotRecord) bool {
	return a.Name == b.Name && a.Source == b.Source && a.Created.Equal(b.Created)
}

// stillHolds says why what was the volume with handle id is it no more.
func (s state) stillHolds(was state, id volume.ID) error {
	if err := s.holds(id); err != nil {
		return err
	}
	if s.found != was.found || s.owner != was.owner || !s.record.Created.Equal(was.record.Created) {
		return fmt.Errorf("%w: volume %q was deleted while it was copied", volume.ErrNotFound, id.Name())
	}
	return nil
}

// confirm looks whether the snapshot was deleted by another process just before it came into place: nobody would ever
// remove it then.
func (c *snapshotting) confirm(ctx context.Context) error {
	there, err := c.lstat(ctx, snapshotPath(c.seen.key)+recordSuffix)
	if err != nil || there != nil {
		return err
	}
	if err := c.discard(ctx, snapshotPath(c.seen.key), c.seen.key); err != nil {
		return err
	}
	return fmt.Errorf("%w: snapshot %q was deleted while it was made", volume.ErrBusy, c.record.Name)
}

// undo takes back what was made of a snapshot that cannot be.
func (c *snapshotting) undo(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	err := c.clearStaging(ctx, ofSnapshot, c.seen.key)
	var tree fs.FileInfo
	if err == nil {
		tree, err = c.lstat(ctx, snapshotPath(c.seen.key))
	}
	if err == nil && tree != nil {
		return errChanged // another process has just completed it
	}
	if err == nil {
		err = c.remove(ctx, snapshotPath(c.seen.key)+recordSuffix)
	}
	if err != nil {
		return fmt.Errorf("%w: after %v: %v", volume.ErrUnavailable, cause, err)
	}
	return cause
}
