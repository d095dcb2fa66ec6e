package drivertest

import (
	"context"
	"fmt"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// CreateSnapshot is that of driver.Snapshots.
func (s *Store) CreateSnapshot(ctx context.Context, r volume.SnapshotRequest) (volume.Snapshot, error) {
	unlock, err := s.begin(ctx, r)
	if err != nil {
		return volume.Snapshot{}, err
	}
	defer unlock()
	id := r.ID()
	if old, ok := s.snapshots[id.Name]; ok {
		if old.Source != r.Source.String() {
			return volume.Snapshot{}, fmt.Errorf("snapshot %q: %w", id.Name, volume.ErrExists)
		}
		return old, nil
	}
	v, ok := s.find(r.Source)
	if !ok {
		return volume.Snapshot{}, fmt.Errorf("volume %q: %w", r.Source.Name(), volume.ErrNotFound)
	}
	made := volume.Snapshot{ID: id, Source: r.Source.String(), SizeBytes: v.CapacityBytes, Created: time.Now()}
	s.snapshots[id.Name] = made
	return made, nil
}

// DeleteSnapshot is that of driver.Snapshots.
func (s *Store) DeleteSnapshot(ctx context.Context, id volume.SnapshotID, mountOptions []string) error {
	unlock, err := s.begin(ctx, SnapshotDeletion{id, mountOptions})
	if err != nil {
		return err
	}
	defer unlock()
	if s.snapshots[id.Name].ID == id {
		delete(s.snapshots, id.Name)
	}
	return nil
}

// ListSnapshots is that of driver.Snapshots.
func (s *Store) ListSnapshots(ctx context.Context, f volume.SnapshotFilter, token string, limit int) ([]volume.Snapshot, string, error) {
	unlock, err := s.begin(ctx, f)
	if err != nil {
		return nil, "", err
	}
	defer unlock()
	var all []volume.Snapshot
	for _, snapshot := range s.snapshots {
		if (f.ID == nil || snapshot.ID == *f.ID) && (f.Source == nil || snapshot.Source == f.Source.String()) {
			all = append(all, snapshot)
		}
	}
	return page(all, func(s volume.Snapshot) string { return s.ID.Name }, token, limit)
}

// PutSnapshot adds one that csi-driver-nfs made: nothing but its ID is known of it.
func (s *Store) PutSnapshot(id volume.SnapshotID) error {
	unlock, err := s.begin(context.Background(), nil)
	if err != nil {
		return err
	}
	defer unlock()
	s.snapshots[id.Name] = volume.Snapshot{ID: id}
	return nil
}
