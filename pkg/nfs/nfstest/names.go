package nfstest

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"
)

func (s *suite) root() {
	if !s.info(".").IsDir() {
		s.Error(`"." is no directory`)
	}
	if !slices.Contains(s.names("."), s.dir) {
		s.Errorf("the root does not list %q", s.dir)
	}
	for what, err := range map[string]error{
		"Mkdir":      s.fs.Mkdir(s.ctx, ".", 0o755, -1, -1),
		"Symlink":    s.fs.Symlink(s.ctx, "x", "."),
		"CreateFile": s.fs.CreateFile(s.ctx, ".", nil, 0o644),
		"Remove":     s.fs.Remove(s.ctx, "."),
		"RemoveAll":  s.fs.RemoveAll(s.ctx, ".", nil),
		"CopyTree":   s.fs.CopyTree(s.ctx, s.dir, ".", nil),
		"Link":       s.fs.Link(s.ctx, ".", s.in("x")),
		"Mknod":      s.fs.Mknod(s.ctx, ".", fs.ModeNamedPipe|0o600, 0, 0),
		"Rename old": s.fs.Rename(s.ctx, ".", s.in("x")),
		"Rename new": s.fs.Rename(s.ctx, s.dir, "."),
	} {
		s.wants(what+` "."`, err, fs.ErrInvalid)
	}
}

// every calls each operation with name.
func (s *suite) every(name string) map[string]error {
	_, lstat := s.fs.Lstat(s.ctx, name)
	_, readDir := s.fs.ReadDir(s.ctx, name)
	_, readFile := s.fs.ReadFile(s.ctx, name, maxFile)
	_, readlink := s.fs.Readlink(s.ctx, name)
	_, readAt := s.fs.ReadAt(s.ctx, name, make([]byte, 1), 0)
	return map[string]error{
		"Lstat": lstat, "ReadDir": readDir, "ReadFile": readFile, "Readlink": readlink, "ReadAt": readAt,
		"Mkdir":       s.fs.Mkdir(s.ctx, name, 0o755, -1, -1),
		"Symlink":     s.fs.Symlink(s.ctx, "x", name),
		"CreateFile":  s.fs.CreateFile(s.ctx, name, nil, 0o644),
		"Chmod":       s.fs.Chmod(s.ctx, name, 0o755),
		"Chown":       s.fs.Chown(s.ctx, name, -1, -1),
		"Rename old":  s.fs.Rename(s.ctx, name, s.in("to")),
		"Rename new":  s.fs.Rename(s.ctx, s.in("from"), name),
		"Remove":      s.fs.Remove(s.ctx, name),
		"RemoveAll":   s.fs.RemoveAll(s.ctx, name, nil),
		"CopyTree":    s.fs.CopyTree(s.ctx, name, s.in("to"), nil),
		"CopyTree to": s.fs.CopyTree(s.ctx, s.in("from"), name, nil),
		"Link old":    s.fs.Link(s.ctx, name, s.in("to")),
		"Link new":    s.fs.Link(s.ctx, s.in("from"), name),
		"Mknod":       s.fs.Mknod(s.ctx, name, fs.ModeNamedPipe|0o600, 0, 0),
		"Chtimes":     s.fs.Chtimes(s.ctx, name, time.Unix(1, 0), time.Unix(1, 0)),
		"WriteAt":     s.fs.WriteAt(s.ctx, name, []byte("x"), 0),
	}
}

func (s *suite) badNames() {
	s.write(s.in("from"), "")
	for _, name := range []string{
		"", "..", "/", "/" + s.dir, s.dir + "/", s.dir + "//x", s.dir + "/../x", s.dir + "/.", "./" + s.dir, "../x", s.dir + "/a\x00b",
	} {
		for op, err := range s.every(name) {
			if !errors.Is(err, fs.ErrInvalid) {
				s.Errorf("%s %q: got %v, want fs.ErrInvalid", op, name, err)
			}
		}
	}
	if got := s.names(s.dir); !slices.Equal(got, []string{"from"}) {
		s.Errorf("after bad names: %q", got)
	}
}

func (s *suite) hostileNames() {
	hostile := []string{
		"caf\xe9", "café", "a b\nc", "-rf", "*", "...", ".hidden", "~", "$(id)", "\\", "\x01\x7f", " ", "%2f", strings.Repeat("x", 255),
	}
	slices.Sort(hostile)
	for _, name := range hostile {
		s.mkdir(s.in(name))
		s.write(s.in(name, name), name)
		s.symlink(name, s.in(name, "link"))
		s.content(s.in(name, name), name)
		if target, err := s.fs.Readlink(s.ctx, s.in(name, "link")); err != nil || target != name {
			s.Errorf("target %q, %v, want %q", target, err, name)
		}
	}
	if got := s.names(s.dir); !slices.Equal(got, hostile) {
		s.Errorf("listed %q, want %q", got, hostile)
	}
	for _, name := range hostile {
		s.must(s.fs.Rename(s.ctx, s.in(name, name), s.in(name, "moved")))
		s.must(s.fs.RemoveAll(s.ctx, s.in(name), nil))
	}
	s.wants("a name of 256 bytes", s.fs.Mkdir(s.ctx, s.in(strings.Repeat("x", 256)), 0o755, -1, -1), syscall.ENAMETOOLONG)
}

// noLinkInTheMiddle walks through a link to a directory that exists, through a link that leaves the root, and through
// a file: nothing may be seen, made or removed behind them.
func (s *suite) noLinkInTheMiddle() {
	s.mkdir(s.in("real"))
	s.write(s.in("real", "file"), "kept")
	s.write(s.in("from"), "")
	s.write(s.in("plain"), "")
	s.symlink("real", s.in("link"))
	s.symlink("/tmp", s.in("away"))
	for _, name := range []string{s.in("link", "file"), s.in("link", "new"), s.in("away", "file"), s.in("plain", "x")} {
		for op, err := range s.every(name) {
			s.wants(op+" "+name, err, syscall.ELOOP, syscall.ENOTDIR)
		}
	}
	_, err := s.fs.ReadDir(s.ctx, s.in("link"))
	s.wants("ReadDir of a link", err, syscall.ELOOP, syscall.ENOTDIR)
	s.content(s.in("real", "file"), "kept")
	if got := s.names(s.in("real")); !slices.Equal(got, []string{"file"}) {
		s.Errorf("behind the link: %q", got)
	}
}
