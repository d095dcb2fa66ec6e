package nfstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Detailed is what the Sys value of every fs.FileInfo implements besides Owned.
type Detailed interface {
	Inode() (id uint64, names uint32)
	Accessed() time.Time
	Device() (major, minor uint32)
}

func (s *suite) detailed(name string) Detailed { s.Helper(); return s.details(s.info(name)) }

func (s *suite) details(info fs.FileInfo) Detailed {
	s.Helper()
	d, ok := info.Sys().(Detailed)
	if !ok {
		s.Fatalf("Sys of %q has no Inode, Accessed and Device", info.Name())
	}
	return d
}

// copied copies "from" to "to" and compares them.
func (s *suite) copied() {
	s.Helper()
	s.must(s.fs.CopyTree(s.ctx, s.in("from"), s.in("to"), nil))
	s.same(s.in("from"), s.in("to"))
}

// same compares two trees in everything but inode numbers and times of access, which looking changes.
func (s *suite) same(from, to string) {
	s.Helper()
	s.alike(from, to, s.info(from), s.info(to))
}

// alike is same of what has been looked at. It may run beside others of its kind.
func (s *suite) alike(from, to string, a, b fs.FileInfo) {
	s.Helper()
	if a.Mode() != b.Mode() || !a.IsDir() && a.Size() != b.Size() {
		s.Errorf("%q: %v, %d bytes; the copy: %v, %d bytes", from, a.Mode(), a.Size(), b.Mode(), b.Size())
	}
	if !a.ModTime().Equal(b.ModTime()) && (a.Mode().Type() != fs.ModeSymlink || !s.deviates(NoLinkTimes)) {
		s.Errorf("%q was changed at %v, the copy at %v", from, a.ModTime(), b.ModTime())
	}
	uidA, gidA := s.ownerOf(a)
	if uidB, gidB := s.ownerOf(b); uidA != uidB || gidA != gidB {
		s.Errorf("%q belongs to %d:%d, the copy to %d:%d", from, uidA, gidA, uidB, gidB)
	}
	majorA, minorA := s.details(a).Device()
	if majorB, minorB := s.details(b).Device(); a.Mode()&fs.ModeDevice != 0 && (majorA != majorB || minorA != minorB) {
		s.Errorf("%q is device %d:%d, the copy %d:%d", from, majorA, minorA, majorB, minorB)
	}
	switch a.Mode().Type() {
	case fs.ModeDir:
		s.sameEntries(from, to)
	case fs.ModeSymlink:
		target, err := s.fs.Readlink(s.ctx, from)
		if got, other := s.fs.Readlink(s.ctx, to); errors.Join(err, other) != nil || got != target {
			s.Errorf("%q holds %q, the copy %q, %v", from, target, got, errors.Join(err, other))
		}
	case 0:
		s.sameContent(from, to)
	}
}

func (s *suite) sameEntries(from, to string) {
	s.Helper()
	a, err := s.fs.ReadDir(s.ctx, from)
	b, other := s.fs.ReadDir(s.ctx, to)
	alike := func(a, b fs.FileInfo) bool { return a.Name() == b.Name() }
	if errors.Join(err, other) != nil || !slices.EqualFunc(a, b, alike) {
		s.Errorf("%q has %d entries, the copy other %d: %v", from, len(a), len(b), errors.Join(err, other))
		return
	}
	const workers = 8 // each call takes its time
	each(workers, func(w int) error {
		for i := w; i < len(a); i += workers {
			s.alike(path.Join(from, a[i].Name()), path.Join(to, a[i].Name()), a[i], b[i])
		}
		return nil
	})
}

func (s *suite) sameContent(from, to string) {
	s.Helper()
	want, err := s.fs.ReadFile(s.ctx, from, maxFile)
	got, other := s.fs.ReadFile(s.ctx, to, maxFile)
	if errors.Join(err, other) != nil || !bytes.Equal(want, got) {
		s.Errorf("%q has %d bytes, the copy other %d: %v", from, len(want), len(got), errors.Join(err, other))
	}
}

