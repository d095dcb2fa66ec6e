package sharetest

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// cloned asks for a volume that is filled from another.
func (s *suite) cloned(name string, from volume.Volume, p parameters) volume.Request {
	s.Helper()
	r := s.request(name, p)
	r.Source = &volume.Source{Volume: &from.ID}
	return r
}

func (s *suite) clone() {
	a := s.filled("a", nil)
	b := s.create(s.cloned("b", a, parameters{volume.ParamSubDir: "ns/team/b"}))
	want := volume.Volume{ID: volume.ID{Location: here, Dir: "ns/team/b", UUID: "b", Policy: volume.Delete}, CapacityBytes: 1 << 20, Created: now}
	if b != want {
		s.Errorf("made %+v, want %+v", b, want)
	}
	s.content("ns/team/b/file", "a")
	s.must(s.fs.Remove(s.ctx, "a/file"))
	s.write("ns/team/b/own", "b")
	if again := s.create(s.cloned("b", a, parameters{volume.ParamSubDir: "ns/team/b"})); again != b {
		s.Errorf("second call answers %+v, first %+v", again, b)
	}
	s.content("ns/team/b/file", "a")
	s.content("ns/team/b/own", "b")
	if got, err := s.Get(s.ctx, b.ID); err != nil || got != b {
		s.Errorf("got %+v, %v, want %+v", got, err, b)
	}
	c := s.create(s.cloned("c", b, nil)) // of a clone
	s.content("c/own", "b")
	s.lists([]string{a.ID.String(), b.ID.String(), c.ID.String()})
	s.holds(a, b, c)

	// The source may go, and the clone is still what it is.
	s.drop(a.ID)
	s.start()
	if again := s.create(s.cloned("b", a, nil)); again != b {
		s.Errorf("without its source the clone is %+v, was %+v", again, b)
	}
	s.drop(b.ID)
	s.drop(c.ID)
	s.holds()
	s.purged()
}

// cloneOwnership: mode and owner are the source's, unless the class names them.
func (s *suite) cloneOwnership() {
	a := s.filled("a", parameters{volume.ParamMountPermissions: "0750"})
	s.mode("a", 0o750)
	s.create(s.cloned("b", a, nil))
	s.mode("b", 0o750)
	s.create(s.cloned("c", a, parameters{volume.ParamMountPermissions: "0700"}))
	s.mode("c", 0o700)
	owned, ok := s.info("a").Sys().(interface{ Owner() (uid, gid uint32) })
	if !ok {
		s.Fatal("Sys has no Owner")
	}
	uid, gid := owned.Owner()
	s.create(s.cloned("d", a, parameters{volume.ParamUID: strconv.Itoa(int(uid)), volume.ParamGID: strconv.Itoa(int(gid))}))
	mode := fs.FileMode(0o711)
	r := s.cloned("e", a, nil)
	r.Changes.Mode = &mode
	s.create(r)
	s.mode("e", 0o711)
	s.mode("a", 0o750)
}

func (s *suite) cloneRefuses() {
	s.shares[there] = s.open(s.T)
	a, b := s.filled("a", nil), s.filled("b", nil)
	c := s.create(s.cloned("c", a, nil))
	refuses := func(r volume.Request, kind error, words ...string) {
		s.Helper()
		v, err := s.Create(s.ctx, r)
		s.wants(err, kind, words...)
		if v != (volume.Volume{}) {
			s.Errorf("answered %v besides an error", v)
		}
	}
	refuses(s.cloned("c", b, nil), volume.ErrExists, a.ID.String(), b.ID.String())
	refuses(s.request("c", nil), volume.ErrExists, a.ID.String())
	refuses(s.cloned("b", a, nil), volume.ErrExists, a.ID.String())
	refuses(s.cloned("d", a, parameters{volume.ParamSubDir: "a"}), volume.ErrExists, `belongs to volume "a"`)
	refuses(s.cloned("d", volume.Volume{ID: volume.ID{Location: here, Dir: "none"}}, nil), volume.ErrNotFound, "none")
	refuses(s.cloned("d", a, parameters{volume.ParamShare: there.Share}), volume.ErrInvalid, here.String(), there.String())

	small := s.cloned("d", a, nil)
	small.RequiredBytes = a.CapacityBytes - 1
	refuses(small, volume.ErrRange, strconv.FormatInt(a.CapacityBytes, 10))
	small.RequiredBytes, small.LimitBytes = 0, a.CapacityBytes-1
	refuses(small, volume.ErrRange)
	large := s.cloned("large", a, nil)
	large.RequiredBytes = 2 * a.CapacityBytes
	l := s.create(large)
	any := s.cloned("any", a, nil)
	any.RequiredBytes = 0
	y := s.create(any)
	if l.CapacityBytes != 2*a.CapacityBytes || y.CapacityBytes != a.CapacityBytes {
		s.Errorf("made %+v and %+v", l, y)
	}

	// What is there is neither replaced nor mixed with a copy, not even where a class adopts.
	s.mkdir("empty")
	s.mkdir("full")
	s.write("full/file", "kept")
	s.write("file", "kept")
	for dir, kind := range map[string]error{"empty": volume.ErrExists, "full": volume.ErrExists, "file": volume.ErrExists, "file/d": volume.ErrInvalid, "a/d": volume.ErrExists} {
		for _, existing := range []string{"refuse", "adopt"} {
			refuses(s.cloned("d", a, parameters{volume.ParamSubDir: dir, volume.ParamOnExisting: existing}), kind)
		}
	}
	s.content("full/file", "kept")
	s.holds(a, b, c, l, y)
	s.purged()
}

