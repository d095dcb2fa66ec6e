package sharetest

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// filled makes a volume with something in it.
func (s *suite) filled(name string, p parameters) volume.Volume {
	s.Helper()
	v := s.make(name, p)
	s.write(path.Join(string(v.ID.Dir), "file"), name)
	return v
}

func (s *suite) delete() {
	a, b := s.filled("a", nil), s.filled("b", parameters{volume.ParamSubDir: "ns/b"})
	s.mkdir("a/sub/sub")
	s.mkdir("outside")
	s.write("outside/file", "kept")
	s.symlink("../outside", "a/sub/link")
	s.drop(a.ID)
	s.root("ns", "outside")
	s.holds(b)
	s.drop(a.ID)
	s.drop(b.ID)
	s.drop(volume.ID{Location: here, Dir: "never", Policy: volume.Delete})
	s.drop(volume.ID{Location: here, Dir: "never/below", UUID: "x", Policy: volume.Delete})
	s.holds()
	s.purged()
	s.root("outside")
	s.content("outside/file", "kept")
	s.filled("a", nil) // the name is free
}

// parents: what is made above volumes and archives goes with the last of them, and nothing else does.
func (s *suite) parents() {
	s.mkdir("old")
	below := func(name, dir, policy string) volume.Volume {
		return s.filled(name, parameters{volume.ParamSubDir: dir, volume.ParamOnDelete: policy})
	}
	a, b, c := below("a", "ns/team/a", "delete"), below("b", "ns/team/b", "archive"), below("c", "ns/c", "delete")
	d, e := below("d", "old/d", "delete"), below("e", "kept/e", "retain")
	s.drop(a.ID)
	s.drop(d.ID)
	s.drop(e.ID)
	s.holds(b, c)
	if got := s.names("ns"); !slices.Equal(got, []string{"c", "team"}) {
		s.Errorf("ns holds %q", got)
	}
	s.drop(b.ID)
	if got := s.names("ns"); !slices.Equal(got, []string{"c"}) {
		s.Errorf("ns holds %q", got)
	}
	s.drop(c.ID)
	s.holds()
	s.root("archived-ns", "kept", "old")

	s.mkdir("ns") // somebody makes one himself now
	c = below("c", "ns/c", "delete")
	s.drop(c.ID)
	s.root("archived-ns", "kept", "ns", "old")
	s.must(s.fs.Remove(s.ctx, "ns"))

	c = below("c", "ns/c", "delete") // somebody puts something there
	s.write("ns/file", "kept")
	s.drop(c.ID)
	s.content("ns/file", "kept")
	s.must(s.fs.Remove(s.ctx, "ns/file"))
	c = below("c", "ns/c", "delete") // and takes it away
	s.drop(c.ID)
	s.root("archived-ns", "kept", "old")

	c = below("c", "ns/c", "delete") // a volume without a record leaves what is above it
	s.mkdir("ns/legacy")
	s.drop(c.ID)
	s.drop(volume.ID{Location: here, Dir: "ns/legacy", UUID: "pvc-1", Policy: volume.Delete})
	s.root("archived-ns", "kept", "ns", "old")
	mine := s.make("mine", parameters{volume.ParamSubDir: "ns", volume.ParamOnExisting: "adopt", volume.ParamOnDelete: "retain"})
	s.drop(mine.ID) // and who adopts it keeps it
	c = below("c", "ns/c", "delete")
	s.drop(c.ID)
	s.holds()
	s.root("archived-ns", "kept", "ns", "old")
}

func (s *suite) deleteRetain() {
	a := s.filled("a", parameters{volume.ParamOnDelete: "retain"})
	s.drop(a.ID)
	s.holds()
	s.drop(a.ID)
	s.content("a/file", "a")
	s.root("a")
	s.refuses("a", nil, volume.ErrExists, "belongs to no volume")
	v := s.make("a", parameters{volume.ParamOnExisting: "adopt"})
	s.holds(v)
}

func (s *suite) deleteArchive() {
	p := parameters{volume.ParamArchiveOnDelete: "true"}
	a := s.filled("a", p)
	b := s.filled("b", parameters{volume.ParamOnDelete: "archive", volume.ParamSubDir: "ns/team/b"})
	s.drop(a.ID)
	s.drop(a.ID)
	s.drop(b.ID)
	s.drop(b.ID)
	s.holds()
	s.root("archived-a", "archived-ns")
	s.content("archived-a/file", "a")
	s.content("archived-ns/team/b/file", "b")
	s.mode("archived-ns", 0o755)
}

