package drivertest

import (
	"errors"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// TestStore judges an implementation of [driver.Store] by the contracts in its comments, as [TestVolumes] does.
func TestStore(t *testing.T, s driver.Store, l volume.Location) {
	t.Run("volumes", func(t *testing.T) { TestVolumes(t, s, l) })
	t.Run("changes", func(t *testing.T) { TestChanges(t, s, l) })
	t.Run("snapshots", func(t *testing.T) { TestSnapshots(t, s, l) })
	t.Run("sources", func(t *testing.T) { TestSources(t, s, l) })
}

// storeSuite tests the parts of a store that need volumes.
type storeSuite struct {
	volumesSuite
	driver.Changes
	driver.Snapshots
}

func newStoreSuite(s driver.Store, l volume.Location) storeSuite {
	return storeSuite{volumesSuite{s, l}, s, s}
}

// absent is the handle of a volume that is not there.
func (s storeSuite) absent() volume.ID {
	return volume.ID{Location: s.location, Dir: "suite-absent", Policy: volume.Delete}
}

// TestChanges judges an implementation of [driver.Changes].
func TestChanges(t *testing.T, store driver.Store, l volume.Location) {
	s := newStoreSuite(store, l)
	t.Run("expand", s.expand)
	t.Run("expand keeps to the limit", s.expandLimit)
	t.Run("modify", s.modify)
	t.Run("changes of what is not there", s.changeAbsent)
}

func (s storeSuite) expand(t *testing.T) {
	r := s.request(t, "suite-expand", "", 1<<20)
	made := s.create(t, r)
	for _, step := range []struct{ ask, want int64 }{{1 << 21, 1 << 21}, {1 << 21, 1 << 21}, {1 << 10, 1 << 21}, {1<<21 + 1, 1<<21 + 1}} {
		v, err := s.Expand(timeout(t), made.ID, step.ask, 0, nil)
		if err != nil || v.ID != made.ID || v.CapacityBytes != step.want {
			t.Errorf("Expand(%d): %+v, %v, want %d", step.ask, v, err, step.want)
		}
	}
	if v, err := s.Get(timeout(t), made.ID); err != nil || v.CapacityBytes != 1<<21+1 {
		t.Errorf("Get after Expand: %+v, %v", v, err)
	}
	if again := s.create(t, r); again.ID != made.ID || again.CapacityBytes != 1<<21+1 {
		t.Errorf("creating it again answers %+v", again)
	}
}

func (s storeSuite) expandLimit(t *testing.T) {
	made := s.create(t, s.request(t, "suite-limit", "", 1<<20))
	if v, err := s.Expand(timeout(t), made.ID, 1<<19, 1<<19, nil); !errors.Is(err, volume.ErrRange) {
		t.Errorf("Expand with a limit below the size: %+v, %v, want ErrRange", v, err)
	}
	if v, err := s.Expand(timeout(t), made.ID, 0, 1<<30, nil); err != nil || v.CapacityBytes != 1<<20 {
		t.Errorf("Expand with a limit only: %+v, %v", v, err)
	}
	if v, err := s.Expand(timeout(t), made.ID, 1<<30, 1<<30, nil); err != nil || v.CapacityBytes != 1<<30 {
		t.Errorf("Expand up to the limit: %+v, %v", v, err)
	}
}

func (s storeSuite) modify(t *testing.T) {
	r := s.request(t, "suite-modify", "", 1<<20)
	made := s.create(t, r)
	for _, parameters := range []map[string]string{
		{volume.ParamOnDelete: "retain", volume.ParamArchiveRetention: "720h"}, {volume.ParamMountPermissions: "0750"}, {}, {volume.ParamOnDelete: "delete"},
	} {
		c, err := volume.ParseChanges(parameters)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Modify(timeout(t), made.ID, c, nil); err != nil {
				t.Errorf("Modify(%v): %v", parameters, err)
			}
		}
		if v, err := s.Get(timeout(t), made.ID); err != nil || v.ID != made.ID || v.CapacityBytes != made.CapacityBytes {
			t.Errorf("Get after Modify(%v): %+v, %v", parameters, v, err)
		}
		if again := s.create(t, r); again.ID != made.ID {
			t.Errorf("creating it again after Modify(%v) answers %+v", parameters, again)
		}
	}
}

func (s storeSuite) changeAbsent(t *testing.T) {
	if v, err := s.Expand(timeout(t), s.absent(), 1<<20, 0, nil); !errors.Is(err, volume.ErrNotFound) {
		t.Errorf("Expand: %+v, %v, want ErrNotFound", v, err)
	}
	if err := s.Modify(timeout(t), s.absent(), volume.Unchanged(), nil); !errors.Is(err, volume.ErrNotFound) {
		t.Errorf("Modify: %v, want ErrNotFound", err)
	}
}