// cloneGoesOn: calls that end before a copy does say so, and one that comes again answers when it is made.
func (s *suite) cloneGoesOn() {
	a := s.filled("a", nil)
	for i := range 50 {
		s.write("a/"+strings.Repeat("x", i+1), "x")
	}
	made := make([]volume.Volume, 8)
	s.must(errors.Join(together(len(made), func(i int) (err error) {
		for {
			made[i], err = s.Create(s.ctx, s.cloned("b", a, nil))
			if !errors.Is(err, volume.ErrBusy) {
				return err
			}
			time.Sleep(time.Millisecond)
		}
	})...))
	for _, v := range made {
		if v != made[0] {
			s.Errorf("made %+v and %+v", v, made[0])
		}
	}
	if got, want := len(s.names("b")), 51; got != want {
		s.Errorf("the copy holds %d files, want %d", got, want)
	}
	s.holds(a, made[0])
}

// deleteUnfilled deletes volumes whose filling a crash ended.
func (s *suite) deleteUnfilled() {
	a := s.filled("a", nil)
	for staged, tree := range map[string]string{"": "v+b+partial", "v+b+whole": "v+b+whole"} {
		s.must(s.fs.Symlink(s.ctx, "../volumes/b.json", volume.Reserved+"/directories/b"))
		r := volume.Record{Version: 1, Name: "b", Dir: "b", Policy: volume.Delete, Created: now, Source: a.ID.String(), CapacityBytes: 1 << 20, Copy: staged}
		data, err := r.Marshal()
		s.must(err)
		s.write(volume.Reserved+"/volumes/b.json", string(data))
		s.mkdir(volume.Reserved + "/staging/" + tree + "/sub")
		s.mkdir("b")
		s.write("b/file", "somebody's")
		id := r.ID(here)
		if staged == "" {
			_, err := s.Get(s.ctx, id)
			s.wants(err, volume.ErrNotFound, "not yet filled")
		}
		s.lists([]string{a.ID.String()})
		_, err = s.CreateSnapshot(s.ctx, volume.SnapshotRequest{Name: "x", Source: id})
		if staged == "" {
			s.wants(err, volume.ErrNotFound)
		} else {
			s.must(err)
			s.must(s.DeleteSnapshot(s.ctx, volume.SnapshotID{Location: here, Name: "x", Source: "b"}, nil))
		}
		s.drop(id)
		s.content("b/file", "somebody's")
		s.holds(a)
		s.must(s.fs.RemoveAll(s.ctx, "b", nil))
	}
}

// orphans: what interrupted copies left in staging goes when nobody can want it any more, and stays as long as somebody may.
func (s *suite) orphans() {
	v := s.make("a", nil)
	staging := volume.Reserved + "/staging/"
	for _, name := range []string{"v+gone+1/sub", "s+gone+2/sub", "v+a+3/sub", "other+x/sub", "x+a+4/sub"} {
		s.mkdir(staging + name)
	}
	s.write(staging+"v+gone+5.json", "")
	s.start()
	_, err := s.Manager.Space(s.ctx, here, nil)
	s.must(err)
	want := []string{"other+x", "v+a+3", "x+a+4"}
	for got := s.names(staging[:len(staging)-1]); !slices.Equal(got, want); got = s.names(staging[:len(staging)-1]) {
		select {
		case <-s.ctx.Done():
			s.Fatalf("in staging are %q, want %q", got, want)
		case <-time.After(time.Millisecond):
		}
	}
	for _, name := range want {
		s.must(s.fs.RemoveAll(s.ctx, staging+name, nil))
	}
	s.purged()
	s.holds(v)
}
