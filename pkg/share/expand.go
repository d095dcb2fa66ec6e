package share

import (
	"context"
	"errors"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Expand makes the volume at least requiredBytes large, which changes its record and nothing else: no volume is held to
// its size. It never shrinks one. A volume without a record, as the predecessors made them, answers the size asked for.
// [volume.ErrNotFound]: there is no such volume. [volume.ErrRange]: it is larger than limitBytes (0: no limit) already.
func (m *Manager) Expand(ctx context.Context, id volume.ID, requiredBytes, limitBytes int64, mountOptions []string) (volume.Volume, error) {
	if limitBytes > 0 && requiredBytes > limitBytes {
		return volume.Volume{}, fmt.Errorf("%w: at least %d bytes and at most %d are asked for", volume.ErrInvalid, requiredBytes, limitBytes)
	}
	var rec volume.Record
	err := m.change(ctx, "expand", id, mountOptions, func(r volume.Record) (volume.Record, error) {
		r.CapacityBytes = max(r.CapacityBytes, requiredBytes)
		if limitBytes > 0 && r.CapacityBytes > limitBytes {
			return r, fmt.Errorf("%w: volume %q has %d bytes, and volumes do not shrink to %d", volume.ErrRange, id.Name(), r.CapacityBytes, limitBytes)
		}
		rec = r
		return r, nil
	}, nil)
	if err != nil {
		return volume.Volume{}, err
	}
	return volume.Volume{ID: id, CapacityBytes: rec.CapacityBytes, Created: rec.Created}, nil
}

// Modify makes of the volume what c says: its record, and the mode and owner of its directory. A volume without a
// record can only change the latter: its policy is in its handle.
func (m *Manager) Modify(ctx context.Context, id volume.ID, c volume.Changes, mountOptions []string) error {
	return m.change(ctx, "modify", id, mountOptions, func(r volume.Record) (volume.Record, error) {
		if r.Version == 0 && (c.Policy != "" || c.ArchiveRetention != nil) {
			return r, fmt.Errorf("%w: volume %q has no record on the share, so its policy is what its handle says and cannot change", volume.ErrInvalid, id.Name())
		}
		if c.Policy != "" && c.Policy != r.Policy {
			if r.HandlePolicy == "" {
				r.HandlePolicy = r.Policy
			}
			r.Policy = c.Policy
		}
		if c.ArchiveRetention != nil {
			r.ArchiveRetention = *c.ArchiveRetention
		}
		return r, nil
	}, func(s *share) error { return s.ChangeDir(ctx, string(id.Dir), c.Mode, c.UID, c.GID) })
}

// change gives a volume the record that edit makes of its own, and then does the rest, if there is any. edit gets an
// empty record where there is none, and what it makes of it is not kept.
func (m *Manager) change(ctx context.Context, op string, id volume.ID, mountOptions []string,
	edit func(volume.Record) (volume.Record, error), rest func(*share) error) error {
	release, err := m.locks.hold(namesOf(id))
	if err != nil {
		return err
	}
	defer release()
	return m.on(ctx, op, id.Location, mountOptions, func(s *share) error {
		var err error
		for range registry.Attempts {
			if err = s.edit(ctx, id, edit); !errors.Is(err, registry.ErrChanged) {
				break
			}
		}
		if err == nil && rest != nil {
			err = rest(s)
		}
		return err
	})
}

// edit rewrites the record of the volume with handle id if edit changes it.
func (s *share) edit(ctx context.Context, id volume.ID, edit func(volume.Record) (volume.Record, error)) error {
	if err := s.Ensure(ctx); err != nil {
		return err
	}
	st, err := s.Look(ctx, id.Name(), id.Dir)
	if err == nil {
		err = st.Holds(id)
	}
	if err != nil {
		return err
	}
	if st.Found == registry.Whole && !st.Ours() {
		return fmt.Errorf("%w: volume %q is being deleted", volume.ErrNotFound, id.Name())
	}
	changed, err := edit(st.Record)
	if err != nil || st.Found != registry.Whole || changed == st.Record {
		return err
	}
	return s.Rewrite(ctx, changed)
}
