//go:build guest

package sanity_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/mount"
	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// The test binary is also the child that mounts, as cmd/nfs-csi is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "mount-helper" {
		os.Exit(mount.HelperMain(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// real is the driver on the guest's NFS server and its kernel's mounts.
func real(t *testing.T, exportVariable string) under {
	t.Helper()
	l := volume.Location{Server: os.Getenv("NFS_TEST_SERVER"), Share: os.Getenv(exportVariable)}
	if l.Server == "" || l.Share == "" {
		t.Fatalf("NFS_TEST_SERVER or %s is not set: run this with test/guest/run --nfsd", exportVariable)
	}
	log := drivertest.Log(t)
	manager := share.NewManager(share.Config{
		Open: func(ctx context.Context, l volume.Location, options []string) (share.FS, io.Closer, error) {
			f, err := nfs.Open(ctx, nfs.Config{Server: l.Server, Export: l.Share, Versions: versions(options), ActAsOwner: true, Log: log})
			if err != nil {
				return nil, nil, err
			}
			return f, f, nil
		},
		Locations: []volume.Location{l},
		Classify:  classify,
		Log:       log,
	})
	t.Cleanup(func() {
		if err := manager.Close(); err != nil {
			t.Errorf("closing the shares: %v", err)
		}
	})
	mounter := mount.New(mount.Config{Log: log, Preflight: preflight})
	t.Cleanup(mounter.Close)
	return under{store: manager, mounter: mounts{mounter}, share: l}
}

// mounts is a [mount.Mounter] in the driver's words, as in cmd/nfs-csi.
type mounts struct{ *mount.Mounter }

// ByServer is that of driver.Mounter.
func (n mounts) ByServer() (map[string][]string, error) { return mount.ByServer("/") }

// Mount attaches m to target.
func (n mounts) Mount(ctx context.Context, m volume.Mountpoint, readOnly bool, target string) error {
	return n.Mounter.Mount(ctx, mount.Source{Server: m.Server, Path: m.Path, Options: m.Options, ReadOnly: readOnly}, target)
}

func preflight(ctx context.Context, server, path string, options []string) error {
	err := nfs.Probe(ctx, nfs.Config{Server: server, Export: path, Versions: versions(options)})
	if kind := classify(err); kind != nil {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

// versions reads vers= for our own client; nil, all it has, where there is none or one that only the kernel has.
func versions(options []string) []nfs.Version {
	for _, o := range options {
		if name, ok := strings.CutPrefix(o, "vers="); ok {
			if v, err := nfs.ParseVersion(name); err == nil {
				return []nfs.Version{v}
			}
		}
	}
	return nil
}

func classify(err error) error {
	switch {
	case errors.Is(err, nfs.ErrUnreachable), errors.Is(err, nfs.ErrGrace):
		return volume.ErrUnavailable
	case errors.Is(err, nfs.ErrRefused):
		return volume.ErrRefused
	case errors.Is(err, fs.ErrNotExist):
		return volume.ErrNotFound
	}
	return nil
}

// The driver as it is deployed: directories made by our NFS client on the kernel's NFS server, mounted by the kernel.
func TestSanity(t *testing.T) {
	u := real(t, "NFS_TEST_EXPORT_EXT4")
	run(t, u)
	nothingLeft(t, u)
}

// nothingLeft checks that all volumes, snapshots, mounts and directories of a run are gone.
func nothingLeft(t *testing.T, u under) {
	t.Helper()
	if left, _, err := u.store.List(t.Context(), "", 0); err != nil || len(left) > 0 {
		t.Errorf("volumes left: %v, %v", left, err)
	}
	if left, _, err := u.store.ListSnapshots(t.Context(), volume.SnapshotFilter{}, "", 0); err != nil || len(left) > 0 {
		t.Errorf("snapshots left: %v, %v", left, err)
	}
	mounts, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) { return !strings.HasPrefix(i.FSType, "nfs"), false })
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if m.FSType != "nfsd" {
			t.Errorf("mount left: %s at %s", m.Source, m.Mountpoint)
		}
	}
	entries, err := os.ReadDir(u.share.Share) // the server is this machine
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != volume.Reserved && e.Name() != "lost+found" {
			t.Errorf("left on the export: %s", e.Name())
		}
	}
	for _, ours := range []string{"trash", "staging", "snapshots", "volumes"} {
		emptied(t, filepath.Join(u.share.Share, volume.Reserved, ours))
	}
}

// emptied waits until dir is empty or gone.
func emptied(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		left, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not emptied: %v, %v", dir, left, err)
		}
	}
}

// The contracts in the comments of driver.Store and driver.Mounter, which the fakes of the other tests pass too.
func TestContracts(t *testing.T) {
	u := real(t, "NFS_TEST_EXPORT")
	t.Run("store", func(t *testing.T) { drivertest.TestStore(t, u.store, u.share) })
	t.Run("mounter", func(t *testing.T) {
		dirs := [2]volume.Mountpoint{}
		for i := range dirs {
			dirs[i] = volume.Mountpoint{Location: u.share, Path: fmt.Sprintf("%s/contract-%d", u.share.Share, i)}
			if err := os.Mkdir(dirs[i].Path, 0o777); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.Remove(dirs[i].Path); err != nil {
					t.Error(err)
				}
			})
		}
		drivertest.TestMounter(t, u.mounter, dirs[0], dirs[1], filepath.Join(t.TempDir(), "target"))
	})
	nothingLeft(t, u)
}
