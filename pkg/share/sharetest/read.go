package sharetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func (s *suite) get() {
	a := s.make("a", parameters{volume.ParamSubDir: "dir/a"})
	s.mkdir("old")
	s.write("file", "")
	old := volume.Volume{ID: volume.ID{Location: here, Dir: "old", UUID: "pvc-1", Policy: volume.Delete}}
	for _, want := range []volume.Volume{a, old} {
		if got, err := s.Get(s.ctx, want.ID); err != nil || got != want {
			s.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	for _, id := range []volume.ID{
		{Location: here, Dir: "none"}, {Location: here, Dir: "none/none"}, {Location: here, Dir: "file"},
		{Location: here, Dir: "dir/a", UUID: "other"}, {Location: here, Dir: "old", UUID: "a"},
	} {
		_, err := s.Get(s.ctx, id)
		s.wants(err, volume.ErrNotFound)
	}
	s.drop(a.ID)
	_, err := s.Get(s.ctx, a.ID)
	s.wants(err, volume.ErrNotFound)
}

func (s *suite) list() {
	s.shares[there] = s.open(s.T)
	s.lists(nil)
	var want []string
	for i := range 20 {
		v := s.make(fmt.Sprintf("v-%02d", i), nil)
		r := s.request(fmt.Sprintf("v-%02d.x", i), parameters{volume.ParamShare: there.Share})
		w, err := s.Create(s.ctx, r)
		s.must(err)
		want = append(want, v.ID.String(), w.ID.String())
	}
	slices.Sort(want)
	s.lists(want)
	for _, token := range []string{"x", "!", "YWJj", strings.Repeat("A", 5000), "c2VydmVyLnRlc3Q6L25vbmUKYS5qc29u"} {
		_, _, err := s.List(s.ctx, token, 3)
		s.wants(err, volume.ErrToken)
	}
	s.growsWhileListed(want)
}

// lists reads all pages of every size.
func (s *suite) lists(want []string) {
	s.Helper()
	for _, size := range []int{0, 1, 3, len(want), len(want) + 1} {
		var got []string
		token := ""
		for {
			volumes, next, err := s.List(s.ctx, token, size)
			s.must(err)
			for _, v := range volumes {
				got = append(got, v.ID.String())
			}
			if next == "" {
				break
			}
			if len(volumes) != size {
				s.Errorf("a page has %d volumes, asked for %d", len(volumes), size)
			}
			token = next
		}
		if !slices.Equal(got, want) {
			s.Errorf("pages of %d: %q, want %q", size, got, want)
		}
	}
}

// growsWhileListed: what is made or deleted between two pages neither hides nor doubles another volume.
func (s *suite) growsWhileListed(all []string) {
	volumes, token, err := s.List(s.ctx, "", 10)
	s.must(err)
	s.drop(volumes[9].ID)
	s.drop(volumes[0].ID)
	s.make("u", nil)
	rest, next, err := s.List(s.ctx, token, 0)
	s.must(err)
	if next != "" || len(rest) != len(all)-10 {
		s.Errorf("after a change the rest is %d volumes and %q, want %d", len(rest), next, len(all)-10)
	}
}

func (s *suite) listPassesOverRubbish() {
	v := s.make("m", nil)
	volumes := volume.Reserved + "/volumes/"
	copied, err := s.fs.ReadFile(s.ctx, volumes+"m.json", 1<<20)
	s.must(err)
	s.write(volumes+"a.json", string(copied))
	s.write(volumes+"b.json", "{")
	s.write(volumes+"c", string(copied))
	s.symlink("m.json", volumes+"n.json")
	s.mkdir(volumes + "o.json")
	s.write(volumes+"p.json", strings.Repeat(" ", 1<<17))
	s.lists([]string{v.ID.String()})
}

func (s *suite) space() {
	space, err := s.Manager.Space(s.ctx, here, nil)
	s.must(err)
	if space.Total == 0 || space.Available > space.Total {
		s.Errorf("space %+v", space)
	}
}

// together calls do n times at once.
func together(n int, do func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = do(i) })
	}
	wg.Wait()
	return errs
}

func (s *suite) manyAtOnce() {
	all := make([]volume.Volume, 48)
	s.must(errors.Join(together(len(all), func(i int) (err error) {
		all[i], err = s.Create(s.ctx, s.request(fmt.Sprint("v", i), parameters{volume.ParamSubDir: fmt.Sprintf("ns%d/v%d", i%3, i)}))
		return err
	})...))
	s.holds(all...)
	s.must(errors.Join(together(len(all), func(i int) error { return s.Delete(s.ctx, all[i].ID, nil) })...))
	s.holds()
	s.purged()
}

// oneDirectoryManyVolumes: one gets it, whichever; also when they want directories inside each other.
func (s *suite) oneDirectoryManyVolumes() {
	for round, dirs := range [][]string{{"data"}, {"ns", "ns/a", "ns/a/b"}} {
		made := make([]volume.Volume, 24)
		for _, err := range together(len(made), func(i int) (err error) {
			r := s.request(fmt.Sprintf("v%d-%d", round, i), parameters{volume.ParamSubDir: dirs[i%len(dirs)]})
			for {
				made[i], err = s.Create(s.ctx, r)
				if !errors.Is(err, volume.ErrBusy) && !errors.Is(err, volume.ErrUnavailable) {
					return err
				}
			}
		}) {
			if err != nil {
				s.wants(err, volume.ErrExists)
			}
		}
		won := slices.DeleteFunc(made, func(v volume.Volume) bool { return v == volume.Volume{} })
		if len(won) > 1 {
			s.Errorf("%d volumes have got one of %q: %v", len(won), dirs, won)
		}
		if len(dirs) == 1 && len(won) == 0 {
			s.Errorf("no volume has got %q", dirs)
		}
		s.holds(won...)
		for _, v := range won {
			s.drop(v.ID)
		}
	}
}

// oneNameManyCalls: a call beside another for the same volume is told to come back, and finds the volume then.
func (s *suite) oneNameManyCalls() {
	for _, err := range together(16, func(int) error { _, err := s.Create(s.ctx, s.request("a", nil)); return err }) {
		if err != nil {
			s.wants(err, volume.ErrBusy)
		}
	}
	v := s.make("a", nil)
	s.holds(v)
	for _, err := range together(16, func(int) error { return s.Delete(s.ctx, v.ID, nil) }) {
		if err != nil {
			s.wants(err, volume.ErrBusy)
		}
	}
	s.drop(v.ID)
	s.holds()
}
