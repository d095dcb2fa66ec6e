package sharetest

import (
	"fmt"
	"io/fs"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func (s *suite) expand() {
	a := s.filled("a", parameters{volume.ParamSubDir: "ns/a", volume.ParamOnDelete: "retain"})
	for _, tt := range []struct{ required, limit, want int64 }{{2 << 20, 0, 2 << 20}, {2 << 20, 0, 2 << 20}, {1, 0, 2 << 20}, {3 << 20, 3 << 20, 3 << 20}, {0, 0, 3 << 20}} {
		v, err := s.Expand(s.ctx, a.ID, tt.required, tt.limit, nil)
		s.must(err)
		a.CapacityBytes = tt.want
		if v != a {
			s.Errorf("expanded to %d it is %+v, want %+v", tt.required, v, a)
		}
		s.holds(a)
	}
	_, err := s.Expand(s.ctx, a.ID, 1, 2<<20, nil)
	s.wants(err, volume.ErrRange, fmt.Sprint(3<<20))
	_, err = s.Expand(s.ctx, a.ID, 2, 1, nil)
	s.wants(err, volume.ErrInvalid)
	if got, err := s.Get(s.ctx, a.ID); err != nil || got != a {
		s.Errorf("got %+v, %v, want %+v", got, err, a)
	}
	s.content("ns/a/file", "a")
	_, err = s.Expand(s.ctx, volume.ID{Location: here, Dir: "none"}, 1, 0, nil)
	s.wants(err, volume.ErrNotFound)
	_, err = s.Expand(s.ctx, volume.ID{Location: here, Dir: "ns/a", UUID: "other"}, 1, 0, nil)
	s.wants(err, volume.ErrNotFound)
	s.holds(a)

	s.mkdir("old") // of a predecessor
	old := volume.Volume{ID: volume.ID{Location: here, Dir: "old", UUID: "pvc-1", Policy: volume.Delete}, CapacityBytes: 5 << 20}
	if v, err := s.Expand(s.ctx, old.ID, 5<<20, 0, nil); err != nil || v != old {
		s.Errorf("expanded %+v, %v, want %+v", v, err, old)
	}
	s.holds(a)
	s.drop(a.ID)
	s.holds()
}

func (s *suite) modify() {
	a := s.filled("a", nil)
	mode, kept := fs.FileMode(0o750), 48*time.Hour
	owned, ok := s.info("a").Sys().(interface{ Owner() (uid, gid uint32) })
	if !ok {
		s.Fatal("Sys has no Owner")
	}
	uid, gid := owned.Owner()
	for range 2 {
		s.must(s.Modify(s.ctx, a.ID, volume.Changes{Policy: volume.Archive, ArchiveRetention: &kept, Mode: &mode, UID: int(uid), GID: int(gid)}, nil))
		s.mode("a", mode)
		s.holds(a) // its handle is what it was
	}
	s.must(s.Modify(s.ctx, a.ID, volume.Unchanged(), nil))
	if r := s.record("a"); r.Policy != volume.Archive || r.ArchiveRetention != kept || r.HandlePolicy != volume.Delete {
		s.Errorf("its record is %+v", r)
	}
	s.lists([]string{a.ID.String()})
	if again := s.make("a", nil); again != a {
		s.Errorf("made again: %+v, was %+v", again, a)
	}
	s.drop(a.ID)
	s.content("archived-a/file", "a")
	s.holds()

	s.wants(s.Modify(s.ctx, a.ID, volume.Unchanged(), nil), volume.ErrNotFound)
	s.mkdir("old")
	old := volume.ID{Location: here, Dir: "old", UUID: "pvc-1", Policy: volume.Delete}
	s.must(s.Modify(s.ctx, old, volume.Changes{Mode: &mode, UID: -1, GID: -1}, nil))
	s.mode("old", mode)
	s.wants(s.Modify(s.ctx, old, volume.Changes{Policy: volume.Retain, UID: -1, GID: -1}, nil), volume.ErrInvalid, "no record")
}

// record reads a volume's.
func (s *suite) record(key string) volume.Record {
	s.Helper()
	data, err := s.fs.ReadFile(s.ctx, volume.Reserved+"/volumes/"+key+".json", 1<<20)
	s.must(err)
	r, err := volume.ParseRecord(data)
	s.must(err)
	return r
}

// modifiedPolicyCounts: whatever the handle says, and however often the volume is deleted.
func (s *suite) modifiedPolicyCounts() {
	for _, first := range []volume.Policy{volume.Delete, volume.Archive, volume.Retain} {
		a := s.filled("a", parameters{volume.ParamOnDelete: string(first)})
		s.must(s.Modify(s.ctx, a.ID, volume.Changes{Policy: volume.Retain, UID: -1, GID: -1}, nil))
		for range 3 {
			s.drop(a.ID)
			s.start()
			s.content("a/file", "a")
			s.lists(nil)
		}
		_, err := s.Get(s.ctx, a.ID)
		if first != volume.Retain {
			s.wants(err, volume.ErrNotFound, "kept")
			s.wants(s.Modify(s.ctx, a.ID, volume.Unchanged(), nil), volume.ErrNotFound)
		}
		b := s.make("b", parameters{volume.ParamSubDir: "a", volume.ParamOnExisting: "adopt"})
		s.drop(a.ID)
		s.content("a/file", "a")
		s.drop(b.ID)
		again := s.make("a", nil) // the name can be had once more, and its record is a new one
		s.holds(again)
		s.drop(again.ID)
		s.must(s.fs.RemoveAll(s.ctx, "a", nil))
		if first == volume.Archive {
			s.must(s.fs.RemoveAll(s.ctx, "archived-a", nil))
		}
	}
	a := s.filled("a", parameters{volume.ParamOnDelete: "retain"})
	s.must(s.Modify(s.ctx, a.ID, volume.Changes{Policy: volume.Delete, UID: -1, GID: -1}, nil))
	s.drop(a.ID)
	s.root()
	s.holds()
}

// retainedName: the name of a volume whose directory was kept against its handle is free for another directory, and for no other's.
func (s *suite) retainedName() {
	a := s.filled("a", nil)
	s.must(s.Modify(s.ctx, a.ID, volume.Changes{Policy: volume.Retain, UID: -1, GID: -1}, nil))
	s.drop(a.ID)
	s.must(s.fs.Rename(s.ctx, "a", "mine"))
	s.must(s.fs.Mkdir(s.ctx, "stranger", 0o777, -1, -1))
	s.refuses("a", parameters{volume.ParamSubDir: "stranger"}, volume.ErrExists, "belongs to no volume")
	s.must(s.fs.Rename(s.ctx, "mine", "a"))
	s.refuses("a", nil, volume.ErrExists, "belongs to no volume")
	s.drop(a.ID) // which is still kept
	s.content("a/file", "a")
	other := s.make("a", parameters{volume.ParamSubDir: "other"})
	s.holds(other)
	s.root("a", "other", "stranger")
}

// strictCapacity: a volume that the export has no room for is refused where the class says so.
func (s *suite) strictCapacity() {
	space, err := s.Manager.Space(s.ctx, here, nil)
	s.must(err)
	strict := parameters{volume.ParamCapacityCheck: "strict"}
	huge := s.request("huge", strict)
	huge.RequiredBytes = int64(space.Total) + 1
	_, err = s.Create(s.ctx, huge)
	s.wants(err, volume.ErrNoSpace, "strict", here.String())
	s.refuses("reserved", parameters{volume.ParamCapacityCheck: "strict", volume.ParamCapacityReserve: "100%"}, volume.ErrNoSpace, "100%")
	a := s.make("a", strict)
	clone := s.cloned("b", a, parameters{volume.ParamCapacityCheck: "strict", volume.ParamCapacityReserve: "100%"})
	_, err = s.Create(s.ctx, clone)
	s.wants(err, volume.ErrNoSpace)
	s.holds(a)
	s.root("a")
	huge = s.request("huge", nil) // nobody holds a volume to its size
	huge.RequiredBytes = int64(space.Total) + 1
	h := s.create(huge)
	s.must(s.fs.Remove(s.ctx, "a"))
	if again := s.make("a", strict); again != a { // what is there already is not counted twice
		s.Errorf("made again: %+v, was %+v", again, a)
	}
	s.holds(a, h)
}
