package sharetest

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

func (s *suite) mode(name string, want fs.FileMode) {
	s.Helper()
	if info := s.info(name); !info.IsDir() || info.Mode()&modeBits != want {
		s.Errorf("%q is %v, want a directory with %v", name, info.Mode(), want)
	}
}

func (s *suite) createMakesExactly() {
	var all []volume.Volume
	for text, mode := range map[string]fs.FileMode{"": 0o777, "0": 0o777, "0770": 0o770, "0700": 0o700} {
		v := s.make("mode"+text, parameters{volume.ParamMountPermissions: text})
		s.mode("mode"+text, mode)
		all = append(all, v)
	}
	owned, ok := s.info("mode").Sys().(interface{ Owner() (uid, gid uint32) })
	if !ok {
		s.Fatal("Sys has no Owner")
	}
	uid, gid := owned.Owner()
	v := s.make("mine", parameters{volume.ParamUID: strconv.Itoa(int(uid)), volume.ParamGID: strconv.Itoa(int(gid))})
	want := volume.Volume{ID: volume.ID{Location: here, Dir: "mine", Policy: volume.Delete}, CapacityBytes: 1 << 20, Created: now}
	if v != want {
		s.Errorf("made %+v, want %+v", v, want)
	}
	r := s.request("unsafe/../name", nil)
	r.Class.Claim = volume.Claim{Namespace: "ns", Name: "claim", Volume: "pvc-1"}
	r.Class.Policy = volume.Retain
	v, err := s.Create(s.ctx, r)
	s.must(err)
	if v.ID.Dir != "ns-claim-pvc-1" || v.ID.UUID != volume.CleanName("unsafe/../name") || v.ID.Policy != volume.Retain {
		s.Errorf("made %+v", v)
	}
	s.mode("ns-claim-pvc-1", 0o777)
	s.holds(append(all, v, want)...)
	for _, dir := range []string{"volumes", "directories", "trash", "staging"} {
		s.mode(path.Join(volume.Reserved, dir), 0o700)
	}
	s.mode(volume.Reserved, 0o700)
}

func (s *suite) createTwice() {
	first := s.make("a", parameters{volume.ParamOnDelete: "retain"})
	s.write("a/file", "kept")
	s.must(s.fs.Chmod(s.ctx, "a", 0o750))
	s.start()
	// The policy is fixed when the volume is made; the class may have been edited since.
	if again := s.make("a", parameters{volume.ParamOnDelete: "delete"}); again != first {
		s.Errorf("second call answers %+v, first %+v", again, first)
	}
	s.content("a/file", "kept")
	s.mode("a", 0o750)
	s.holds(first)

	// A directory that has gone is made again, since nobody else can have got its name.
	s.must(s.fs.RemoveAll(s.ctx, "a", nil))
	s.make("a", nil)
	s.mode("a", 0o777)
	s.holds(first)

	s.must(s.fs.Remove(s.ctx, "a"))
	s.write("a", "kept")
	s.refuses("a", nil, volume.ErrExists, "a file", "move it away")
	s.content("a", "kept")
	s.must(s.fs.Remove(s.ctx, "a"))
	s.make("a", nil)
	s.holds(first)
}

func (s *suite) createOtherSize() {
	v := s.make("a", nil)
	for _, tt := range []struct {
		required, limit int64
		kind            error
	}{
		{1 << 20, 0, nil}, {0, 0, nil}, {1, 1 << 20, nil}, {1 << 20, 1 << 21, nil},
		{1<<20 + 1, 0, volume.ErrExists}, {0, 1<<20 - 1, volume.ErrExists}, {1 << 30, 1 << 30, volume.ErrExists},
	} {
		r := s.request("a", nil)
		r.RequiredBytes, r.LimitBytes = tt.required, tt.limit
		got, err := s.Create(s.ctx, r)
		if tt.kind != nil {
			s.wants(err, tt.kind, "1048576")
			continue
		}
		s.must(err)
		if got != v {
			s.Errorf("for %d to %d bytes: %+v, want %+v", tt.required, tt.limit, got, v)
		}
	}
	s.holds(v)
}