// pattern is content that is nowhere like its beginning, and nowhere zero.
func pattern(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i>>16) ^ byte(i>>8)*3 ^ byte(i)*5 | 1
	}
	return data
}

func (s *suite) copyTree() {
	s.mkdir(s.in("from"))
	dirs := []string{"from", "from/a", "from/a/b", "from/a/b/c", "from/empty"}
	for i, dir := range dirs[1:] {
		s.must(s.fs.Mkdir(s.ctx, s.in(dir), []fs.FileMode{0o755, 0o700, 0o2770 & 0o777, 0o555}[i], -1, -1))
	}
	for i, size := range []int{0, 1, 4095, 4096, 4097, 70_000, 300_000, 2_500_001, 0, 7} {
		name := s.in(dirs[i%4], fmt.Sprint("file", i))
		s.must(s.fs.CreateFile(s.ctx, name, pattern(size), []fs.FileMode{0o644, 0o600, 0o444, 0}[i%4]))
	}
	s.symlink("file1", s.in("from", "link"))
	s.symlink("../../outside", s.in("from", "a", "up"))
	s.symlink(strings.Repeat("long/", 200)+"caf\xe9", s.in("from", "long"))
	s.mkdir(s.in("outside"))
	s.write(s.in("outside", "file"), "not to be copied")
	s.copied()
	if got := s.names(s.in("to", "a")); !slices.Contains(got, "up") {
		s.Errorf("copied: %q", got)
	}
	s.must(s.fs.CopyTree(s.ctx, s.in("from", "empty"), s.in("copy of nothing"), nil))
	s.same(s.in("from", "empty"), s.in("copy of nothing"))
}

func (s *suite) copyTreeAttributes() {
	s.must(s.fs.Mkdir(s.ctx, s.in("from"), 0o750, -1, -1))
	modes := []fs.FileMode{0o777, 0o775 | fs.ModeSticky, 0o755 | fs.ModeSetuid, 0o770 | fs.ModeSetgid, 0o711 | fs.ModeSetuid | fs.ModeSetgid}
	old := time.Date(1999, 12, 31, 23, 59, 59, 987_654_321, time.UTC)
	for i, mode := range modes {
		for _, name := range []string{s.in("from", fmt.Sprint("file", i)), s.in("from", fmt.Sprint("dir", i))} {
			if strings.Contains(name, "file") {
				s.write(name, "#!/bin/true")
			} else {
				s.mkdir(name)
				s.write(path.Join(name, "inside"), "")
			}
			s.chowned(name, 1000+i, 2000+i)
			s.must(s.fs.Chmod(s.ctx, name, mode))
			s.must(s.fs.Chtimes(s.ctx, name, old.Add(time.Duration(i)*time.Hour), old.AddDate(i, 0, 0)))
		}
	}
	if !s.deviates(NoLinkOwners) {
		s.symlink("file0", s.in("from", "link"))
		s.chowned(s.in("from", "link"), 4000, 4001)
	}
	s.chowned(s.in("from"), 3000, 3001)
	s.must(s.fs.Chmod(s.ctx, s.in("from"), 0o750|fs.ModeSetgid))
	s.must(s.fs.Chtimes(s.ctx, s.in("from"), old, old))
	s.must(s.fs.CopyTree(s.ctx, s.in("from"), s.in("to"), nil))
	for i := range modes {
		if s.deviates(NoAccessTimes) {
			break
		}
		want := old.Add(time.Duration(i) * time.Hour)
		if got := s.detailed(s.in("to", fmt.Sprint("file", i))).Accessed(); !got.Equal(want) {
			s.Errorf("the copy was read at %v, want %v", got, want)
		}
	}
	s.same(s.in("from"), s.in("to"))
}

// chowned gives something away where the server lets us.
func (s *suite) chowned(name string, uid, gid int) {
	s.Helper()
	if err := s.fs.Chown(s.ctx, name, uid, gid); err != nil {
		s.wants("Chown", err, fs.ErrPermission)
	}
}

