package drivertest

import (
	"context"
	"errors"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// TestSources judges how an implementation of [driver.Store] fills new volumes. What is in them is for the tests of the
// implementation: a store shows no files.
func TestSources(t *testing.T, store driver.Store, l volume.Location) {
	s := newStoreSuite(store, l)
	for kind, source := range map[string]func(*testing.T, string) volume.Source{"volume": s.volumeSource, "snapshot": s.snapshotSource} {
		t.Run(kind, func(t *testing.T) {
			t.Run("create is repeatable", func(t *testing.T) { s.fillTwice(t, source(t, "twice-"+kind)) })
			t.Run("size", func(t *testing.T) { s.fillSize(t, source(t, "size-"+kind)) })
			t.Run("create refuses another source", func(t *testing.T) {
				s.otherSource(t, source(t, "source-"+kind), source(t, "other-"+kind))
			})
			t.Run("create refuses a source elsewhere", func(t *testing.T) { s.elsewhere(t, source(t, "elsewhere-"+kind)) })
			t.Run("delete of both", func(t *testing.T) { s.deleteBoth(t, source(t, "both-"+kind)) })
		})
	}
	t.Run("absent", s.fillAbsent)
}

// sourceSize is how large the sources are, in bytes.
const sourceSize = 1 << 20

func (s storeSuite) volumeSource(t *testing.T, name string) volume.Source {
	id := s.create(t, s.request(t, "suite-"+name, "", sourceSize)).ID
	return volume.Source{Volume: &id}
}

func (s storeSuite) snapshotSource(t *testing.T, name string) volume.Source {
	v := s.volumeSource(t, name)
	id := s.snapshot(t, "suite-"+name, *v.Volume).ID
	return volume.Source{Snapshot: &id}
}

func (s storeSuite) fill(t *testing.T, from volume.Source, size, limit int64) volume.Request {
	t.Helper()
	r := s.request(t, "suite-filled", "", size)
	r.Source, r.LimitBytes = &from, limit
	return r
}

func (s storeSuite) fillTwice(t *testing.T, from volume.Source) {
	r := s.fill(t, from, 2*sourceSize, 0)
	first, second := s.create(t, r), s.create(t, r)
	if want, err := r.ID(); err != nil || first.ID != want || first.ID != second.ID || first.CapacityBytes != 2*sourceSize || second.CapacityBytes != first.CapacityBytes {
		t.Errorf("created %+v, then %+v, want the ID %q, %v", first, second, want, err)
	}
	if v, err := s.Get(timeout(t), first.ID); err != nil || v.CapacityBytes != first.CapacityBytes {
		t.Errorf("Get: %+v, %v", v, err)
	}
}

func (s storeSuite) fillSize(t *testing.T, from volume.Source) {
	if _, err := s.Create(timeout(t), s.fill(t, from, 1, sourceSize-1)); !errors.Is(err, volume.ErrRange) {
		t.Errorf("creating with a limit below the source's size: %v, want ErrRange", err)
	}
	if v := s.create(t, s.fill(t, from, 0, 0)); v.CapacityBytes != sourceSize {
		t.Errorf("creating without a size: %+v, want that of the source, %d", v, sourceSize)
	}
}

func (s storeSuite) otherSource(t *testing.T, from, other volume.Source) {
	r := s.fill(t, from, sourceSize, 0)
	s.create(t, r)
	for _, source := range []*volume.Source{nil, &other} {
		r.Source = source
		if _, err := s.Create(timeout(t), r); !errors.Is(err, volume.ErrExists) {
			t.Errorf("creating it from %+v: %v, want ErrExists", source, err)
		}
	}
	r = s.request(t, "suite-empty", "", sourceSize)
	s.create(t, r)
	r.Source = &from
	if _, err := s.Create(timeout(t), r); !errors.Is(err, volume.ErrExists) {
		t.Errorf("filling an empty volume: %v, want ErrExists", err)
	}
}

func (s storeSuite) elsewhere(t *testing.T, from volume.Source) {
	share := s.location.Path("elsewhere")
	if from.Volume != nil {
		id := *from.Volume
		id.Share, from.Volume = share, &id
	} else {
		id := *from.Snapshot
		id.Share, from.Snapshot = share, &id
	}
	if _, err := s.Create(timeout(t), s.fill(t, from, sourceSize, 0)); !errors.Is(err, volume.ErrInvalid) {
		t.Errorf("creating from another share: %v, want ErrInvalid", err)
	}
}

// deleteBoth: a copy and its source have nothing to do with each other any more, also for a repeated creation.
func (s storeSuite) deleteBoth(t *testing.T, from volume.Source) {
	r := s.fill(t, from, sourceSize, 0)
	made := s.create(t, r)
	remove := func(ctx context.Context) error {
		if from.Volume != nil {
			return s.Delete(ctx, *from.Volume, nil)
		}
		return s.DeleteSnapshot(ctx, *from.Snapshot, nil)
	}
	if err := remove(timeout(t)); err != nil {
		t.Fatal(err)
	}
	if again := s.create(t, r); again.ID != made.ID {
		t.Errorf("creating it again without its source: %+v, want %+v", again, made)
	}
	if err := s.Delete(timeout(t), made.ID, nil); err != nil {
		t.Error(err)
	}
	if _, err := s.Create(timeout(t), r); !errors.Is(err, volume.ErrNotFound) {
		t.Errorf("creating it anew from nothing: %v, want ErrNotFound", err)
	}
}

func (s storeSuite) fillAbsent(t *testing.T) {
	id, snapshot := s.absent(), s.absentSnapshot()
	for _, from := range []volume.Source{{Volume: &id}, {Snapshot: &snapshot}} {
		r := s.fill(t, from, sourceSize, 0)
		if _, err := s.Create(timeout(t), r); !errors.Is(err, volume.ErrNotFound) {
			t.Errorf("creating from what is not there: %v, want ErrNotFound", err)
		}
		id, err := r.ID()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(timeout(t), id); !errors.Is(err, volume.ErrNotFound) {
			t.Errorf("Get after that: %v, want ErrNotFound", err)
		}
	}
}