func (s *suite) createNested() {
	a := s.make("a", parameters{volume.ParamSubDir: "ns/team/a", volume.ParamMountPermissions: "0770"})
	b := s.make("b", parameters{volume.ParamSubDir: "ns/b"})
	s.mode("ns", 0o755)
	s.mode("ns/team", 0o755)
	s.mode("ns/team/a", 0o770)
	s.holds(a, b)
	for _, dir := range []string{"ns/b/c", "ns/team/a/b/c"} {
		s.refuses("c", parameters{volume.ParamSubDir: dir}, volume.ErrExists, "inside")
	}
	// A reserved name whose directory is not there yet is an ancestor all the same.
	s.must(s.fs.Remove(s.ctx, "ns/b"))
	s.refuses("c", parameters{volume.ParamSubDir: "ns/b/c"}, volume.ErrExists, "inside")
	s.make("b", parameters{volume.ParamSubDir: "ns/b"})
	s.refuses("c", parameters{volume.ParamSubDir: "ns"}, volume.ErrExists, "ns")
	s.holds(a, b)
	s.root("ns")
}

func (s *suite) createWhereTaken() {
	s.mkdir("dir")
	s.mkdir("full")
	s.write("full/file", "kept")
	s.write("file", "kept")
	s.symlink("dir", "link")
	s.symlink("none", "dangling")
	mine := s.make("mine", nil)
	for _, dir := range []string{"dir", "full", "file", "link", "dangling", "mine"} {
		s.refuses("a", parameters{volume.ParamSubDir: dir}, volume.ErrExists, dir, "subDir")
	}
	s.refuses("a", parameters{volume.ParamSubDir: "full"}, volume.ErrExists, "onExisting: adopt")
	s.refuses("a", parameters{volume.ParamSubDir: "mine"}, volume.ErrExists, `"mine"`, "belongs to volume")
	for _, dir := range []string{"link/a", "file/a", "dangling/a"} {
		s.refuses("a", parameters{volume.ParamSubDir: dir}, volume.ErrInvalid)
	}
	s.holds(mine)
	s.root("dangling", "dir", "file", "full", "link", "mine")
	s.content("full/file", "kept")
	if names := s.names("dir"); len(names) != 0 {
		s.Errorf("made behind a link: %q", names)
	}
}

func (s *suite) createKeepsFirstDirectory() {
	first := s.make("a", parameters{volume.ParamSubDir: "first"})
	if again := s.make("a", parameters{volume.ParamSubDir: "second"}); again != first {
		s.Errorf("second call answers %+v, first %+v", again, first)
	}
	s.holds(first)
	s.root("first")
}

func (s *suite) createOverTornRecord() {
	s.make("first", nil) // makes the layout
	copied, err := s.fs.ReadFile(s.ctx, volume.Reserved+"/volumes/first.json", 1<<20)
	s.must(err)
	for i, text := range []string{"", "{", `{"version":1}`, `{"version":99,"name":"x"}`, string(copied)} {
		name := "torn" + strconv.Itoa(i)
		s.write(volume.Reserved+"/volumes/"+name+".json", text)
		s.write(volume.Reserved+"/staging/"+name+".json", "left by an interrupted call")
		v := s.make(name, nil)
		s.must(Audit(s.ctx, s.fs, s.make("first", nil), v))
		s.drop(v.ID)
	}
	// A refusal takes what was left of the earlier try with it.
	s.mkdir("taken")
	s.write(volume.Reserved+"/volumes/taken.json", "{")
	s.symlink("../volumes/taken.json", volume.Reserved+"/directories/taken")
	s.refuses("taken", nil, volume.ErrExists)
	s.holds(s.make("first", nil))
}

