package making

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/copying"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// creation makes one volume. Its steps, each one round trip: look at the share; write record and reservation; make the
// directory. It keeps what a definite failure has to take back.
type creation struct {
	*Maker
	request volume.Request
	seen    registry.State
	record  volume.Record

	space     volume.Space     // where the class wants it checked
	progress  copying.Progress // of copying a source
	origin    copying.Origin   // what the volume is filled from
	originErr error            // why there is no such source

	dropRecord, dropLink bool
	dropDir              bool         // this call made it
	dropTree             bool         // this call moved it into place, with what it was filled with
	dropEmpty            bool         // an earlier call made it; it may have been used since
	dropParents          []volume.Dir // outermost first
	linked               volume.Dir   // what this call reserved
}

// Create makes the volume that r asks for, or finds it made; id is r's. p is told of the copying of a source, if there is one. [volume.ErrExists]:
// a volume of the name has another size or source, or its directory is somebody else's. After an error that is not
// [volume.ErrUnavailable], [volume.ErrBusy] or of the context nothing is left behind. One volume is made by one caller at a time.
func (s *Maker) Create(ctx context.Context, r volume.Request, id volume.ID, p copying.Progress) (volume.Volume, error) {
	now := s.Now()
	r.Class = r.Class.With(r.Changes)
	r.Class.Adopt = r.Class.Adopt && r.Source == nil // which would mix what is there with what is copied
	c := &creation{Maker: s, request: r, progress: p}
	for range registry.Attempts {
		c.record = newRecord(r, id, now)
		if err := c.try(ctx); !errors.Is(err, registry.ErrChanged) {
			return c.record.Volume(s.Location), err
		}
	}
	return volume.Volume{}, fmt.Errorf("%w: somebody else keeps changing volume %q", volume.ErrBusy, id.Name())
}

func newRecord(r volume.Request, id volume.ID, now time.Time) volume.Record {
	rec := volume.Record{
		Version: volume.RecordVersion, Name: id.Name(), Dir: id.Dir, CapacityBytes: r.RequiredBytes,
		Policy: id.Policy, Created: now.UTC().Truncate(time.Second), Source: r.Source.Handle(), ArchiveRetention: r.Class.ArchiveRetention,
	}
	if claim := r.Class.Claim; claim.Name != "" {
		rec.Claim = claim.Namespace + "/" + claim.Name
	}
	return rec
}

// try does it once. What is left after an error is either nothing, or the error says to try again.
func (c *creation) try(ctx context.Context) error {
	c.dropRecord, c.dropLink, c.dropEmpty = false, false, false
	if err := c.Ensure(ctx); err != nil {
		return err
	}
	if err := registry.Together(
		func() error { return c.lookAtOwn(ctx) },
		func() error { return c.lookAtSource(ctx) },
		func() error { return c.lookAtSpace(ctx) },
	); err != nil {
		return err
	}
	err := c.run(ctx)
	if failure.Definite(err, c.Classify) {
		if undone := c.undo(ctx); undone != nil {
			return fmt.Errorf("%w: after %v: %v", volume.ErrUnavailable, err, undone)
		}
	}
	return err
}

// lookAtOwn reads the volume's state. A directory that an earlier call recorded wins over the one asked for now: the
// template, or what it is filled with, may have changed between two tries.
func (c *creation) lookAtOwn(ctx context.Context) (err error) {
	if c.seen, err = c.look(ctx, c.record.Dir); err != nil {
		return err
	}
	if c.seen.Found == registry.Whole && c.seen.Record.Dir != c.record.Dir {
		c.seen, err = c.look(ctx, c.seen.Record.Dir)
	}
	if c.seen.Found == registry.Whole {
		c.record = c.seen.Record
	}
	if err == nil && c.linked != "" && c.linked != c.record.Dir {
		err = c.Unreserve(ctx, c.seen.Key, c.linked) // another caller recorded another directory meanwhile
	}
	return err
}

// look reads the volume's state with a directory. A record that only says what became of an earlier volume counts as torn.
func (c *creation) look(ctx context.Context, dir volume.Dir) (registry.State, error) {
	st, err := c.Look(ctx, c.record.Name, dir)
	if st.Found == registry.Whole && st.Record.Retained {
		st.Found = registry.Torn
	}
	return st, err
}

