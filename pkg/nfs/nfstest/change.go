package nfstest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
)

func (s *suite) chmod() {
	s.mkdir(s.in("dir"))
	s.write(s.in("file"), "")
	s.symlink("file", s.in("link"))
	for _, perm := range []fs.FileMode{0o777, 0o700, 0o2, 0o770 | fs.ModeSetgid, 0o777 | fs.ModeSticky, 0o755} {
		s.must(s.fs.Chmod(s.ctx, s.in("dir"), perm))
		s.mode(s.in("dir"), perm)
	}
	s.must(s.fs.Chmod(s.ctx, s.in("file"), 0o600))
	s.mode(s.in("file"), 0o600)
	if s.info(s.in("file")).Mode().Type() != 0 || !s.info(s.in("dir")).IsDir() {
		s.Error("Chmod changed a type")
	}
	if err := s.fs.Chmod(s.ctx, s.in("link"), 0o777); err == nil {
		s.Error("Chmod of a link: no error")
	}
	s.mode(s.in("file"), 0o600)
	s.wants("Chmod of nothing", s.fs.Chmod(s.ctx, s.in("none"), 0o777), fs.ErrNotExist)
}

func (s *suite) chown() {
	s.mkdir(s.in("dir"))
	s.write(s.in("file"), "")
	s.symlink("file", s.in("link"))
	uid, gid := s.owner(s.in("dir"))
	s.must(s.fs.Chown(s.ctx, s.in("dir"), uid, gid))
	s.must(s.fs.Chown(s.ctx, s.in("dir"), -1, -1))
	for _, name := range []string{"dir", "file", "link"} {
		s.chownTo(name, 12345, uid, gid)
	}
	s.wants("Chown of nothing", s.fs.Chown(s.ctx, s.in("none"), uid, gid), fs.ErrNotExist)
	fileUID, _ := s.owner(s.in("file"))
	s.must(s.fs.Chown(s.ctx, s.in("link"), -1, gid))
	if u, _ := s.owner(s.in("file")); u != fileUID {
		s.Error("Chown of a link changed its target")
	}
}

// chownTo gives name away, which a server may refuse us, but not half.
func (s *suite) chownTo(name string, to, uid, gid int) {
	s.Helper()
	if err := s.fs.Chown(s.ctx, s.in(name), to, -1); err != nil {
		s.wants("Chown of "+name, err, fs.ErrPermission)
		to = uid
	}
	if u, g := s.owner(s.in(name)); u != to || g != gid {
		s.Errorf("owner of %s: %d:%d, want %d:%d", name, u, g, to, gid)
	}
}

func (s *suite) rename() {
	s.write(s.in("file"), "moved")
	s.mkdir(s.in("dir"))
	s.write(s.in("dir", "inside"), "inside")
	s.mkdir(s.in("to"))
	s.symlink("nowhere", s.in("link"))
	for _, name := range []string{"file", "dir", "link"} {
		s.must(s.fs.Rename(s.ctx, s.in(name), s.in("to", "new-"+name)))
		s.gone(s.in(name))
	}
	s.content(s.in("to", "new-file"), "moved")
	s.content(s.in("to", "new-dir", "inside"), "inside")
	if target, err := s.fs.Readlink(s.ctx, s.in("to", "new-link")); err != nil || target != "nowhere" {
		s.Errorf("moved link holds %q, %v", target, err)
	}
	// A renamed directory's old name is free at once, and what is made below it lands in the new one.
	s.must(s.fs.Rename(s.ctx, s.in("to", "new-dir"), s.in("moved")))
	s.mkdir(s.in("to", "new-dir"))
	s.write(s.in("to", "new-dir", "inside"), "second")
	s.content(s.in("moved", "inside"), "inside")
	s.content(s.in("to", "new-dir", "inside"), "second")
	s.must(s.fs.Rename(s.ctx, s.in("moved"), s.in("moved")))
	s.content(s.in("moved", "inside"), "inside")
}

