package nfstest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	testTimeout = 2 * time.Minute // of one test, on the slowest server
	maxFile     = 16 << 20        // limit given to ReadFile where the limit is not the point
)

// suite is one test's file system and the directory of its own that it works in.
type suite struct {
	*testing.T
	fs         FS
	ctx        context.Context
	dir        string // made by newSuite, removed when the test ends
	deviations []Deviation
}

var directories atomic.Int64 // numbers the directories of this process

func newSuite(t *testing.T, fsys FS, deviations []Deviation) *suite {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	s := &suite{T: t, fs: fsys, ctx: ctx, deviations: deviations}
	s.dir = fmt.Sprintf("nfstest-%d-%d", os.Getpid(), directories.Add(1))
	s.must(fsys.RemoveAll(ctx, s.dir, nil))
	s.must(fsys.Mkdir(ctx, s.dir, 0o755, -1, -1))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := fsys.RemoveAll(ctx, s.dir, nil); err != nil {
			t.Errorf("removing the test's directory: %v", err)
		}
	})
	return s
}

// in names something in the test's directory.
func (s *suite) in(elem ...string) string { return path.Join(append([]string{s.dir}, elem...)...) }

func (s *suite) deviates(d Deviation) bool { return slices.Contains(s.deviations, d) }

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// wants checks that err matches one of the wanted errors.
func (s *suite) wants(what string, err error, wanted ...error) {
	s.Helper()
	for _, w := range wanted {
		if errors.Is(err, w) {
			return
		}
	}
	if s.deviates(VagueErrors) && (errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EACCES)) {
		return
	}
	s.Errorf("%s: got %v, want one of %v", what, err, wanted)
}

func (s *suite) mkdir(name string)        { s.Helper(); s.must(s.fs.Mkdir(s.ctx, name, 0o755, -1, -1)) }
func (s *suite) symlink(target, n string) { s.Helper(); s.must(s.fs.Symlink(s.ctx, target, n)) }
func (s *suite) write(name, data string) {
	s.Helper()
	s.must(s.fs.CreateFile(s.ctx, name, []byte(data), 0o644))
}

func (s *suite) info(name string) fs.FileInfo {
	s.Helper()
	info, err := s.fs.Lstat(s.ctx, name)
	s.must(err)
	return info
}

func (s *suite) owner(name string) (uid, gid int) { s.Helper(); return s.ownerOf(s.info(name)) }

func (s *suite) ownerOf(info fs.FileInfo) (uid, gid int) {
	s.Helper()
	owned, ok := info.Sys().(Owned)
	if !ok {
		s.Fatalf("Sys of %q has no Owner() (uid, gid uint32)", info.Name())
	}
	u, g := owned.Owner()
	return int(u), int(g)
}

func (s *suite) gone(name string) {
	s.Helper()
	_, err := s.fs.Lstat(s.ctx, name)
	s.wants("Lstat "+name, err, fs.ErrNotExist)
}

func (s *suite) content(name, want string) {
	s.Helper()
	got, err := s.fs.ReadFile(s.ctx, name, maxFile)
	s.must(err)
	if string(got) != want {
		s.Errorf("content of %q: %d bytes %.40q, want %d bytes %.40q", name, len(got), got, len(want), want)
	}
}

func (s *suite) names(name string) []string {
	s.Helper()
	infos, err := s.fs.ReadDir(s.ctx, name)
	s.must(err)
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = info.Name()
	}
	return names
}

func (s *suite) mode(name string, want fs.FileMode) {
	s.Helper()
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	mask := fs.ModePerm | special
	if s.deviates(NoSpecialBits) {
		mask = fs.ModePerm
	}
	if got := s.info(name).Mode() & mask; got != want&mask {
		s.Errorf("mode of %q: %v, want %v", name, got, want&mask)
	}
}

// each calls do n times at once and returns the errors.
func each(n int, do func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = do(i) })
	}
	wg.Wait()
	return errs
}