func (s *suite) copyTreeHardLinks() {
	s.mkdir(s.in("from"))
	s.mkdir(s.in("from", "other"))
	s.write(s.in("from", "a"), "several names")
	s.write(s.in("outside"), "a name outside")
	if s.deviates(NoHardLinks) {
		if err := s.fs.Link(s.ctx, s.in("from", "a"), s.in("from", "b")); err == nil {
			s.Error("linked, though this server cannot")
		}
		return
	}
	big := pattern(3 << 20)
	s.must(s.fs.CreateFile(s.ctx, s.in("from", "other", "big"), big, 0o600))
	for name, of := range map[string]string{
		"from/b": "from/a", "from/other/c": "from/a", "from/in": "outside", "from/big2": "from/other/big", "from/big3": "from/other/big",
	} {
		s.must(s.fs.Link(s.ctx, s.in(of), s.in(name)))
	}
	s.copied()
	for name, of := range map[string]string{"b": "a", "other/c": "a", "big2": "other/big", "big3": "big2"} {
		id, names := s.detailed(s.in("to", name)).Inode()
		if other, _ := s.detailed(s.in("to", of)).Inode(); id != other || names != 3 {
			s.Errorf("%s is inode %d with %d names, %s is %d", name, id, names, of, other)
		}
	}
	if _, names := s.detailed(s.in("to", "in")).Inode(); names != 1 {
		s.Errorf("a file with one name in the tree has %d", names)
	}
	s.must(s.fs.WriteAt(s.ctx, s.in("to", "a"), []byte("S"), 0))
	s.content(s.in("to", "other", "c"), "Several names")
	s.content(s.in("from", "a"), "several names")
}

func (s *suite) copyTreeSpecialFiles() {
	s.mkdir(s.in("from"))
	made := 0
	for i, typ := range []fs.FileMode{fs.ModeNamedPipe, fs.ModeSocket, fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice} {
		err := s.fs.Mknod(s.ctx, s.in("from", fmt.Sprint(i)), typ|0o640, 7, 300)
		if err == nil {
			made++
			s.mode(s.in("from", fmt.Sprint(i)), 0o640)
		} else if i >= 2 || s.deviates(NoSpecialFiles) {
			s.wants("Mknod", err, fs.ErrPermission, syscall.ENOTSUP)
		} else {
			s.Error(err)
		}
	}
	if err := s.fs.Mknod(s.ctx, s.in("dir"), fs.ModeDir|0o755, 0, 0); !errors.Is(err, fs.ErrInvalid) {
		s.Errorf("Mknod of a directory: %v", err)
	}
	s.copied()
	if got := s.names(s.in("to")); len(got) != made {
		s.Errorf("copied %d of %d", len(got), made)
	}
}

// copyTreeHoles copies files with holes at the beginning, in the middle and at the end.
func (s *suite) copyTreeHoles() {
	const far = 6 << 20
	s.mkdir(s.in("from"))
	for name, at := range map[string][]int64{"start": {far}, "middle": {0, far}, "many": {0, 1 << 20, 3 << 20, 3<<20 + 65536, far}, "small": {100_000}} {
		s.write(s.in("from", name), "")
		for _, offset := range at {
			s.must(s.fs.WriteAt(s.ctx, s.in("from", name), []byte("not zero"), offset))
		}
	}
	s.copied()
	for _, name := range []string{"start", "middle", "many"} {
		a, counted := s.info(s.in("from", name)).Sys().(interface{ Allocated() uint64 })
		if !counted {
			continue
		}
		b := s.info(s.in("to", name)).Sys().(interface{ Allocated() uint64 })
		if a.Allocated() < far/2 && b.Allocated() > far/2 {
			s.Errorf("%s takes %d bytes, its copy %d", name, a.Allocated(), b.Allocated())
		}
	}
}

func (s *suite) copyTreeHostileNames() {
	s.mkdir(s.in("from"))
	for _, name := range []string{"caf\xe9", "café", "a b\nc", "-rf", "...", "\x01\x7f", strings.Repeat("x", 255)} {
		s.mkdir(s.in("from", name))
		s.write(s.in("from", name, name), name)
		s.symlink(name, s.in("from", name, "link"))
	}
	s.copied()
}