func (c *creation) run(ctx context.Context) error {
	if err := c.compatible(); err != nil {
		return err
	}
	if c.seen.Found == registry.Whole && c.seen.Ours() {
		if c.request.Source != nil {
			return c.resumeFilled(ctx)
		}
		return c.resume(ctx)
	}
	// No earlier call came further than to one of record and reservation, so that one goes if we fail for good.
	c.dropRecord, c.dropLink = c.seen.Found != registry.NoRecord && !c.seen.Record.Retained, c.seen.Ours()
	if err := c.vacant(); err != nil {
		if err := c.release(ctx); err != nil {
			return err
		}
		return c.confirm(ctx, err)
	}
	if err := c.fits(); err != nil {
		return err
	}
	if err := c.reserve(ctx); err != nil {
		return err
	}
	switch {
	case c.request.Source != nil && c.seen.Found == registry.Whole:
		return registry.ErrChanged // how far the volume is can be told now that both are there
	case c.request.Source != nil:
		return c.copyDir(ctx)
	case c.seen.Info != nil:
		return c.adopt(ctx)
	}
	return c.makeReserved(ctx)
}

// lookAtSource reads the state of what the volume is filled from. It counts only if the volume is not complete.
func (c *creation) lookAtSource(ctx context.Context) error {
	if c.request.Source == nil {
		return nil
	}
	c.origin, c.originErr = c.Copier.Origin(ctx, *c.request.Source)
	if c.originErr != nil && !failure.Definite(c.originErr, c.Classify) {
		return c.originErr
	}
	return nil
}

// lookAtSpace asks for the free space where the class wants it checked.
func (c *creation) lookAtSpace(ctx context.Context) (err error) {
	if !c.request.Class.StrictCapacity {
		return nil
	}
	c.space, err = c.Share.Space(ctx)
	return err
}

// fits refuses a volume that the export has no room for, and one whose source is not there or larger than the volume.
func (c *creation) fits() error {
	if c.request.Source != nil {
		if c.record.CapacityBytes == 0 {
			c.record.CapacityBytes = c.origin.Bytes
		}
		if limit := c.request.LimitBytes; limit > 0 && c.originErr == nil && c.origin.Bytes > limit {
			return fmt.Errorf("%w: at most %d bytes are asked for, the source of volume %q has %d", volume.ErrRange, limit, c.record.Name, c.origin.Bytes)
		}
		if err := c.checkSource(); err != nil {
			return err
		}
	}
	class := c.request.Class
	if left := c.space.Minus(class.Reserve); class.StrictCapacity && left.Available < uint64(c.record.CapacityBytes) {
		return fmt.Errorf("%w: volume %q needs %d bytes, %s has %d left besides a reserve of %s (capacityCheck: strict)",
			volume.ErrNoSpace, c.record.Name, c.record.CapacityBytes, c.Location, left.Available, class.Reserve)
	}
	return nil
}

// compatible compares size and source of a volume that is there with those asked for, as CSI's CreateVolume says to.
func (c *creation) compatible() error {
	if c.seen.Found != registry.Whole {
		return nil
	}
	has, r := c.seen.Record.CapacityBytes, c.request
	if has < r.RequiredBytes || r.LimitBytes > 0 && has > r.LimitBytes {
		return fmt.Errorf("%w: volume %q has %d bytes, asked for are at least %d and at most %d (0: any)",
			volume.ErrExists, c.record.Name, has, r.RequiredBytes, r.LimitBytes)
	}
	if source := r.Source.Handle(); source != c.seen.Record.Source {
		return fmt.Errorf("%w: volume %q is filled from %q, asked for is %q (empty: not filled)", volume.ErrExists, c.record.Name, c.seen.Record.Source, source)
	}
	return nil
}