// archiveFlat is nfs-subdir-external-provisioner's way: the last element at the top of the share.
func (s *suite) archiveFlat() {
	for i, dir := range []string{"ns/team/b", "ns/other/b", "b"} {
		name := fmt.Sprintf("v%d", i)
		s.drop(s.filled(name, parameters{volume.ParamOnDelete: "archive-flat", volume.ParamSubDir: dir}).ID)
	}
	s.content("archived-b/file", "v0")
	s.content("archived-b-v1/file", "v1")
	s.content("archived-b-v2/file", "v2")
}

func (s *suite) archiveReplacesNothing() {
	p := parameters{volume.ParamOnDelete: "archive", volume.ParamSubDir: "data"}
	s.mkdir("archived-data")
	for _, name := range []string{"a", "b"} {
		s.drop(s.filled(name, p).ID)
		s.content("archived-data-"+name+"/file", name)
	}
	s.write("archived-data-c", "a file")
	s.symlink("none", "archived-data-c-2")
	s.drop(s.filled("c", p).ID)
	s.content("archived-data-c-3/file", "c")
	s.root("archived-data", "archived-data-a", "archived-data-b", "archived-data-c", "archived-data-c-2", "archived-data-c-3")
	if names := s.names("archived-data"); len(names) != 0 {
		s.Errorf("an empty directory was replaced: it holds %q", names)
	}
	s.holds()
}

func (s *suite) archiveOutsideVolumes() {
	p := parameters{volume.ParamOnDelete: "archive", volume.ParamSubDir: "ns/a"}
	a := s.filled("a", p)
	other := s.make("other", parameters{volume.ParamSubDir: "archived-ns"})
	taken := s.make("taken", parameters{volume.ParamSubDir: "archived-ns-a"})
	s.must(s.fs.Remove(s.ctx, "archived-ns-a")) // reserved, and not there
	s.drop(a.ID)
	s.content("archived-ns-a-a/file", "a")
	if names := s.names("archived-ns"); len(names) != 0 {
		s.Errorf("archived inside a volume: %q", names)
	}
	s.make("taken", nil)
	s.holds(other, taken)
}

func (s *suite) archiveLongNames() {
	long, above := strings.Repeat("é", 127), strings.Repeat("è", 127)
	for _, dir := range []string{long, "ns/" + long, above + "/b"} {
		for _, name := range []string{"a", "b"} {
			s.drop(s.filled(name, parameters{volume.ParamOnDelete: "archive", volume.ParamSubDir: dir}).ID)
		}
	}
	s.holds()
	s.content("archived-"+long[:246]+"/file", "a")
	s.content("archived-"+long[:244]+"-b/file", "b")
	s.content("archived-ns/"+long+"/file", "a")
	s.content("archived-ns/"+long[:252]+"-b/file", "b")
	s.content("archived-"+above[:246]+"/b/file", "a")
	s.content("archived-"+above[:246]+"/b-b/file", "b")
}

// archivesExpire: archives are listed, and go when they are due, if they are still what was archived.
func (s *suite) archivesExpire() {
	for name, retention := range map[string]string{"hour": "1h", "replaced": "1h", "day": "24h", "kept": "0"} {
		s.drop(s.filled(name, parameters{
			volume.ParamOnDelete: "archive", volume.ParamSubDir: "ns/" + name, volume.ParamArchiveRetention: retention,
		}).ID)
	}
	s.must(s.fs.Rename(s.ctx, "archived-ns/replaced", "mine"))
	s.mkdir("archived-ns/replaced")
	s.write("archived-ns/replaced/file", "new")
	s.archived("day 24h0m0s", "hour 1h0m0s", "kept")
	for range 2 {
		s.ahead += 2 * time.Hour
		s.start()
		s.must(s.Visit(s.ctx, here, nil))
		s.purged()
		s.archived("day 24h0m0s", "kept")
	}
	s.content("archived-ns/replaced/file", "new")
	s.content("mine/file", "replaced")
	s.content("archived-ns/day/file", "day")
	s.ahead += 24 * time.Hour
	s.start()
	s.must(s.Visit(s.ctx, here, nil))
	s.purged()
	s.archived("kept")
	if got := s.names("archived-ns"); !slices.Equal(got, []string{"kept", "replaced"}) {
		s.Errorf("left are %q", got)
	}
	s.settles()
}