func (s *suite) adopt() {
	s.mkdir("old/inside")
	s.must(s.fs.Chmod(s.ctx, "old", 0o750))
	s.write("old/file", "kept")
	v := s.make("a", parameters{volume.ParamSubDir: "old", volume.ParamOnExisting: "adopt"})
	if again := s.make("a", parameters{volume.ParamSubDir: "old", volume.ParamOnExisting: "adopt"}); again != v {
		s.Errorf("second call answers %+v, first %+v", again, v)
	}
	s.mode("old", 0o750)
	s.content("old/file", "kept")
	w := s.make("b", parameters{volume.ParamSubDir: "new/b", volume.ParamOnExisting: "adopt"})
	s.mode("new/b", 0o777)
	s.holds(v, w)
	s.refuses("c", parameters{volume.ParamSubDir: "old", volume.ParamOnExisting: "adopt"}, volume.ErrExists, "belongs to volume")
	s.holds(v, w)
}

func (s *suite) adoptRefuses() {
	long := strings.Repeat("n", 100)
	nested := s.make("nested", parameters{volume.ParamSubDir: "ns/nested"})
	deep := s.make("deep", parameters{volume.ParamSubDir: path.Join(long, long, long)})
	s.mkdir("ns/nested/below")
	s.mkdir("share/" + volume.Reserved)
	s.mkdir("share/theirs/data")
	s.mkdir(long + "/" + long[1:])
	s.write("file", "kept")
	s.symlink("ns", "link")
	for dir, words := range map[string]string{
		"ns": "nested", long: "deep", path.Join(long, long): "deep", "ns/nested/below": "inside", "share": volume.Reserved,
		"share/theirs": "is in \"share\"", "share/theirs/data": volume.Reserved,
		"file": "a file", "link": "a symbolic link",
	} {
		s.refuses("a", parameters{volume.ParamSubDir: dir, volume.ParamOnExisting: "adopt"}, volume.ErrExists, words)
	}
	s.holds(nested, deep)
	// What only looks alike is no obstacle.
	s.mkdir("n")
	v := s.make("n", parameters{volume.ParamOnExisting: "adopt"})
	w := s.make("w", parameters{volume.ParamSubDir: path.Join(long, long[1:]), volume.ParamOnExisting: "adopt"})
	s.holds(nested, deep, v, w)
}

// hostileLayout puts in our place what a pod could that mounts the whole share.
func (s *suite) hostileLayout() {
	s.mkdir("away/volumes")
	s.mkdir("away/directories")
	s.mkdir("away/staging")
	s.mkdir("away/trash/precious")
	s.symlink("away", volume.Reserved)
	s.refuses("a", nil, volume.ErrInvalid, volume.Reserved, "remove it")
	s.wants(s.Delete(s.ctx, volume.ID{Location: here, Dir: "away", Policy: volume.Delete}, nil), volume.ErrInvalid)
	if names := s.names("away/trash"); !slices.Equal(names, []string{"precious"}) {
		s.Errorf("through a link: %q", names)
	}
	s.must(s.fs.Remove(s.ctx, volume.Reserved))
	s.write(volume.Reserved, "")
	s.refuses("a", nil, volume.ErrInvalid, volume.Reserved, "remove it")
	s.must(s.fs.Remove(s.ctx, volume.Reserved))

	v := s.make("a", nil)
	s.symlink("../../away", volume.Reserved+"/directories/b")
	s.refuses("b", nil, volume.ErrInvalid, "remove it")
	s.write(volume.Reserved+"/directories/c", "")
	s.refuses("c", nil, volume.ErrInvalid, "remove it")
	s.mkdir(volume.Reserved + "/volumes/d.json")
	if _, err := s.Create(s.ctx, s.request("d", nil)); err == nil {
		s.Error("a volume whose record is a directory")
	}
	s.symlink("../volumes/a.json", volume.Reserved+"/volumes/e.json")
	if _, err := s.Create(s.ctx, s.request("e", nil)); err == nil {
		s.Error("a volume whose record is a link")
	}
	s.write(volume.Reserved+"/volumes/f.json", "torn")
	s.mkdir(volume.Reserved + "/staging/f.json/x")
	s.refuses("f", nil, volume.ErrExists, "staging/f.json")
	s.root("a", "away")
	for _, name := range []string{"directories/b", "directories/c", "volumes/d.json", "volumes/e.json", "staging/f.json/x", "staging/f.json"} {
		s.must(s.fs.Remove(s.ctx, volume.Reserved+"/"+name))
	}
	s.holds(v)
}
