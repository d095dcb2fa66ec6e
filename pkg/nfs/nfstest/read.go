package nfstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"
)

func (s *suite) lstat() {
	s.mkdir(s.in("dir"))
	s.write(s.in("file"), "12345")
	s.symlink("dir", s.in("link"))
	for name, typ := range map[string]fs.FileMode{"dir": fs.ModeDir, "file": 0, "link": fs.ModeSymlink} {
		info := s.info(s.in(name))
		if info.Mode().Type() != typ || info.Name() != name || info.IsDir() != (typ == fs.ModeDir) {
			s.Errorf("Lstat %q: name %q, mode %v", name, info.Name(), info.Mode())
		}
		if age := time.Since(info.ModTime()); age > time.Hour || age < -time.Hour {
			s.Errorf("%q was modified %v ago", name, age)
		}
	}
	if size := s.info(s.in("file")).Size(); size != 5 {
		s.Errorf("size %d, want 5", size)
	}
	s.gone(s.in("none"))
	s.gone(s.in("none", "below"))
}

func (s *suite) readDir() {
	if got := s.names(s.dir); len(got) != 0 {
		s.Errorf("a new directory lists %q", got)
	}
	s.mkdir(s.in("b"))
	s.symlink("b", s.in("c"))
	s.write(s.in("a"), "12345")
	infos, err := s.fs.ReadDir(s.ctx, s.dir)
	s.must(err)
	want := []fs.FileMode{0, fs.ModeDir, fs.ModeSymlink}
	if len(infos) != len(want) {
		s.Fatalf("listed %d entries, want %d", len(infos), len(want))
	}
	for i, info := range infos {
		if info.Name() != string(rune('a'+i)) || info.Mode().Type() != want[i] {
			s.Errorf("entry %d: %q %v", i, info.Name(), info.Mode())
		}
		if _, ok := info.Sys().(Owned); !ok {
			s.Errorf("entry %q has no owner", info.Name())
		}
	}
	if infos[0].Size() != 5 {
		s.Errorf("listed size %d, want 5", infos[0].Size())
	}
	_, err = s.fs.ReadDir(s.ctx, s.in("a"))
	s.wants("ReadDir of a file", err, syscall.ENOTDIR)
	_, err = s.fs.ReadDir(s.ctx, s.in("none"))
	s.wants("ReadDir of nothing", err, fs.ErrNotExist)
}

// readDirLong lists more than fits in one reply.
func (s *suite) readDirLong() {
	var want []string
	for i := range 600 {
		want = append(want, fmt.Sprintf("%04d-%s", i, strings.Repeat("n", 100)))
	}
	s.fill(s.dir, want)
	if got := s.names(s.dir); !slices.Equal(got, want) {
		s.Errorf("listed %d names, want %d", len(got), len(want))
	}
}

// fill makes an empty directory of each name, many at once.
func (s *suite) fill(dir string, names []string) {
	s.Helper()
	const workers = 16
	s.must(errors.Join(each(workers, func(w int) error {
		for i := w; i < len(names); i += workers {
			if err := s.fs.Mkdir(s.ctx, dir+"/"+names[i], 0o755, -1, -1); err != nil {
				return err
			}
		}
		return nil
	})...))
}

func (s *suite) files() {
	for _, size := range []int{0, 1, 3, 4096, 100_000, 2_500_001} {
		name := s.in(fmt.Sprint(size))
		data := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
		s.must(s.fs.CreateFile(s.ctx, name, data, 0o640))
		s.content(name, string(data))
		s.mode(name, 0o640)
		if got := s.info(name).Size(); got != int64(size) {
			s.Errorf("size %d, want %d", got, size)
		}
	}
	s.must(s.fs.CreateFile(s.ctx, s.in("wide"), nil, 0o666))
	s.mode(s.in("wide"), 0o666)
}

func (s *suite) readFileRefuses() {
	s.write(s.in("file"), "12345")
	s.mkdir(s.in("dir"))
	s.symlink("file", s.in("link"))
	if data, err := s.fs.ReadFile(s.ctx, s.in("file"), 5); err != nil || string(data) != "12345" {
		s.Errorf("at the limit: %q, %v", data, err)
	}
	if data, err := s.fs.ReadFile(s.ctx, s.in("file"), 4); err == nil {
		s.Errorf("above the limit: %q", data)
	}
	for _, name := range []string{"dir", "link"} {
		if data, err := s.fs.ReadFile(s.ctx, s.in(name), maxFile); err == nil {
			s.Errorf("ReadFile of %s: %q", name, data)
		}
	}
	_, err := s.fs.ReadFile(s.ctx, s.in("none"), maxFile)
	s.wants("ReadFile of nothing", err, fs.ErrNotExist)
}

func (s *suite) links() {
	for i, target := range []string{"x", "../volumes/x.json", "/etc/passwd", "caf\xe9", "a b\n", strings.Repeat("long/", 200)} {
		name := s.in(fmt.Sprint(i))
		s.symlink(target, name)
		if got, err := s.fs.Readlink(s.ctx, name); err != nil || got != target {
			s.Errorf("target %q, %v, want %q", got, err, target)
		}
	}
	s.write(s.in("file"), "")
	_, err := s.fs.Readlink(s.ctx, s.in("file"))
	s.wants("Readlink of a file", err, fs.ErrInvalid)
	_, err = s.fs.Readlink(s.ctx, s.dir)
	s.wants("Readlink of a directory", err, fs.ErrInvalid)
	_, err = s.fs.Readlink(s.ctx, s.in("none"))
	s.wants("Readlink of nothing", err, fs.ErrNotExist)
}

func (s *suite) space() {
	total, free, available, err := s.fs.Space(s.ctx)
	s.must(err)
	if total == 0 || free > total || available > free {
		s.Errorf("total %d, free %d, available %d", total, free, available)
	}
}

// canceled: nothing is done for someone who has gone.
func (s *suite) canceled() {
	s.write(s.in("from"), "")
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	gone := *s
	gone.ctx = ctx
	for _, name := range []string{s.in("from"), s.in("new")} {
		for op, err := range gone.every(name) {
			s.wants(op, err, context.Canceled)
		}
	}
	if _, _, _, err := s.fs.Space(ctx); !errors.Is(err, context.Canceled) {
		s.Errorf("Space: %v", err)
	}
	if got := s.names(s.dir); !slices.Equal(got, []string{"from"}) {
		s.Errorf("done all the same: %q", got)
	}
}
