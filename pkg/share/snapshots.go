package share

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/jobs"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// CreateSnapshot copies a volume, or finds the copy that an earlier call made. The copying goes on beside calls: one that
// ends before it answers [volume.ErrBusy], and the next one joins. [volume.ErrNotFound]: there is no such volume.
// [volume.ErrExists]: a snapshot of the name is of another volume.
func (m *Manager) CreateSnapshot(ctx context.Context, r volume.SnapshotRequest) (volume.Snapshot, error) {
	id := r.ID()
	key := copyKey{id.Location, registry.OfSnapshot, id.Name}
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
	made := copied{}
	err = m.on(ctx, "snapshot", id.Location, r.MountOptions, func(s *share) (err error) {
		made.snapshot, err = s.copier.Snapshot(ctx, r, p)
		return err
	})
	if err != nil {
		return copied{}, err
	}
	return made, nil
}

// DeleteSnapshot moves a snapshot into the trash; that there is none is no error. [volume.ErrBusy]: a volume is being
// restored from it. [volume.ErrInvalid]: the handle is not of the snapshot that has its name; nothing is touched then.
func (m *Manager) DeleteSnapshot(ctx context.Context, id volume.SnapshotID, mountOptions []string) error {
	release, err := m.locks.holdUnused(namesOfSnapshot(id))
	if err != nil {
		return err
	}
	defer release()
	return m.on(ctx, "deletesnapshot", id.Location, mountOptions, func(s *share) error { return s.copier.DeleteSnapshot(ctx, id) })
}
