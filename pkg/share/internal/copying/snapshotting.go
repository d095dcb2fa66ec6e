package copying

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// snapshotting makes one snapshot: record, copy in staging, and the move into place.
type snapshotting struct {
	*Copier
	request  volume.SnapshotRequest
	progress Progress
	seen     SnapshotState
	source   registry.State
	record   volume.SnapshotRecord
	drop     bool // the record, if this fails for good
}

// Snapshot copies a volume, or finds the copy that an earlier call made. [volume.ErrNotFound]: there is no such volume. [volume.ErrExists]: a
// snapshot of the name is of another volume.
func (s *Copier) Snapshot(ctx context.Context, r volume.SnapshotRequest, p Progress) (volume.Snapshot, error) {
	now := s.Now()
	c := &snapshotting{Copier: s, request: r, progress: p}
	for range registry.Attempts {
		c.record = volume.SnapshotRecord{Version: volume.RecordVersion, Name: r.ID().Name, Source: r.Source.String(), Created: now.UTC().Truncate(time.Second)}
		c.drop = false
		err := c.try(ctx)
		if c.drop && failure.Definite(err, c.Classify) {
			err = c.undo(ctx, err)
		}
		if !errors.Is(err, registry.ErrChanged) {
			return c.record.Snapshot(s.Location), err
		}
	}
	return volume.Snapshot{}, fmt.Errorf("%w: somebody else keeps changing snapshot %q", volume.ErrBusy, c.record.Name)
}

func (c *snapshotting) try(ctx context.Context) error {
	if err := c.Ensure(ctx); err != nil {
		return err
	}
	err := registry.Together(
		func() (err error) { c.seen, err = c.lookAtSnapshot(ctx, c.record.Name); return err },
		func() (err error) {
			c.source, err = c.Look(ctx, c.request.Source.Name(), c.request.Source.Dir)
			return err
		},
	)
	if err != nil {
		return err
	}
	if c.seen.Found == registry.Whole {
		if c.seen.Record.Source != c.record.Source {
			return fmt.Errorf("%w: snapshot %q is of volume %q, not of %q", volume.ErrExists, c.record.Name, c.seen.Record.Source, c.record.Source)
		}
		c.record = c.seen.Record
		if c.seen.Complete() {
			return nil
		}
	}
	if c.seen.tree != nil {
		return c.alone(ctx)
	}
	c.drop = c.seen.Found != registry.NoRecord
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
	again, err := c.LookAtSnapshot(ctx, c.seen.key)
	switch {
	case err != nil:
		return err
	case again.Found != c.seen.Found || again.tree == nil:
		return registry.ErrChanged
	}
	return fmt.Errorf("%w: %q is on the share without a record of a snapshot %q: somebody put it there, or took the record away; remove it",
		volume.ErrExists, registry.SnapshotPath(c.seen.key), c.record.Name)
}

// write makes the record, which says that the name is taken, by whom and since when.
func (c *snapshotting) write(ctx context.Context) error {
	if c.seen.Found == registry.Whole {
		return nil
	}
	if c.seen.Found == registry.Torn {
		if err := c.Remove(ctx, registry.SnapshotPath(c.seen.key)+registry.RecordSuffix); err != nil {
			return err
		}
	}
	c.record.SizeBytes = c.source.Record.CapacityBytes
	data, err := c.record.Marshal()
	if err != nil {
		return err
	}
	err = c.FS.CreateFile(ctx, registry.SnapshotPath(c.seen.key)+registry.RecordSuffix, data, registry.RecordMode)
	switch {
	case err == nil:
		c.drop = true
		return nil
	case errors.Is(err, fs.ErrNotExist):
		c.Forget()
		return registry.ErrChanged
	case errors.Is(err, fs.ErrExist):
		return registry.ErrChanged
	}
	return fmt.Errorf("writing the record of snapshot %q: %w", c.record.Name, err)
}

func (c *snapshotting) copy(ctx context.Context) error {
	t := transfer{Copier: c.Copier, kind: registry.OfSnapshot, key: c.seen.key, from: string(c.request.Source.Dir), wanted: c.wanted, progress: c.progress}
	staged, err := t.run(ctx)
	if err != nil {
		return err
	}
	err = c.FS.Rename(ctx, registry.StagingDir+"/"+staged, registry.SnapshotPath(c.seen.key))
	switch {
	case err == nil:
		return c.confirm(ctx)
	case errors.Is(err, fs.ErrNotExist):
		c.Forget()
		return fmt.Errorf("%w: somebody else makes snapshot %q: %w", volume.ErrUnavailable, c.record.Name, err)
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ENOTDIR):
		t.abandon(ctx, staged)
		return registry.ErrChanged // another process was faster
	}
	return fmt.Errorf("moving snapshot %q into place: %w", c.record.Name, err)
}

// wanted looks whether the snapshot is still to be made, and whether its source is still the volume that it was.
func (c *snapshotting) wanted(ctx context.Context) error {
	var own volume.SnapshotRecord
	var found registry.Found
	var source registry.State
	err := registry.Together(
		func() (err error) { own, found, err = c.readSnapshotRecord(ctx, c.seen.key); return err },
		func() (err error) {
			source, err = c.Look(ctx, c.request.Source.Name(), c.request.Source.Dir)
			return err
		},
	)
	switch {
	case err != nil:
		return err
	case found != registry.Whole || !sameSnapshot(own, c.record):
		return fmt.Errorf("%w: snapshot %q is no longer to be made: somebody deleted it", volume.ErrBusy, c.record.Name)
	}
	return source.StillHolds(c.source, c.request.Source)
}

func sameSnapshot(a, b volume.SnapshotRecord) bool {
	return a.Name == b.Name && a.Source == b.Source && a.Created.Equal(b.Created)
}

// confirm looks whether the snapshot was deleted by another process just before it came into place: nobody would ever
// remove it then.
func (c *snapshotting) confirm(ctx context.Context) error {
	there, err := c.Lstat(ctx, registry.SnapshotPath(c.seen.key)+registry.RecordSuffix)
	if err != nil || there != nil {
		return err
	}
	if _, err := c.Discard(ctx, registry.SnapshotPath(c.seen.key), c.seen.key); err != nil {
		return err
	}
	return fmt.Errorf("%w: snapshot %q was deleted while it was made", volume.ErrBusy, c.record.Name)
}

// undo takes back what was made of a snapshot that cannot be.
func (c *snapshotting) undo(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registry.UndoTimeout)
	defer cancel()
	err := c.ClearStaging(ctx, registry.OfSnapshot, c.seen.key)
	var tree fs.FileInfo
	if err == nil {
		tree, err = c.Lstat(ctx, registry.SnapshotPath(c.seen.key))
	}
	if err == nil && tree != nil {
		return registry.ErrChanged // another process has just completed it
	}
	if err == nil {
		err = c.Remove(ctx, registry.SnapshotPath(c.seen.key)+registry.RecordSuffix)
	}
	if err != nil {
		return fmt.Errorf("%w: after %v: %v", volume.ErrUnavailable, cause, err)
	}
	return cause
}
