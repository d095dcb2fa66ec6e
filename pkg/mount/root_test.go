package mount

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestSettle(t *testing.T) {
	for name, c := range map[string]struct {
		root volume.Root
		mode uint32
		uid  uint32
		gid  uint32
	}{
		"nothing":              {volume.Root{UID: -1, GID: -1}, 0o755, 0, 0},
		"mode":                 {volume.Root{Mode: 0o770, UID: -1, GID: -1}, 0o770, 0, 0},
		"owner":                {volume.Root{UID: 1000, GID: -1}, 0o755, 1000, 0},
		"group":                {volume.Root{UID: -1, GID: 2000}, 0o755, 0, 2000},
		"all, setgid survives": {volume.Root{Mode: 0o770 | os.ModeSetgid, UID: 1000, GID: 2000}, 0o2770, 1000, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "mounted")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if f := settle(dir, c.root); f != nil {
					t.Fatal(f)
				}
			}
			var got unix.Stat_t
			if err := unix.Stat(dir, &got); err != nil || got.Mode&0o7777 != c.mode || got.Uid != c.uid || got.Gid != c.gid {
				t.Errorf("it is %04o %d:%d, %v", got.Mode&0o7777, got.Uid, got.Gid, err)
			}
		})
	}
}

// A server that squashes root is asked for nothing that is so already, and what it refuses is said in words.
func TestSettleWhatMayNotBeChanged(t *testing.T) {
	f := settle(filepath.Join(t.TempDir(), "absent"), volume.Root{Mode: 0o777, UID: -1, GID: -1})
	if f == nil || f.Errno != syscall.ENOENT {
		t.Errorf("without the directory: %v", f)
	}
	err := explain(failed(doingRoot, unix.EPERM, nil), Source{Server: "nfs.example", Path: "/e/d"})
	if !errors.Is(err, volume.ErrRefused) || !strings.Contains(err.Error(), "mountPermissions") || !strings.Contains(err.Error(), "/e/d") {
		t.Errorf("it is said as %v", err)
	}
	settled := volume.Root{Mode: 0o755, UID: 0, GID: 0}
	if f := settle("/proc", volume.Root{Mode: 0o555, UID: 0, GID: 0}); f != nil { // nobody may change it
		t.Errorf("/proc, asked for what it is: %v", f)
	}
	if f := settle("/proc/self/fd", settled); f == nil {
		t.Error("what may not be changed was changed")
	}
}