// resume completes what an earlier call began, or finds it complete. That the record is there proves that the
// directory was not there, or was adopted, when the record was written; so whatever has its name now is ours.
func (c *creation) resume(ctx context.Context) error {
	switch {
	case c.seen.Above != "":
		c.dropRecord, c.dropLink = true, true
		c.dropEmpty = c.seen.Info != nil && c.seen.Info.IsDir() && !c.request.Class.Adopt
		return c.nested(c.seen.Above)
	case c.seen.Info == nil:
		c.dropRecord, c.dropLink = true, true // there is nothing that they would speak of
		return c.makeReserved(ctx)
	case !c.seen.Info.IsDir():
		return fmt.Errorf("%w: directory %q of volume %q is now %s: somebody replaced it; move it away",
			volume.ErrExists, c.record.Dir, c.record.Name, registry.TypeName(c.seen.Info))
	case c.request.Class.Adopt:
		c.dropRecord, c.dropLink = true, true
		return c.adopt(ctx)
	case c.seen.Info.Mode().Perm() == registry.ParentMode:
		if err := c.checkParent(ctx); err != nil {
			return err
		}
	}
	return c.finishDir(ctx)
}

// checkParent is for a directory that looks as those do that are made above others. Another volume may have made it above its
// own just before we came to making it, and a crash kept us from saying so.
func (c *creation) checkParent(ctx context.Context) error {
	owner, err := c.Below(ctx, c.seen.Key, c.record.Dir)
	if err == nil && owner != "" {
		c.dropRecord, c.dropLink = true, true
		err = c.holdsOther(owner)
	}
	return err
}

// vacant refuses a directory that is somebody else's.
func (c *creation) vacant() error {
	adopt, info := c.request.Class.Adopt, c.seen.Info
	switch {
	case c.seen.Others():
		return c.taken(c.seen.Owner)
	case c.seen.Above != "":
		return c.nested(c.seen.Above)
	case info != nil && !info.IsDir():
		return fmt.Errorf("%w: %q on the share is %s: give the volume another directory (subDir), or move that away",
			volume.ErrExists, c.record.Dir, registry.TypeName(info))
	case info != nil && !adopt:
		return fmt.Errorf("%w: directory %q is on the share already and belongs to no volume: give the volume another one (subDir), "+
			"move that away, or let the class use it as it is (onExisting: adopt)", volume.ErrExists, c.record.Dir)
	}
	return nil
}

// confirm looks again before a directory is called somebody else's: its record and reservation may have come while we
// looked the first time. They are older than the directory, so a second look sees them.
func (c *creation) confirm(ctx context.Context, refusal error) error {
	st, err := c.look(ctx, c.record.Dir)
	if err != nil {
		return err
	}
	if st.Found != c.seen.Found || st.Owner != c.seen.Owner {
		return registry.ErrChanged
	}
	return refusal
}

func (c *creation) taken(owner string) error {
	return fmt.Errorf("%w: directory %q belongs to volume %q: give each volume a directory of its own (subDir); if that volume is gone for good, remove %q from the share",
		volume.ErrExists, c.record.Dir, owner, registry.LinkPath(c.record.Dir))
}

func (c *creation) nested(owner string) error {
	return fmt.Errorf("%w: directory %q would be inside that of volume %q: give each volume a directory of its own (subDir)",
		volume.ErrExists, c.record.Dir, owner)
}

// reserve writes what is missing of record and reservation.
func (c *creation) reserve(ctx context.Context) error {
	var recorded, linked error
	var calls []func() error
	if c.seen.Found != registry.Whole {
		calls = append(calls, func() error { recorded = c.WriteRecord(ctx, c.record, c.seen.Found); return nil })
	}
	if !c.seen.Ours() {
		calls = append(calls, func() error { linked = c.link(ctx); return nil })
	}
	if err := registry.Together(calls...); err != nil {
		return err
	}
	c.dropRecord = c.dropRecord || recorded == nil
	c.dropLink = c.dropLink || linked == nil
	if err := firstUnsure([]error{recorded, linked}, c.Classify); err != nil || !c.seen.Ours() {
		return err
	}
	return c.stillReserved(ctx)
}

// firstUnsure picks the error that tells most: one after which something may have happened wins over a definite one.
func firstUnsure(errs []error, classify func(error) error) error {
	var first error
	for _, err := range errs {
		if err != nil && (first == nil || !failure.Definite(err, classify)) {
			first = err
		}
	}
	return first
}

// link reserves the directory for the volume.
func (c *creation) link(ctx context.Context) error {
	owner, err := c.Reserve(ctx, c.seen.Key, c.record.Dir)
	if err == nil && owner != c.seen.Key {
		err = c.taken(owner)
	}
	if err == nil {
		c.linked = c.record.Dir
	}
	return err
}
