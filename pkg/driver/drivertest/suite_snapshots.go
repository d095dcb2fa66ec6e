package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// TestSnapshots judges an implementation of [driver.Snapshots].
func TestSnapshots(t *testing.T, store driver.Store, l volume.Location) {
	s := newStoreSuite(store, l)
	t.Run("create is repeatable", s.snapshotTwice)
	t.Run("create at once", s.snapshotAtOnce)
	t.Run("create refuses another volume", s.otherVolume)
	t.Run("create of what is not there", s.snapshotAbsent)
	t.Run("delete", s.deleteSnapshot)
	t.Run("snapshots survive their volume", s.survive)
	t.Run("list in pages", s.listSnapshots)
	t.Run("list by ID and by volume", s.filterSnapshots)
	t.Run("ended context", s.snapshotTooLate)
}

// snapshot makes a snapshot that is deleted when the test ends.
func (s storeSuite) snapshot(t *testing.T, name string, of volume.ID) volume.Snapshot {
	t.Helper()
	made, err := s.CreateSnapshot(timeout(t), volume.SnapshotRequest{Name: name, Source: of})
	if err != nil {
		t.Fatalf("CreateSnapshot(%q): %v", name, err)
	}
	cleanup(t, func(ctx context.Context) error { return s.DeleteSnapshot(ctx, made.ID, nil) })
	return made
}

func (s storeSuite) snapshotTwice(t *testing.T) {
	v := s.create(t, s.request(t, "suite-snapshot-twice", "", 1<<20))
	first, second := s.snapshot(t, "snapshot-twice", v.ID), s.snapshot(t, "snapshot-twice", v.ID)
	if first.ID != second.ID || first.SizeBytes != second.SizeBytes || !first.Created.Equal(second.Created) {
		t.Errorf("made %+v, then %+v", first, second)
	}
	if first.ID.Location != s.location || first.Source != v.ID.String() || first.Created.IsZero() || first.SizeBytes < 0 {
		t.Errorf("made %+v", first)
	}
	if id, err := volume.ParseSnapshotID(first.ID.String()); err != nil || id != first.ID {
		t.Errorf("the handle %q is read as %+v, %v", first.ID, id, err)
	}
}

func (s storeSuite) snapshotAtOnce(t *testing.T) {
	v := s.create(t, s.request(t, "suite-snapshot-at-once", "", 1<<20))
	atOnce(t, 8, func(ctx context.Context) error {
		_, err := s.CreateSnapshot(ctx, volume.SnapshotRequest{Name: "snapshot-at-once", Source: v.ID})
		return err
	})
	made := s.snapshot(t, "snapshot-at-once", v.ID)
	if ids := s.snapshots(t, volume.SnapshotFilter{Source: &v.ID}, 0); !slices.Equal(ids, []volume.SnapshotID{made.ID}) {
		t.Errorf("eight CreateSnapshots made %v", ids)
	}
}

func (s storeSuite) otherVolume(t *testing.T) {
	one, two := s.create(t, s.request(t, "suite-one", "", 1)), s.create(t, s.request(t, "suite-two", "", 1))
	s.snapshot(t, "snapshot-of-one", one.ID)
	if _, err := s.CreateSnapshot(timeout(t), volume.SnapshotRequest{Name: "snapshot-of-one", Source: two.ID}); !errors.Is(err, volume.ErrExists) {
		t.Errorf("creating it of another volume: %v, want ErrExists", err)
	}
}

func (s storeSuite) snapshotAbsent(t *testing.T) {
	if _, err := s.CreateSnapshot(timeout(t), volume.SnapshotRequest{Name: "snapshot-of-nothing", Source: s.absent()}); !errors.Is(err, volume.ErrNotFound) {
		t.Errorf("creating one of an absent volume: %v, want ErrNotFound", err)
	}
	id := s.absentSnapshot()
	if ids := s.snapshots(t, volume.SnapshotFilter{ID: &id}, 0); len(ids) > 0 {
		t.Errorf("List shows %v", ids)
	}
	if err := s.DeleteSnapshot(timeout(t), id, nil); err != nil {
		t.Errorf("deleting one that is absent: %v", err)
	}
}

func (s storeSuite) absentSnapshot() volume.SnapshotID {
	return volume.SnapshotID{Location: s.location, Name: "suite-absent", Source: "suite-absent"}
}

