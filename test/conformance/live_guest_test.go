//go:build guest

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// These tests do to the kernel's server what its administrator may do while it is in use.

// command runs a program of the guest.
func command(t testing.TB, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c, err, out)
	}
}

// carried is what the client logs of a copied tree.
type carried struct{ Cloned, Copied, Carried int64 }

// copied copies a tree and tells which way its content went.
func copied(t *testing.T, c nfs.Config, from, to string) carried {
	t.Helper()
	var log bytes.Buffer
	c.Log = slog.New(slog.NewJSONHandler(&log, nil))
	f := open(t, c)
	if err := f.CopyTree(t.Context(), from, to, nil); err != nil {
		t.Fatal(err)
	}
	var ways carried
	for line := range bytes.Lines(log.Bytes()) {
		if bytes.Contains(line, []byte(`"tree copied"`)) {
			if err := json.Unmarshal(line, &ways); err != nil {
				t.Fatal(err)
			}
		}
	}
	return ways
}

// TestKernelClones looks which way content goes on each kind of file system.
func TestKernelClones(t *testing.T) {
	const small, big, files = 5000, 3 << 20, 8
	all := int64(files*small + big)
	for _, tt := range []struct {
		variable string
		version  nfs.Version
		want     carried
	}{
		{"NFS_TEST_EXPORT_XFS", nfs.V42, carried{Cloned: all}},
		{"NFS_TEST_EXPORT_XFS", nfs.V41, carried{Carried: all}},
		{"NFS_TEST_EXPORT_XFS", nfs.V40, carried{Carried: all}},
		{"NFS_TEST_EXPORT_XFS", nfs.V3, carried{Carried: all}},
		{"NFS_TEST_EXPORT_EXT4", nfs.V42, carried{Copied: big, Carried: files * small}},
		{"NFS_TEST_EXPORT", nfs.V42, carried{Copied: big, Carried: files * small}},
	} {
		t.Run(fmt.Sprintf("%s v%v", tt.variable, tt.version), func(t *testing.T) {
			c := guestExport(t, tt.variable)
			c.Versions = []nfs.Version{tt.version}
			from, to := filepath.Join(c.Export, "clone-from"), filepath.Join(c.Export, "clone-to")
			plantSizes(t, from, files, small, big)
			if got := copied(t, c, "clone-from", "clone-to"); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			sameLocally(t, from, to)
			if err := errors.Join(os.RemoveAll(from), os.RemoveAll(to)); err != nil {
				t.Error(err)
			}
		})
	}
}

// plantSizes makes a directory on the server with an empty file, many small ones and a big one, none of them with holes.
func plantSizes(t *testing.T, dir string, files, small, big int) {
	t.Helper()
	err := os.Mkdir(dir, 0o755)
	for i := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i + 1)}, small), 0o644))
	}
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat([]byte("big "), big/4), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

const endGrace = "/proc/fs/nfsd/v4_end_grace"

// inGrace tells whether the kernel's server is in its grace period.
func inGrace(t *testing.T) bool {
	t.Helper()
	said, err := os.ReadFile(endGrace)
	if err != nil {
		t.Error(err)
	}
	return strings.HasPrefix(string(said), "N")
}

