package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// These tests make trees and judge their copies on the server's own file system, which is this machine's.

// plantLocally makes a tree with some of everything: owners says whether things belong to several users, and to root.
func plantLocally(t *testing.T, top string, owners []int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := time.Unix(1_234_567_890, 123_456_789)
	var dirs []string
	for i, dir := range []string{"", "a", "a/b", "a/b/c", "other"} {
		dir = filepath.Join(top, dir)
		must(os.MkdirAll(dir, 0o755))
		dirs = append(dirs, dir)
		owner := owners[i%len(owners)]
		for j := range 40 {
			name := filepath.Join(dir, fmt.Sprintf("file\xe9 %d", j))
			must(os.WriteFile(name, bytes.Repeat([]byte{byte(j), byte(i), 1}, j*j*7), 0o600))
			must(os.Chown(name, owners[j%len(owners)], owners[(j+1)%len(owners)]))
			must(os.Chmod(name, []fs.FileMode{0o644, 0o600, 0o750 | fs.ModeSetuid, 0o777 | fs.ModeSetgid}[j%4]))
			must(os.Chtimes(name, at, at.Add(time.Duration(j)*time.Second)))
		}
		big := filepath.Join(dir, "big")
		must(os.WriteFile(big, bytes.Repeat([]byte("0123456789abcdef"), 200_000), 0o644))
		must(os.Link(big, filepath.Join(dir, "big's other name")))
		must(os.Lchown(big, owner, owner))
		must(os.Symlink("file", filepath.Join(dir, "link")))
		must(os.Lchown(filepath.Join(dir, "link"), owner, owner))
		must(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o640))
		must(os.Chown(filepath.Join(dir, "fifo"), owner, owner))
		holes, err := os.Create(filepath.Join(dir, "holes"))
		must(err)
		_, err = holes.WriteAt([]byte("far"), 3<<20)
		must(errors.Join(err, holes.Truncate(5<<20), holes.Chown(owner, owner), holes.Close()))
		must(os.Chtimes(holes.Name(), at, at))
		must(os.Chtimes(big, at, at))
	}
	must(os.Link(filepath.Join(top, "a/b/big"), filepath.Join(top, "other/third name")))
	for i, dir := range slices.Backward(dirs) {
		must(os.Chown(dir, owners[i%len(owners)], owners[i%len(owners)]))
		must(os.Chmod(dir, []fs.FileMode{0o755, 0o700, 0o770 | fs.ModeSetgid}[i%3]))
		must(os.Chtimes(dir, at, at.Add(time.Duration(i)*time.Minute)))
	}
}

// sameLocally compares two trees: attributes, content, links and holes.
func sameLocally(t *testing.T, from, to string) {
	t.Helper()
	first := map[uint64]string{} // the copy of each inode
	things := 0
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		things++
		relative, _ := filepath.Rel(from, path)
		other := filepath.Join(to, relative)
		var a, b syscall.Stat_t
		if err := errors.Join(syscall.Lstat(path, &a), syscall.Lstat(other, &b)); err != nil {
			return fmt.Errorf("%q: %w", relative, err)
		}
		if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || !d.IsDir() && (a.Size != b.Size || a.Nlink != b.Nlink) {
			t.Errorf("%q: mode %o, owner %d:%d, %d bytes, %d names; the copy: %o, %d:%d, %d, %d", relative,
				a.Mode, a.Uid, a.Gid, a.Size, a.Nlink, b.Mode, b.Uid, b.Gid, b.Size, b.Nlink)
		}
		if a.Mtim != b.Mtim && d.Type() != fs.ModeSymlink { // ganesha does not keep those of links
			t.Errorf("%q: changed at %v, the copy at %v", relative, a.Mtim, b.Mtim)
		}
		if err := sameHoles(path, other, d.Type()); err != nil {
			t.Error(err)
		}
		if twin := first[a.Ino]; twin == "" {
			first[a.Ino] = other
		} else if !sameFile(twin, other) {
			t.Errorf("%q is no link to %q", other, twin)
		}
		return sameContent(path, other, d.Type())
	})
	if err != nil {
		t.Error(err)
	}
	copied := 0
	err = filepath.WalkDir(to, func(string, fs.DirEntry, error) error { copied++; return nil })
	if err != nil || copied != things {
		t.Errorf("%d things, %d copied, %v", things, copied, err)
	}
}