func (s storeSuite) deleteSnapshot(t *testing.T) {
	v := s.create(t, s.request(t, "suite-snapshot-delete", "", 1))
	made := s.snapshot(t, "snapshot-delete", v.ID)
	for range 2 {
		if err := s.DeleteSnapshot(timeout(t), made.ID, nil); err != nil {
			t.Errorf("DeleteSnapshot: %v", err)
		}
	}
	for _, f := range []volume.SnapshotFilter{{}, {ID: &made.ID}, {Source: &v.ID}} {
		if n := count(s.snapshots(t, f, 0), made.ID); n != 0 {
			t.Errorf("List shows the deleted snapshot %d times", n)
		}
	}
	if _, err := s.Get(timeout(t), v.ID); err != nil {
		t.Errorf("the volume of a deleted snapshot: %v", err)
	}
}

func (s storeSuite) survive(t *testing.T) {
	v := s.create(t, s.request(t, "suite-survivor", "", 1<<20))
	made := s.snapshot(t, "snapshot-survivor", v.ID)
	if err := s.Delete(timeout(t), v.ID, nil); err != nil {
		t.Fatal(err)
	}
	for _, f := range []volume.SnapshotFilter{{}, {ID: &made.ID}, {Source: &v.ID}} {
		if n := count(s.snapshots(t, f, 0), made.ID); n != 1 {
			t.Errorf("List shows the snapshot of a deleted volume %d times", n)
		}
	}
	r := s.request(t, "suite-revived", "", 1<<20)
	r.Source = &volume.Source{Snapshot: &made.ID}
	s.create(t, r)
}

func (s storeSuite) listSnapshots(t *testing.T) {
	v := s.create(t, s.request(t, "suite-snapshots-list", "", 1))
	var made []volume.SnapshotID
	for i := range 5 {
		made = append(made, s.snapshot(t, fmt.Sprintf("snapshot-list-%d", i), v.ID).ID)
	}
	all := volume.SnapshotFilter{}
	judgePages(t, made, func(t *testing.T, size int) []volume.SnapshotID { return s.snapshots(t, all, size) })
	if paged := s.snapshots(t, volume.SnapshotFilter{Source: &v.ID}, 2); len(paged) != len(made) {
		t.Errorf("List of one volume by 2: %v, want %v", paged, made)
	}
	if _, _, err := s.ListSnapshots(timeout(t), all, "no-token", 0); !errors.Is(err, volume.ErrToken) {
		t.Errorf("List from a token that is none: %v, want ErrToken", err)
	}
}

func (s storeSuite) filterSnapshots(t *testing.T) {
	one, two := s.create(t, s.request(t, "suite-filter-one", "", 1)), s.create(t, s.request(t, "suite-filter-two", "", 1))
	first, second, other := s.snapshot(t, "filter-1", one.ID), s.snapshot(t, "filter-2", one.ID), s.snapshot(t, "filter-3", two.ID)
	absent, absentSnapshot := s.absent(), s.absentSnapshot()
	for name, tt := range map[string]struct {
		filter volume.SnapshotFilter
		want   int
	}{
		"by ID":            {volume.SnapshotFilter{ID: &second.ID}, 1},
		"by volume":        {volume.SnapshotFilter{Source: &one.ID}, 2},
		"by both":          {volume.SnapshotFilter{ID: &first.ID, Source: &one.ID}, 1},
		"contradiction":    {volume.SnapshotFilter{ID: &other.ID, Source: &one.ID}, 0},
		"absent":           {volume.SnapshotFilter{ID: &absentSnapshot}, 0},
		"of absent volume": {volume.SnapshotFilter{Source: &absent}, 0},
	} {
		ids := s.snapshots(t, tt.filter, 0)
		if len(ids) != tt.want || tt.filter.ID != nil && tt.want == 1 && ids[0] != *tt.filter.ID {
			t.Errorf("%s: %v, want %d", name, ids, tt.want)
		}
	}
}

func (s storeSuite) snapshotTooLate(t *testing.T) {
	v := s.create(t, s.request(t, "suite-snapshot-late", "", 1))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.CreateSnapshot(ctx, volume.SnapshotRequest{Name: "snapshot-late", Source: v.ID}); err == nil {
		t.Error("CreateSnapshot with an ended context: no error")
	}
	if err := s.DeleteSnapshot(timeout(t), volume.SnapshotRequest{Name: "snapshot-late", Source: v.ID}.ID(), nil); err != nil {
		t.Errorf("deleting what it may have left: %v", err)
	}
}

// snapshots lists all that f chooses, in pages of the given size.
func (s storeSuite) snapshots(t *testing.T, f volume.SnapshotFilter, size int) []volume.SnapshotID {
	t.Helper()
	return listed(t, size, func(token string) ([]volume.Snapshot, string, error) {
		return s.ListSnapshots(timeout(t), f, token, size)
	},
		func(s volume.Snapshot) volume.SnapshotID { return s.ID })
}