// TestKernelRestart restarts the kernel's server: what must wait for its grace period does, within the caller's time, and
// is then done.
func TestKernelRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), faultTimeout)
	defer cancel()
	opened := map[nfs.Version]*nfs.FS{}
	c := guestExport(t, "NFS_TEST_EXPORT")
	for _, v := range versions {
		c.Versions = []nfs.Version{v}
		opened[v] = open(t, c)
		plantSizes(t, filepath.Join(c.Export, "restart-"+v.String()), 3, 100, 1<<20)
	}
	command(t, "rpc.nfsd", "0")
	command(t, "rpc.nfsd", "--grace-time", "10", "--lease-time", "15", "8")
	if !inGrace(t) {
		t.Error("there is no grace period: that shows little")
	}
	short, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	err := opened[nfs.V42].CreateFile(short, "restarted", nil, 0o600)
	if inGrace(t) && (!errors.Is(err, nfs.ErrGrace) || !errors.Is(err, context.DeadlineExceeded)) {
		t.Errorf("with little time: %v", err)
	}
	var all sync.WaitGroup
	for v, f := range opened {
		all.Go(func() {
			from := "restart-" + v.String()
			err := errors.Join(
				f.Mkdir(ctx, "made-"+from, 0o755, -1, -1), f.CreateFile(ctx, "made-"+from+"/file", []byte("x"), 0o600),
				f.CopyTree(ctx, from, "copy-"+from, nil), f.RemoveAll(ctx, from, nil),
			)
			if err != nil {
				t.Errorf("v%v: %v", v, err)
			}
		})
	}
	all.Wait()
	for v, f := range opened {
		if big, err := os.ReadFile(filepath.Join(c.Export, "copy-restart-"+v.String(), "big")); err != nil || len(big) != 1<<20 {
			t.Errorf("v%v: %d bytes, %v", v, len(big), err)
		}
		if _, err := os.Lstat(filepath.Join(c.Export, "restart-"+v.String())); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("v%v: not removed: %v", v, err)
		}
		for _, name := range []string{"made-restart-" + v.String(), "copy-restart-" + v.String(), "restarted"} {
			if err := f.RemoveAll(ctx, name, nil); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestKernelFullCopy runs out of space in the middle of a copy: the error says so, and once the copy is removed nothing is left.
func TestKernelFullCopy(t *testing.T) {
	c := guestExport(t, "NFS_TEST_EXPORT_SMALL")
	dir := filepath.Join(c.Export, "full")
	plantSizes(t, dir, 30, 16<<10, 64<<10)
	defer os.RemoveAll(dir)
	for _, v := range versions {
		c.Versions = []nfs.Version{v}
		f := open(t, c)
		_, free, _, err := f.Space(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := f.CopyTree(t.Context(), "full", "copy", nil); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("v%v: %v", v, err)
		}
		if err := f.RemoveAll(t.Context(), "copy", nil); err != nil {
			t.Errorf("v%v: %v", v, err)
		}
		now := uint64(0)
		for deadline := time.Now().Add(30 * time.Second); now != free && err == nil && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			_, now, _, err = f.Space(t.Context()) // the server closes a removed file when it gets to it
		}
		if now != free || err != nil {
			t.Errorf("v%v: %d bytes are free, %d before, %v", v, now, free, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 32 {
			t.Errorf("v%v: %d files of the source are left, %v", v, len(entries), err)
		}
	}
}

// mountTmpfs mounts a file system on a new directory and exports it with some options; all is undone in the end.
func mountTmpfs(t *testing.T, dir, client, options string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=755"); err != nil {
		t.Fatal(err)
	}
	exported := client + ":" + dir
	command(t, "exportfs", "-o", options, exported)
	t.Cleanup(func() {
		_ = exec.Command("/usr/sbin/exportfs", "-u", exported).Run() // the test may have done so
		command(t, "exportfs", "-f")
		if err := errors.Join(syscall.Unmount(dir, syscall.MNT_DETACH), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
}

// TestKernelOtherFileSystem: what is mounted below the export is neither removed, nor copied, nor moved.
func TestKernelOtherFileSystem(t *testing.T) {
	c := guestExport(t, "NFS_TEST_EXPORT")
	tree := filepath.Join(c.Export, "crossing")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, filepath.Join(tree, "mnt"), "127.0.0.1", "rw,no_root_squash,insecure,no_subtree_check,nohide,fsid=901")
	kept := filepath.Join(tree, "mnt", "kept")
	if err := os.WriteFile(kept, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		c.Versions = []nfs.Version{v}
		f := open(t, c)
		if data, err := f.ReadFile(t.Context(), "crossing/mnt/kept", 100); err != nil || string(data) != "kept" {
			t.Errorf("v%v does not see it: %q, %v", v, data, err)
		}
		for what, err := range map[string]error{
			"CopyTree":  f.CopyTree(t.Context(), "crossing", "crossing-copy", nil),
			"Rename":    f.Rename(t.Context(), "crossing/mnt/kept", "moved"),
			"RemoveAll": f.RemoveAll(t.Context(), "crossing", nil),
		} {
			if !errors.Is(err, syscall.EXDEV) {
				t.Errorf("v%v %s: %v", v, what, err)
			}
		}
		if _, err := f.Lstat(t.Context(), "crossing-copy/mnt"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("v%v: copied: %v", v, err)
		}
		if err := f.RemoveAll(t.Context(), "crossing-copy", nil); err != nil {
			t.Error(err)
		}
		if data, err := os.ReadFile(kept); err != nil || string(data) != "kept" {
			t.Fatalf("v%v: %q, %v", v, data, err)
		}
	}
	t.Cleanup(func() { os.Remove(tree) }) // when nothing is mounted there any more
}

// TestKernelWithdrawn withdraws an export that is in use, makes it read-only, and shows what is below it: nothing passes for
// removed, the words say what is the matter, and everything goes on when it is back.
func TestKernelWithdrawn(t *testing.T) {
	const dir, options = "/exports/withdrawn", "no_root_squash,insecure,no_subtree_check,fsid=902"
	mountTmpfs(t, dir, "*", "rw,"+options)
	export := func(options string) { t.Helper(); command(t, "exportfs", "-o", options, "*:"+dir) }
	withdraw := func() { t.Helper(); command(t, "exportfs", "-u", "*:"+dir); command(t, "exportfs", "-f") }
	c := nfs.Config{Server: guestExport(t, "NFS_TEST_EXPORT").Server, Export: dir}
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			c.Versions = []nfs.Version{v}
			f := open(t, c)
			file := filepath.Join(dir, "volume", "file")
			if err := errors.Join(f.Mkdir(t.Context(), "volume", 0o755, -1, -1), f.CreateFile(t.Context(), "volume/file", nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			refused := func(when string, want error, text string) {
				t.Helper()
				for what, err := range map[string]error{
					"RemoveAll": f.RemoveAll(t.Context(), "volume", nil),
					"Remove":    f.Remove(t.Context(), "volume/file"),
					"Mkdir":     f.Mkdir(t.Context(), "new", 0o755, -1, -1),
				} {
					if !errors.Is(err, want) || !strings.Contains(err.Error(), text) || errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s: %s: %v", when, what, err)
					}
				}
				if _, err := os.Lstat(file); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
			}
			withdraw()
			refused("withdrawn", nfs.ErrRefused, "export it to this client again")
			if _, err := f.Lstat(t.Context(), "volume"); !errors.Is(err, nfs.ErrRefused) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("withdrawn: Lstat: %v", err)
			}
			export("ro," + options)
			refused("read-only", syscall.EROFS, "read-only")
			export("rw," + options)
			if err := f.RemoveAll(t.Context(), "volume", nil); err != nil {
				t.Errorf("when it is back: %v", err)
			}
			if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("when it is back: %v", err)
			}
		})
	}
}
