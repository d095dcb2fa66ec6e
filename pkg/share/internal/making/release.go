package making

import (
	"context"
	"fmt"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// release takes away a reservation that stands in the way and is provably nobody's: a crash left it without a record, and
// the volume never came back, or came back with another directory. [registry.ErrChanged]: it has gone, look again.
//
// Its volume may come back just now: it writes its record and then looks whether the reservation is still there, see
// stillReserved. We take the reservation away and then look for the record. So one of the two sees the other.
func (c *creation) release(ctx context.Context) error {
	if !c.seen.Others() || c.seen.Info != nil {
		return nil
	}
	link := registry.LinkPath(c.record.Dir)
	info, err := c.Lstat(ctx, link)
	if err != nil || info == nil || c.Now().Sub(info.ModTime()) < registry.StaleAfter {
		return err
	}
	if used, err := c.reservationUsed(ctx); err != nil || used {
		return err
	}
	if err := c.Unreserve(ctx, c.seen.Owner, c.record.Dir); err != nil {
		return err
	}
	used, err := c.reservationUsed(ctx)
	if err == nil && used {
		_, err = c.Reserve(ctx, c.seen.Owner, c.record.Dir)
	}
	if err != nil {
		return fmt.Errorf("%w: giving directory %q back to volume %q: %w", volume.ErrUnavailable, c.record.Dir, c.seen.Owner, err)
	}
	c.Log.Info("took away a reservation that a crash had left", "location", c.Location.String(), "directory", string(c.record.Dir), "volume", c.seen.Owner)
	return registry.ErrChanged
}

// reservationUsed says whether the volume that a directory is reserved for may want it. One that is archived wants the
// directory it is archived to, which its record does not say.
func (c *creation) reservationUsed(ctx context.Context) (bool, error) {
	r, found, err := c.ReadRecord(ctx, c.seen.Owner)
	elsewhere := found == registry.Whole && r.Dir != c.record.Dir && !strings.HasPrefix(string(c.record.Dir), volume.ArchivePrefix)
	return found != registry.NoRecord && !elsewhere, err
}

// confirmReserved looks whether a deletion that had not seen our record has taken the reservation, and reserves the directory
// once more; that deletion was before us. One that does see the record gives the reservation back and comes again, see endUnmade.
func (c *creation) confirmReserved(ctx context.Context) error {
	var owner string
	var found registry.Found
	err := registry.Together(
		func() (err error) { owner, err = c.ReservedFor(ctx, c.record.Dir); return err },
		func() (err error) { _, found, err = c.ReadRecord(ctx, c.seen.Key); return err },
	)
	if err == nil && owner == "" {
		if owner, err = c.Reserve(ctx, c.seen.Key, c.record.Dir); err == nil {
			_, found, err = c.ReadRecord(ctx, c.seen.Key)
		}
	}
	if err == nil && (owner != c.seen.Key || found != registry.Whole) {
		err = registry.ErrChanged
	}
	return err
}

// stillReserved looks whether a reservation that an earlier call left is still there, now that its record is.
func (c *creation) stillReserved(ctx context.Context) error {
	owner, err := c.ReservedFor(ctx, c.record.Dir)
	if err == nil && owner != c.seen.Key {
		err = registry.ErrChanged
	}
	return err
}
