package nfstest

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

func (s *suite) mkdirModes() {
	for _, perm := range []fs.FileMode{
		0o777, 0o755, 0o700, 0o070, 0,
		0o770 | fs.ModeSetgid, 0o777 | fs.ModeSticky, 0o755 | fs.ModeSetuid, 0o777 | fs.ModeSetgid | fs.ModeSticky,
	} {
		name := s.in(fmt.Sprintf("d%v", perm))
		s.must(s.fs.Mkdir(s.ctx, name, perm, -1, -1))
		s.mode(name, perm)
	}
}

// mkdirBelowSetgid: directories inherit setgid from their parent unless someone takes care.
func (s *suite) mkdirBelowSetgid() {
	s.must(s.fs.Mkdir(s.ctx, s.in("parent"), 0o770|fs.ModeSetgid, -1, -1))
	s.must(s.fs.Mkdir(s.ctx, s.in("parent", "plain"), 0o755, -1, -1))
	s.mode(s.in("parent", "plain"), 0o755)
}

func (s *suite) mkdirOwner() {
	s.mkdir(s.in("mine"))
	uid, gid := s.owner(s.in("mine"))
	s.must(s.fs.Mkdir(s.ctx, s.in("asked"), 0o770|fs.ModeSetgid, uid, gid))
	s.mode(s.in("asked"), 0o770|fs.ModeSetgid)
	if u, g := s.owner(s.in("asked")); u != uid || g != gid {
		s.Errorf("owner %d:%d, want %d:%d", u, g, uid, gid)
	}
	err := s.fs.Mkdir(s.ctx, s.in("foreign"), 0o770|fs.ModeSetgid, 12345, 23456)
	if err != nil {
		s.wants("Mkdir for someone else", err, fs.ErrPermission)
		s.gone(s.in("foreign"))
		return
	}
	s.mode(s.in("foreign"), 0o770|fs.ModeSetgid)
	if u, g := s.owner(s.in("foreign")); u != 12345 || g != 23456 {
		s.Errorf("owner %d:%d, want 12345:23456", u, g)
	}
}

func (s *suite) makeExisting() {
	s.mkdir(s.in("dir"))
	s.write(s.in("dir", "inside"), "kept")
	s.write(s.in("file"), "kept")
	s.symlink("dir", s.in("link"))
	s.symlink("nowhere", s.in("dangling"))
	for _, name := range []string{"dir", "file", "link", "dangling"} {
		s.wants("Mkdir on "+name, s.fs.Mkdir(s.ctx, s.in(name), 0o700, -1, -1), fs.ErrExist)
		s.wants("Symlink on "+name, s.fs.Symlink(s.ctx, "other", s.in(name)), fs.ErrExist)
		s.wants("CreateFile on "+name, s.fs.CreateFile(s.ctx, s.in(name), []byte("other"), 0o600), fs.ErrExist)
	}
	s.content(s.in("file"), "kept")
	s.content(s.in("dir", "inside"), "kept")
	s.mode(s.in("dir"), 0o755)
	s.mode(s.in("file"), 0o644)
	s.gone(s.in("nowhere"))
	if target, err := s.fs.Readlink(s.ctx, s.in("link")); err != nil || target != "dir" {
		s.Errorf("link holds %q, %v", target, err)
	}
}

func (s *suite) makeWithoutParent() {
	for _, name := range []string{s.in("no", "x"), s.in("no", "no", "x")} {
		s.wants("Mkdir", s.fs.Mkdir(s.ctx, name, 0o755, -1, -1), fs.ErrNotExist)
		s.wants("Symlink", s.fs.Symlink(s.ctx, "t", name), fs.ErrNotExist)
		s.wants("CreateFile", s.fs.CreateFile(s.ctx, name, nil, 0o644), fs.ErrNotExist)
	}
	s.write(s.in("file"), "")
	s.wants("Mkdir below a file", s.fs.Mkdir(s.ctx, s.in("file", "x"), 0o755, -1, -1), syscall.ENOTDIR)
	s.gone(s.in("no"))
}

// oneMakerWins: making a name is exclusive however many try.
func (s *suite) oneMakerWins() {
	makers := map[string]func(i int) error{
		"dir":  func(int) error { return s.fs.Mkdir(s.ctx, s.in("dir"), 0o755, -1, -1) },
		"link": func(i int) error { return s.fs.Symlink(s.ctx, fmt.Sprint(i), s.in("link")) },
		"file": func(i int) error { return s.fs.CreateFile(s.ctx, s.in("file"), fmt.Append(nil, i), 0o644) },
	}
	for what, do := range makers {
		winner := -1
		for i, err := range each(16, do) {
			switch {
			case err == nil && winner >= 0:
				s.Errorf("%s: %d and %d both made it", what, winner, i)
			case err == nil:
				winner = i
			case !errors.Is(err, fs.ErrExist):
				s.wants(what, err, fs.ErrExist)
			}
		}
		if winner < 0 {
			s.Errorf("%s: nobody made it", what)
		} else if what == "file" {
			s.content(s.in("file"), fmt.Sprint(winner))
		}
	}
}
