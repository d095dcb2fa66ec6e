package nfstest

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
)

func (s *suite) removeAll() {
	s.must(s.fs.RemoveAll(s.ctx, s.in("none"), nil))
	s.must(s.fs.RemoveAll(s.ctx, s.in("none", "below"), nil))
	s.write(s.in("file"), "")
	s.mkdir(s.in("empty"))
	s.mkdir(s.in("tree"))
	s.mkdir(s.in("tree", "a"))
	s.mkdir(s.in("tree", "a", "b"))
	s.write(s.in("tree", "a", "b", "file"), "x")
	s.write(s.in("tree", "file"), "x")
	s.symlink("loop", s.in("tree", "loop"))
	for _, name := range []string{"file", "empty", "tree"} {
		s.must(s.fs.RemoveAll(s.ctx, s.in(name), nil))
		s.gone(s.in(name))
		s.must(s.fs.RemoveAll(s.ctx, s.in(name), nil))
	}
}

// removeAllKeepsOutside removes a tree full of links to what must stay.
func (s *suite) removeAllKeepsOutside() {
	s.mkdir(s.in("outside"))
	s.write(s.in("outside", "file"), "kept")
	s.mkdir(s.in("tree"))
	s.mkdir(s.in("tree", "sub"))
	s.symlink("../outside", s.in("tree", "up"))
	s.symlink("../../outside", s.in("tree", "sub", "up"))
	s.symlink("/", s.in("tree", "sub", "root"))
	s.symlink("../../outside/file", s.in("tree", "sub", "file"))
	s.symlink("outside", s.in("link"))
	s.must(s.fs.RemoveAll(s.ctx, s.in("tree"), nil))
	s.must(s.fs.RemoveAll(s.ctx, s.in("link"), nil))
	s.content(s.in("outside", "file"), "kept")
	if got := s.names(s.dir); !slices.Equal(got, []string{"outside"}) {
		s.Errorf("left: %q", got)
	}
	s.symlink("outside", s.in("link"))
	s.wants("RemoveAll through a link", s.fs.RemoveAll(s.ctx, s.in("link", "file"), nil), syscall.ELOOP, syscall.ENOTDIR)
	s.content(s.in("outside", "file"), "kept")
}

// removeAllLocked removes directories that nobody may write to, and where the server lets us make such, of others.
func (s *suite) removeAllLocked() {
	s.mkdir(s.in("tree"))
	for i, perm := range []fs.FileMode{0, 0o500, 0o111} {
		dir := s.in("tree", fmt.Sprint(i))
		s.mkdir(dir)
		s.mkdir(path.Join(dir, "sub"))
		s.write(path.Join(dir, "sub", "file"), "x")
		if err := s.fs.Chown(s.ctx, path.Join(dir, "sub"), 12345, -1); err != nil {
			s.wants("Chown", err, fs.ErrPermission)
		}
		s.must(s.fs.Chmod(s.ctx, path.Join(dir, "sub"), perm))
		s.must(s.fs.Chmod(s.ctx, dir, perm))
	}
	s.must(s.fs.RemoveAll(s.ctx, s.in("tree"), nil))
	s.gone(s.in("tree"))
}

func (s *suite) removeAllWide() {
	s.mkdir(s.in("tree"))
	var names []string
	for i := range 700 {
		names = append(names, fmt.Sprintf("%04d-%s", i, strings.Repeat("w", 60)))
	}
	s.fill(s.in("tree"), names)
	for i := range 40 {
		s.write(s.in("tree", names[i], "file"), "x")
	}
	var told int64
	var inside atomic.Bool
	s.must(s.fs.RemoveAll(s.ctx, s.in("tree"), func(files, _ int64) {
		if !inside.CompareAndSwap(false, true) || files < told {
			s.Errorf("told of %d files after %d, or twice at once", files, told)
		}
		told = files
		inside.Store(false)
	}))
	if want := int64(len(names) + 40 + 1); told != want {
		s.Errorf("told of %d files, want %d", told, want)
	}
	s.gone(s.in("tree"))
}

func (s *suite) removeAllDeep() {
	name := s.in("tree")
	s.mkdir(name)
	for range 100 {
		name += "/d"
		s.mkdir(name)
	}
	s.write(name+"/file", "x")
	s.content(name+"/file", "x")
	s.must(s.fs.RemoveAll(s.ctx, s.in("tree"), nil))
	s.gone(s.in("tree"))
}
