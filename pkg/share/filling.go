package share

import (
	"context"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/jobs"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// fill makes a volume that r wants filled from a source. The copying goes on beside calls, as that of a snapshot does.
func (m *Manager) fill(ctx context.Context, r volume.Request, id volume.ID) (volume.Volume, error) {
	op, from := opAndLocation(*r.Source)
	if from != id.Location {
		return volume.Volume{}, fmt.Errorf("%w: the source is on %s and the volume would be on %s: a copy stays on its share, so use a class with that server and share",
			volume.ErrInvalid, from, id.Location)
	}
	key := copyKey{id.Location, registry.OfVolume, id.Name()}
	request := fmt.Sprint(r.RequiredBytes, r.LimitBytes, r.Source.Handle(), id)
	made, err := m.copies.Join(ctx, key, request, op, func(ctx context.Context, p *jobs.Progress) (copied, error) {
		return m.filled(ctx, op, r, id, p)
	})
	return made.volume, err
}

// opAndLocation says how filling from a source is called, and where the source is.
func opAndLocation(s volume.Source) (op string, l volume.Location) {
	if s.Snapshot != nil {
		return "restore", s.Snapshot.Location
	}
	return "clone", s.Volume.Location
}

func (m *Manager) filled(ctx context.Context, op string, r volume.Request, id volume.ID, p *jobs.Progress) (copied, error) {
	// In this order a volume whose directory is that of its source is refused by the share, not told to come again.
	released, err := m.locks.use(namesOfSource(*r.Source))
	if err != nil {
		return copied{}, err
	}
	defer released()
	release, err := m.locks.hold(namesOf(id))
	if err != nil {
		return copied{}, err
	}
	defer release()
	var made copied
	err = m.on(ctx, op, id.Location, r.MountOptions, func(s *share) (err error) {
		made.volume, err = s.maker.Create(ctx, r, id, p)
		return err
	})
	if err != nil {
		return copied{}, err
	}
	return made, nil
}