func (s *suite) renameReplaces() {
	s.write(s.in("old"), "new content")
	s.write(s.in("file"), "old content")
	s.must(s.fs.Rename(s.ctx, s.in("old"), s.in("file")))
	s.content(s.in("file"), "new content")

	s.write(s.in("target"), "target")
	s.symlink("target", s.in("link"))
	s.write(s.in("over"), "over")
	s.must(s.fs.Rename(s.ctx, s.in("over"), s.in("link")))
	s.content(s.in("link"), "over")
	s.content(s.in("target"), "target")

	s.mkdir(s.in("dir"))
	s.write(s.in("dir", "inside"), "kept")
	s.mkdir(s.in("empty"))
	s.must(s.fs.Rename(s.ctx, s.in("dir"), s.in("empty")))
	s.content(s.in("empty", "inside"), "kept")
	if got := s.names(s.dir); !slices.Equal(got, []string{"empty", "file", "link", "target"}) {
		s.Errorf("left: %q", got)
	}
}

func (s *suite) renameRefuses() {
	s.mkdir(s.in("dir"))
	s.write(s.in("dir", "inside"), "dir")
	s.mkdir(s.in("full"))
	s.write(s.in("full", "inside"), "full")
	s.write(s.in("file"), "file")
	s.wants("onto a full directory", s.fs.Rename(s.ctx, s.in("dir"), s.in("full")), syscall.ENOTEMPTY)
	s.wants("directory onto file", s.fs.Rename(s.ctx, s.in("dir"), s.in("file")), syscall.ENOTDIR, fs.ErrExist)
	s.wants("file onto directory", s.fs.Rename(s.ctx, s.in("file"), s.in("dir")), syscall.EISDIR, fs.ErrExist)
	s.wants("of nothing", s.fs.Rename(s.ctx, s.in("none"), s.in("new")), fs.ErrNotExist)
	s.wants("into nothing", s.fs.Rename(s.ctx, s.in("file"), s.in("none", "new")), fs.ErrNotExist)
	if err := s.fs.Rename(s.ctx, s.in("dir"), s.in("dir", "self")); err == nil {
		s.Error("a directory moved into itself")
	}
	s.content(s.in("dir", "inside"), "dir")
	s.content(s.in("full", "inside"), "full")
	s.content(s.in("file"), "file")
}

func (s *suite) remove() {
	s.write(s.in("file"), "")
	s.mkdir(s.in("empty"))
	s.mkdir(s.in("full"))
	s.write(s.in("full", "inside"), "kept")
	s.symlink("full", s.in("link"))
	for _, name := range []string{"file", "empty", "link"} {
		s.must(s.fs.Remove(s.ctx, s.in(name)))
		s.gone(s.in(name))
		s.wants("Remove again", s.fs.Remove(s.ctx, s.in(name)), fs.ErrNotExist)
	}
	s.wants("Remove of a full directory", s.fs.Remove(s.ctx, s.in("full")), syscall.ENOTEMPTY)
	s.content(s.in("full", "inside"), "kept")
}

// manyAtOnce shares one connection between many callers that make, move, list and remove in the same directory.
func (s *suite) manyAtOnce() {
	s.must(errors.Join(each(32, func(i int) error {
		a, b := s.in(fmt.Sprint("a", i)), s.in(fmt.Sprint("b", i))
		for range 4 {
			_, listed := s.fs.ReadDir(s.ctx, s.dir)
			err := errors.Join(
				s.fs.Mkdir(s.ctx, a, 0o755, -1, -1),
				s.fs.CreateFile(s.ctx, a+"/file", []byte(a), 0o644),
				listed,
				s.fs.Rename(s.ctx, a, b),
				s.fs.Remove(s.ctx, b+"/file"),
				s.fs.Remove(s.ctx, b),
			)
			if err != nil {
				return err
			}
		}
		return nil
	})...))
	if got := s.names(s.dir); len(got) != 0 {
		s.Errorf("left: %q", got)
	}
}
