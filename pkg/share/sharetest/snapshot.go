package sharetest

import (
	"fmt"
	"slices"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// freeze makes a snapshot of a volume.
func (s *suite) freeze(name string, of volume.Volume) volume.Snapshot {
	s.Helper()
	snapshot, err := s.CreateSnapshot(s.ctx, volume.SnapshotRequest{Name: name, Source: of.ID})
	s.must(err)
	return snapshot
}

// restore asks for a volume from a snapshot.
func (s *suite) restore(name string, from volume.Snapshot, p parameters) volume.Request {
	s.Helper()
	r := s.request(name, p)
	r.Source = &volume.Source{Snapshot: &from.ID}
	return r
}

// create makes the volume that r asks for.
func (s *suite) create(r volume.Request) volume.Volume {
	s.Helper()
	v, err := s.Create(s.ctx, r)
	s.must(err)
	return v
}

// keeps checks that the share holds exactly these volumes and snapshots and nothing that was left behind.
func (s *suite) keeps(volumes []volume.Volume, snapshots ...volume.Snapshot) {
	s.Helper()
	if err := AuditAll(s.ctx, s.fs, volumes, snapshots); err != nil {
		s.Error(err)
	}
}

func (s *suite) snapshot() {
	a := s.filled("a", parameters{volume.ParamSubDir: "ns/a"})
	s.mkdir("ns/a/sub")
	s.symlink("../file", "ns/a/sub/link")
	x := s.freeze("x", a)
	want := volume.Snapshot{ID: volume.SnapshotID{Location: here, Name: "x", Source: "a"}, Source: a.ID.String(), SizeBytes: a.CapacityBytes, Created: now}
	if x != want {
		s.Errorf("made %+v, want %+v", x, want)
	}
	s.keeps([]volume.Volume{a}, x)

	// What happens to the volume does not reach the snapshot.
	s.must(s.fs.Remove(s.ctx, "ns/a/file"))
	s.write("ns/a/later", "later")
	if again := s.freeze("x", a); again != x {
		s.Errorf("second call answers %+v, first %+v", again, x)
	}
	b := s.create(s.restore("b", x, parameters{volume.ParamSubDir: "ns/b"}))
	s.content("ns/b/file", "a")
	if names := s.names("ns/b"); !slices.Equal(names, []string{"file", "sub"}) {
		s.Errorf("restored are %q", names)
	}
	if target, err := s.fs.Readlink(s.ctx, "ns/b/sub/link"); err != nil || target != "../file" {
		s.Errorf("the link holds %q, %v", target, err)
	}

	// Nor does what happens to the restored volume; and the snapshot outlives both.
	s.must(s.fs.Remove(s.ctx, "ns/b/file"))
	s.drop(a.ID)
	s.drop(b.ID)
	s.start()
	if again := s.freeze("x", a); again != x {
		s.Errorf("without its volume the snapshot is %+v, was %+v", again, x)
	}
	c := s.create(s.restore("c", x, nil))
	s.content("c/file", "a")
	s.keeps([]volume.Volume{c}, x)

	s.must(s.DeleteSnapshot(s.ctx, x.ID, nil))
	s.must(s.DeleteSnapshot(s.ctx, x.ID, nil))
	s.keeps([]volume.Volume{c})
	s.purged()
	s.content("c/file", "a")
	_, err := s.Create(s.ctx, s.restore("d", x, nil))
	s.wants(err, volume.ErrNotFound, `"x"`)
	s.keeps([]volume.Volume{c})
}

func (s *suite) snapshotRefuses() {
	a, b := s.filled("a", nil), s.filled("b", nil)
	x := s.freeze("x", a)
	_, err := s.CreateSnapshot(s.ctx, volume.SnapshotRequest{Name: "x", Source: b.ID})
	s.wants(err, volume.ErrExists, a.ID.String(), b.ID.String())
	for _, id := range []volume.ID{{Location: here, Dir: "none"}, {Location: here, Dir: "a", UUID: "other"}, {Location: here, Dir: "a/file"}} {
		_, err := s.CreateSnapshot(s.ctx, volume.SnapshotRequest{Name: "y", Source: id})
		s.wants(err, volume.ErrNotFound)
	}
	wrong := x.ID
	wrong.Source = "b"
	s.wants(s.DeleteSnapshot(s.ctx, wrong, nil), volume.ErrInvalid, "nothing is deleted")
	s.must(s.DeleteSnapshot(s.ctx, volume.SnapshotID{Location: here, Name: "none", Source: "a"}, nil))
	s.must(s.DeleteSnapshot(s.ctx, volume.SnapshotID{Location: here, Name: "a", Source: "file"}, nil)) // a volume's directory
	s.keeps([]volume.Volume{a, b}, x)
	s.content("a/file", "a")
	s.keepsNames()
}

// keepsNames: a snapshot whose name looks like another's record is neither that nor another's.
func (s *suite) keepsNames() {
	a := s.make("named", nil)
	all := map[volume.SnapshotID]bool{}
	for _, name := range []string{"n", "n.json", "n.json.json", ".json", "odd name/../#", "n%2Ejson"} {
		all[s.freeze(name, a).ID] = true
	}
	found, _, err := s.ListSnapshots(s.ctx, volume.SnapshotFilter{Source: &a.ID}, "", 0)
	s.must(err)
	if len(found) != len(all) || len(all) != 6 {
		s.Errorf("of %d snapshots %d are listed", len(all), len(found))
	}
	for id := range all {
		s.must(s.DeleteSnapshot(s.ctx, id, nil))
		delete(all, id)
		found, _, err := s.ListSnapshots(s.ctx, volume.SnapshotFilter{Source: &a.ID}, "", 0)
		s.must(err)
		if len(found) != len(all) {
			s.Errorf("without %q %d are listed, want %d", id.Name, len(found), len(all))
		}
	}
}

// snapshotOfOthers: volumes without a record, and what somebody put where snapshots are.
func (s *suite) snapshotOfOthers() {
	s.mkdir("old")
	s.write("old/file", "old")
	old := volume.Volume{ID: volume.ID{Location: here, Dir: "old", UUID: "pvc-1", Policy: volume.Delete}}
	x := s.freeze("x", old)
	if x.SizeBytes != 0 || x.ID.Source != "pvc-1" {
		s.Errorf("made %+v", x)
	}
	v := s.create(s.restore("v", x, nil))
	s.content("v/file", "old")
	s.keeps([]volume.Volume{v}, x)

	// A handle that no record confirms gives nobody what is in other volumes.
	nested := s.make("nested", parameters{volume.ParamSubDir: "ns/nested"})
	s.mkdir("ns/nested/below")
	s.mkdir("share/" + volume.Reserved)
	for dir, kind := range map[volume.Dir]error{"ns": volume.ErrInvalid, "ns/nested/below": volume.ErrInvalid, "share": volume.ErrExists} {
		source := volume.ID{Location: here, Dir: dir, UUID: "pvc-2", Policy: volume.Delete}
		_, err := s.CreateSnapshot(s.ctx, volume.SnapshotRequest{Name: "y", Source: source})
		s.wants(err, kind)
		_, err = s.Create(s.ctx, s.cloned("y", volume.Volume{ID: source}, nil))
		s.wants(err, kind)
	}
	s.drop(nested.ID)

	snapshots := volume.Reserved + "/snapshots/"
	s.write(snapshots+"torn.json", "{")
	torn := s.freeze("torn", old)
	copied, err := s.fs.ReadFile(s.ctx, snapshots+"x.json", 1<<20)
	s.must(err)
	s.write(snapshots+"copied.json", string(copied))
	s.mkdir(snapshots + "copied")
	s.mkdir(snapshots + "alone")
	for _, name := range []string{"copied", "alone"} {
		_, err = s.CreateSnapshot(s.ctx, volume.SnapshotRequest{Name: name, Source: old.ID})
		s.wants(err, volume.ErrExists, snapshots+name, "remove it")
		s.must(s.DeleteSnapshot(s.ctx, volume.SnapshotID{Location: here, Name: name, Source: "pvc-1"}, nil))
	}
	s.symlink("../../old", snapshots+"link")
	s.write(snapshots+"link.json", string(copied))
	s.wants(s.DeleteSnapshot(s.ctx, volume.SnapshotID{Location: here, Name: "link", Source: "pvc-1"}, nil), volume.ErrInvalid, "a symbolic link")
	s.must(s.fs.Remove(s.ctx, snapshots+"link"))
	s.must(s.fs.Remove(s.ctx, snapshots+"link.json"))
	s.keeps([]volume.Volume{v}, torn, x)
	s.content("old/file", "old")
}

func (s *suite) listSnapshots() {
	s.shares[there] = s.open(s.T)
	a, b := s.make("a", nil), s.make("b", nil)
	r := s.request("c", parameters{volume.ParamShare: there.Share})
	c := s.create(r)
	var all, ofA []string
	for i := range 7 {
		of := []volume.Volume{a, b, c}[i%3]
		id := s.freeze(fmt.Sprint("x", i), of).ID.String()
		all = append(all, id)
		if i%3 == 0 {
			ofA = append(ofA, id)
		}
	}
	slices.Sort(all)
	s.listsSnapshots(volume.SnapshotFilter{}, all)
	s.listsSnapshots(volume.SnapshotFilter{Source: &a.ID}, ofA)
	s.drop(a.ID)
	s.listsSnapshots(volume.SnapshotFilter{Source: &a.ID}, ofA)
	s.listsSnapshots(volume.SnapshotFilter{Source: &volume.ID{Location: here, Dir: "none"}}, nil)
	x, err := volume.ParseSnapshotID(ofA[0])
	s.must(err)
	s.listsSnapshots(volume.SnapshotFilter{ID: &x}, ofA[:1])
	s.listsSnapshots(volume.SnapshotFilter{ID: &x, Source: &b.ID}, nil)
	x.Source = "b"
	s.listsSnapshots(volume.SnapshotFilter{ID: &x}, nil)
	x.Name = "none"
	s.listsSnapshots(volume.SnapshotFilter{ID: &x}, nil)
	_, _, err = s.ListSnapshots(s.ctx, volume.SnapshotFilter{}, "x", 1)
	s.wants(err, volume.ErrToken)

	// Neither half of one is a snapshot.
	s.must(s.fs.Remove(s.ctx, volume.Reserved+"/snapshots/x0.json"))
	s.must(s.fs.RemoveAll(s.ctx, volume.Reserved+"/snapshots/x3", nil))
	s.listsSnapshots(volume.SnapshotFilter{Source: &a.ID}, ofA[2:])
}

// listsSnapshots reads all pages of some sizes.
func (s *suite) listsSnapshots(f volume.SnapshotFilter, want []string) {
	s.Helper()
	for _, size := range []int{0, 1, 2, len(want)} {
		var got []string
		for token := ""; ; {
			found, next, err := s.ListSnapshots(s.ctx, f, token, size)
			s.must(err)
			for _, x := range found {
				got = append(got, x.ID.String())
			}
			if token = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			s.Errorf("pages of %d: %q, want %q", size, got, want)
		}
	}
}

// oldSnapshots are those of csi-driver-nfs.
func (s *suite) oldSnapshots() {
	id := func(name, source string) volume.SnapshotID {
		return volume.SnapshotID{Location: here, Name: name, Source: source}
	}
	s.mkdir("snapshot-1")
	s.write("snapshot-1/pvc-1.tar.gz", "packed")
	s.mkdir("snapshot-2/ns")
	s.write("snapshot-2/ns/pvc-2.tar", "plain")
	for _, x := range []volume.SnapshotID{id("snapshot-1", "pvc-1"), id("snapshot-2", "ns/pvc-2")} {
		s.listsSnapshots(volume.SnapshotFilter{ID: &x}, []string{x.String()})
		s.must(s.DeleteSnapshot(s.ctx, x, nil))
		s.must(s.DeleteSnapshot(s.ctx, x, nil))
		s.listsSnapshots(volume.SnapshotFilter{ID: &x}, nil)
	}
	s.root()

	// What does not look exactly like one is left alone.
	v := s.make("v", nil)
	s.write("v/pvc-1.tar.gz", "kept")
	s.mkdir("mixed")
	s.write("mixed/pvc-1.tar.gz", "kept")
	s.write("mixed/other", "kept")
	s.mkdir("empty")
	s.write("file", "kept")
	s.symlink("mixed", "link")
	s.mkdir("dir/pvc-1.tar")
	s.wants(s.DeleteSnapshot(s.ctx, id("mixed", "pvc-1"), nil), volume.ErrInvalid, "nothing is deleted")
	for _, name := range []string{"v", "empty", "file", "link", "dir"} {
		s.must(s.DeleteSnapshot(s.ctx, id(name, "pvc-1"), nil))
	}
	s.root("dir", "empty", "file", "link", "mixed", "v")
	s.content("mixed/pvc-1.tar.gz", "kept")
	s.content("v/pvc-1.tar.gz", "kept")
	s.holds(v)
}