// archived checks which archives of this share are listed, each as "volume retention".
func (s *suite) archived(want ...string) {
	s.Helper()
	all, err := s.Archives(s.ctx, here)
	s.must(err)
	var got []string
	for _, a := range all {
		text := a.Volume
		if !a.Expires.IsZero() {
			text += " " + a.Expires.Sub(a.Archived).String()
		}
		if a.Dir != volume.Dir("archived-ns/"+a.Volume) || !a.Archived.Equal(now) {
			s.Errorf("listed is %+v", a)
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		s.Errorf("archives are %q, want %q", got, want)
	}
}

// deleteWithoutRecord deletes volumes of predecessors.
func (s *suite) deleteWithoutRecord() {
	other := s.make("other", nil)
	for policy, left := range map[volume.Policy]string{volume.Delete: "", volume.Retain: "old", volume.Archive: "archived-old"} {
		s.mkdir("old")
		s.write("old/file", "data")
		id := volume.ID{Location: here, Dir: "old", UUID: "pvc-1", Policy: policy}
		s.drop(id)
		s.drop(id)
		s.purged()
		if left == "" {
			s.root("other")
			continue
		}
		s.root("other", left)
		s.content(left+"/file", "data")
		s.must(s.fs.RemoveAll(s.ctx, left, nil))
	}
	s.holds(other)
}

// deleteRefuses gives handles that no volume has: a mistake or an attack, never an order to remove something.
func (s *suite) deleteRefuses() {
	a := s.filled("a", parameters{volume.ParamSubDir: "ns/a"})
	s.write("file", "kept")
	s.symlink("ns", "link")
	s.mkdir("ns/a/below")
	s.mkdir("share/" + volume.Reserved)
	for _, policy := range []volume.Policy{volume.Delete, volume.Archive} {
		for dir, words := range map[volume.Dir]string{
			"ns": `"a"`, "ns/a/below": "inside", "file": "a file", "link": "a symbolic link", "link/a": "", "file/a": "", "share": volume.Reserved,
		} {
			err := s.Delete(s.ctx, volume.ID{Location: here, Dir: dir, UUID: "pvc-1", Policy: policy}, nil)
			if dir == "share" {
				s.wants(err, volume.ErrExists, words)
				continue
			}
			s.wants(err, volume.ErrInvalid, words)
		}
		// The name of one volume, the directory of nobody.
		s.wants(s.Delete(s.ctx, volume.ID{Location: here, Dir: "share", UUID: "a", Policy: policy}, nil), volume.ErrInvalid, "ns/a")
	}
	s.holds(a)
	s.root("file", "link", "ns", "share")
	s.content("ns/a/file", "a")

	// Somebody replaced a volume's directory.
	s.must(s.fs.Rename(s.ctx, "ns/a", "moved"))
	s.symlink("../moved", "ns/a")
	s.wants(s.Delete(s.ctx, a.ID, nil), volume.ErrInvalid, "a symbolic link", "move it away")
	s.content("moved/file", "a")
}

// deleteLeavesOthers: the directory has gone to another volume since.
func (s *suite) deleteLeavesOthers() {
	old := s.filled("old", parameters{volume.ParamSubDir: "data", volume.ParamOnDelete: "retain"})
	s.drop(old.ID)
	fresh := s.make("new", parameters{volume.ParamSubDir: "data", volume.ParamOnExisting: "adopt"})
	deleting := old.ID
	deleting.Policy = volume.Delete
	s.drop(deleting)
	s.content("data/file", "old")
	s.holds(fresh)
	// A record without its reservation comes from a call that lost the race for the directory.
	data, err := volume.Record{Version: 1, Name: "old", Dir: "data", Policy: volume.Delete, Created: now}.Marshal()
	s.must(err)
	s.write(volume.Reserved+"/volumes/old.json", string(data))
	s.drop(deleting)
	s.content("data/file", "old")
	s.holds(fresh)
}

func (s *suite) recordsPolicyCounts() {
	a := s.filled("a", parameters{volume.ParamOnDelete: "retain"})
	a.ID.Policy = volume.Delete
	s.drop(a.ID)
	s.content("a/file", "a")
	s.root("a")
	// A torn record says nothing, then the handle counts.
	b := s.filled("b", parameters{volume.ParamOnDelete: "archive"})
	s.must(s.fs.Remove(s.ctx, volume.Reserved+"/volumes/b.json"))
	s.write(volume.Reserved+"/volumes/b.json", "{")
	s.drop(b.ID)
	s.content("archived-b/file", "b")
	s.holds()
}

// trashOfOthers: what a process left in the trash is removed by the next.
func (s *suite) trashOfOthers() {
	s.make("a", nil)
	s.mkdir(volume.Reserved + "/trash/left/sub")
	s.write(volume.Reserved+"/trash/left/sub/file", "x")
	s.symlink("../../a", volume.Reserved+"/trash/link")
	s.write("a/file", "kept")
	s.start()
	_, err := s.Manager.Space(s.ctx, here, nil)
	s.must(err)
	s.purged()
	s.content("a/file", "kept")
}
