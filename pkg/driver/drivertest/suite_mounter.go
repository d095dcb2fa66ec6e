package drivertest

import (
	"errors"
	"slices"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// TestMounter judges an implementation of [driver.Mounter]: one and two are two different mounts that work, target is a
// path where nothing is.
func TestMounter(t *testing.T, m driver.Mounter, one, two volume.Mountpoint, target string) {
	ctx := timeout(t)
	step := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	step("unmounting nothing", m.Unmount(ctx, target), nil)
	_, err := m.Usage(ctx, target)
	step("usage of nothing", err, volume.ErrNotFound)
	step("mounting", m.Mount(ctx, one, false, target), nil)
	step("mounting again", m.Mount(ctx, one, false, target), nil)
	step("mounting read-only over it", m.Mount(ctx, one, true, target), volume.ErrExists)
	step("mounting another over it", m.Mount(ctx, two, false, target), volume.ErrExists)
	usage, err := m.Usage(ctx, target)
	step("usage", err, nil)
	if usage.TotalBytes == 0 || usage.AvailableBytes > usage.TotalBytes || usage.UsedBytes > usage.TotalBytes {
		t.Errorf("usage: %+v", usage)
	}
	by, err := m.ByServer()
	step("listing by server", err, nil)
	if at := by[one.Server]; !slices.Contains(at, target) {
		t.Errorf("mounts by server: %v", by)
	}
	step("unmounting", m.Unmount(ctx, target), nil)
	step("unmounting again", m.Unmount(ctx, target), nil)
	_, err = m.Usage(ctx, target)
	step("usage after unmounting", err, volume.ErrNotFound)
	step("mounting another read-only", m.Mount(ctx, two, true, target), nil)
	step("unmounting that", m.Unmount(ctx, target), nil)
}