func (s *suite) copyTreeRefuses() {
	s.mkdir(s.in("from"))
	s.mkdir(s.in("from", "sub"))
	s.write(s.in("file"), "kept")
	s.mkdir(s.in("full"))
	s.write(s.in("full", "file"), "kept")
	s.symlink("from", s.in("link"))
	for _, to := range []string{"full", "file", "link"} {
		s.wants("onto "+to, s.fs.CopyTree(s.ctx, s.in("from"), s.in(to), nil), fs.ErrExist)
	}
	s.wants("of nothing", s.fs.CopyTree(s.ctx, s.in("none"), s.in("to"), nil), fs.ErrNotExist)
	s.wants("into nothing", s.fs.CopyTree(s.ctx, s.in("from"), s.in("none", "to"), nil), fs.ErrNotExist)
	s.wants("of a file", s.fs.CopyTree(s.ctx, s.in("file"), s.in("to"), nil), syscall.ENOTDIR)
	s.wants("of a link", s.fs.CopyTree(s.ctx, s.in("link"), s.in("to"), nil), syscall.ENOTDIR, syscall.ELOOP)
	for _, to := range []string{"from", "from/to", "from/sub/to"} {
		s.wants("into itself", s.fs.CopyTree(s.ctx, s.in("from"), s.in(to), nil), fs.ErrInvalid)
	}
	s.content(s.in("file"), "kept")
	s.content(s.in("full", "file"), "kept")
	if got := s.names(s.dir); !slices.Equal(got, []string{"file", "from", "full", "link"}) {
		s.Errorf("left: %q", got)
	}
}

// copyTreeWide copies directories of more entries than a listing has, and watches the progress.
func (s *suite) copyTreeWide() {
	s.mkdir(s.in("from"))
	const workers, files = 8, 150
	s.must(errors.Join(each(workers, func(w int) error {
		dir := s.in("from", fmt.Sprint(w%2))
		if err := s.fs.Mkdir(s.ctx, dir, 0o755, -1, -1); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		for i := range files {
			name := path.Join(dir, fmt.Sprintf("%d-%03d-%s", w, i, strings.Repeat("w", 100)))
			if err := s.fs.CreateFile(s.ctx, name, pattern(10*i), 0o644); err != nil {
				return err
			}
		}
		return nil
	})...))
	var lastFiles, lastBytes, calls int64
	s.must(s.fs.CopyTree(s.ctx, s.in("from"), s.in("to"), func(files, bytes int64) {
		if files < lastFiles {
			s.Errorf("progress went back from %d to %d", lastFiles, files)
		}
		lastFiles, lastBytes, calls = files, bytes, calls+1
	}))
	if wantBytes := int64(workers * 10 * files * (files - 1) / 2); lastFiles != workers*files+3 || lastBytes != wantBytes || calls == 0 {
		s.Errorf("progress: %d files, %d bytes, want %d and %d", lastFiles, lastBytes, workers*files+3, wantBytes)
	}
	for w := range 2 {
		if got, want := s.names(s.in("to", fmt.Sprint(w))), s.names(s.in("from", fmt.Sprint(w))); !slices.Equal(got, want) {
			s.Errorf("%d names, want %d", len(got), len(want))
		}
	}
	s.same(s.in("from", "1"), s.in("to", "1"))
}

func (s *suite) copyTreeDeep() {
	name := s.in("from")
	s.mkdir(name)
	for range 100 {
		name += "/d"
		s.mkdir(name)
	}
	s.write(name+"/file", "deep")
	s.must(s.fs.CopyTree(s.ctx, s.in("from"), s.in("to"), nil))
	s.content(s.in("to")+name[len(s.in("from")):]+"/file", "deep")
}