func sameFile(a, b string) bool {
	infoA, errA := os.Lstat(a)
	infoB, errB := os.Lstat(b)
	return errors.Join(errA, errB) == nil && os.SameFile(infoA, infoB)
}

// sameHoles says what a copy stores in place of the holes of a regular file. Blocks would not tell: XFS allocates twice what is
// written, and counts fewer for a moment while it writes back.
func sameHoles(from, to string, typ fs.FileMode) error {
	if typ != 0 {
		return nil
	}
	a, errA := stored(from)
	b, errB := stored(to)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if b > a+32<<10 {
		return fmt.Errorf("%q stores %d bytes, its copy %d", from, a, b)
	}
	return nil
}

// stored returns how many bytes of a regular file lie outside its holes.
func stored(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var bytes, end int64
	for {
		begin, err := f.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // no data from there on
			return bytes, nil
		} else if err != nil {
			return 0, err
		}
		if end, err = f.Seek(begin, unix.SEEK_HOLE); err != nil {
			return 0, err
		}
		bytes += end - begin
	}
}

func sameContent(from, to string, typ fs.FileMode) error {
	switch typ {
	case 0:
		a, errA := os.ReadFile(from)
		b, errB := os.ReadFile(to)
		if err := errors.Join(errA, errB); err != nil || !bytes.Equal(a, b) {
			return fmt.Errorf("%q: %d bytes, %q has other %d: %w", from, len(a), to, len(b), err)
		}
	case fs.ModeSymlink:
		a, errA := os.Readlink(from)
		b, errB := os.Readlink(to)
		if err := errors.Join(errA, errB); err != nil || a != b {
			return fmt.Errorf("%q holds %q, %q: %w", from, a, b, err)
		}
	}
	return nil
}

// copyLocally copies a tree of the export that c names, which is the local directory dir.
func copyLocally(t *testing.T, c nfs.Config, dir string, owners []int) {
	t.Helper()
	f := open(t, c)
	name := fmt.Sprintf("copy-%v-%d", f.Version(), len(owners))
	from, to := filepath.Join(dir, name), filepath.Join(dir, name+"-to")
	plantLocally(t, from, owners)
	ctx, cancel := context.WithTimeout(t.Context(), faultTimeout)
	defer cancel()
	if err := f.CopyTree(ctx, name, name+"-to", nil); err != nil {
		t.Fatal(err)
	}
	sameLocally(t, from, to)
	for _, name := range []string{name, name + "-to"} {
		if err := f.RemoveAll(ctx, name, nil); err != nil {
			t.Error(err)
		}
	}
}

// copyCut copies a tree over connections that break all the time.
func copyCut(t *testing.T, c nfs.Config, dir string) {
	t.Helper()
	before := len(clientGoroutines())
	defer waitForGoroutines(t, before)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	flaky := &nfsserver.Flaky{Dial: c.Dial, Mean: 8 << 20, // in less, what is under way may never get through
		Orderly: c.Versions[0] <= nfs.V40}
	flaky.Calm()
	c.Dial = flaky.Connect
	ctx, cancel := context.WithTimeout(t.Context(), faultTimeout)
	defer cancel()
	f, err := nfs.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := fmt.Sprintf("cut-copy-%v", f.Version())
	plantLocally(t, filepath.Join(dir, name), []int{0, 1000})
	flaky.Rage()
	for i := range 2 {
		to := fmt.Sprint(name, i)
		if err := f.CopyTree(ctx, name, to, nil); err != nil {
			t.Fatal(err)
		}
		sameLocally(t, filepath.Join(dir, name), filepath.Join(dir, to))
	}
	flaky.Calm()
	if flaky.Cuts() < 2 {
		t.Errorf("only %d connections were cut: that shows little", flaky.Cuts())
	}
	for _, name := range []string{name, name + "0", name + "1"} {
		if err := f.RemoveAll(ctx, name, nil); err != nil {
			t.Error(err)
		}
	}
}