// copyTreeCanceled ends a copy in the middle; what was made can be removed.
func (s *suite) copyTreeCanceled() {
	s.mkdir(s.in("from"))
	for i := range 20 {
		s.must(s.fs.CreateFile(s.ctx, s.in("from", fmt.Sprint(i)), pattern(100_000), 0o600))
	}
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	s.wants("canceled before", s.fs.CopyTree(ctx, s.in("from"), s.in("to"), nil), context.Canceled)
	s.gone(s.in("to"))
	ctx, cancel = context.WithTimeout(s.ctx, time.Millisecond)
	defer cancel()
	if err := s.fs.CopyTree(ctx, s.in("from"), s.in("late"), nil); err != nil {
		s.wants("out of time", err, context.DeadlineExceeded)
	}
	s.copied() // elsewhere: the server may still be making what was given up
	s.must(s.fs.RemoveAll(s.ctx, s.in("late"), nil))
}

func (s *suite) writeAt() {
	s.write(s.in("file"), "0123456789")
	s.mkdir(s.in("dir"))
	s.symlink("file", s.in("link"))
	s.must(s.fs.WriteAt(s.ctx, s.in("file"), []byte("abc"), 4))
	s.content(s.in("file"), "0123abc789")
	s.must(s.fs.WriteAt(s.ctx, s.in("file"), []byte("end"), 12))
	s.content(s.in("file"), "0123abc789\x00\x00end")
	long := pattern(2_500_001)
	s.must(s.fs.WriteAt(s.ctx, s.in("file"), long, 1))
	s.content(s.in("file"), "0"+string(long))
	s.wants("negative", s.fs.WriteAt(s.ctx, s.in("file"), nil, -1), fs.ErrInvalid)
	s.wants("nothing", s.fs.WriteAt(s.ctx, s.in("none"), []byte("x"), 0), fs.ErrNotExist)
	s.wants("directory", s.fs.WriteAt(s.ctx, s.in("dir"), []byte("x"), 0), syscall.EISDIR)
	s.wants("link", s.fs.WriteAt(s.ctx, s.in("link"), []byte("x"), 0), syscall.ELOOP)
}

func (s *suite) chtimes() {
	s.mkdir(s.in("dir"))
	s.write(s.in("file"), "")
	accessed := time.Date(2001, 2, 3, 4, 5, 6, 700_000_001, time.UTC)
	for _, name := range []string{"dir", "file"} {
		s.must(s.fs.Chtimes(s.ctx, s.in(name), accessed, accessed.Add(time.Hour)))
		if got := s.info(s.in(name)).ModTime(); !got.Equal(accessed.Add(time.Hour)) {
			s.Errorf("%s was changed at %v", name, got)
		}
		if got := s.detailed(s.in(name)).Accessed(); !got.Equal(accessed) && !s.deviates(NoAccessTimes) {
			s.Errorf("%s was read at %v", name, got)
		}
	}
	s.wants("Chtimes of nothing", s.fs.Chtimes(s.ctx, s.in("none"), accessed, accessed), fs.ErrNotExist)
}

func (s *suite) link() {
	if s.deviates(NoHardLinks) {
		return
	}
	s.write(s.in("file"), "one")
	s.mkdir(s.in("dir"))
	s.must(s.fs.Link(s.ctx, s.in("file"), s.in("dir", "second")))
	s.content(s.in("dir", "second"), "one")
	if id, names := s.detailed(s.in("file")).Inode(); names != 2 {
		s.Errorf("inode %d has %d names", id, names)
	}
	s.must(s.fs.Remove(s.ctx, s.in("file")))
	s.content(s.in("dir", "second"), "one")
	s.wants("onto a name", s.fs.Link(s.ctx, s.in("dir", "second"), s.in("dir")), fs.ErrExist)
	s.wants("of nothing", s.fs.Link(s.ctx, s.in("file"), s.in("new")), fs.ErrNotExist)
	s.wants("of a directory", s.fs.Link(s.ctx, s.in("dir"), s.in("new")), syscall.EPERM)
	s.wants("into nothing", s.fs.Link(s.ctx, s.in("dir", "second"), s.in("none", "new")), fs.ErrNotExist)
}
