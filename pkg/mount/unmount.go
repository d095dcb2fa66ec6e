package mount

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// maxStack bounds how many mounts on one target are taken away in one call.
const maxStack = 64

// The ways to unmount, and what each is given. Forcing and detaching need no answer of the server.
const (
	politeTimeout = 5 * time.Second // writes back what the node still holds
	forceTimeout  = 3 * time.Second
	detachTimeout = 3 * time.Second
)

// Unmount takes away whatever is mounted at target and removes the directory. Nothing mounted and no directory there are no
// errors. It never looks into target and ends, whatever the server does, within about 10 seconds for each mount there.
// [volume.ErrBusy]: another operation works on target. A directory that has files of its own is kept, with an error.
func (m *Mounter) Unmount(ctx context.Context, target string) error {
	target, err := resolveTarget(target)
	if err != nil {
		return err
	}
	release, err := m.claim(target)
	if err != nil {
		return err
	}
	defer release()
	if err := m.detachAll(ctx, target); err != nil {
		return err
	}
	return removeTarget(target)
}

// detachAll unmounts until nothing is mounted at target.
func (m *Mounter) detachAll(ctx context.Context, target string) error {
	for range maxStack {
		mounts, err := mountsAt(target)
		if err != nil || len(mounts) == 0 {
			return err
		}
		if err := m.detachTop(ctx, target, mounts); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: more than %d mounts on %s, or they come back", volume.ErrBusy, maxStack, target)
}

// detachTop takes the topmost mount away, by the first of the ways that does it.
func (m *Mounter) detachTop(ctx context.Context, target string, before []*mountinfo.Info) error {
	var tried error
	for _, way := range []struct {
		name    string
		flags   int
		timeout time.Duration
	}{
		{"unmounting", 0, politeTimeout},
		{"forcing", unix.MNT_FORCE, forceTimeout},
		{"detaching", unix.MNT_DETACH, detachTimeout},
	} {
		if way.flags == unix.MNT_FORCE && (!errors.Is(tried, errKilled) || !mayForce(before[len(before)-1])) {
			continue
		}
		err := m.detachBy(ctx, target, way.flags, way.timeout)
		after, tableErr := mountsAt(target)
		if tableErr != nil {
			return tableErr
		}
		if len(after) < len(before) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("unmounting %s: %w", target, context.Cause(ctx))
		}
		if err != nil {
			m.log.InfoContext(ctx, "A mount resists", "target", target, "way", way.name, "err", err)
			tried = errors.Join(tried, fmt.Errorf("%s: %w", way.name, err))
		}
	}
	return fmt.Errorf("unmounting %s: %w", target, tried)
}

func (m *Mounter) detachBy(ctx context.Context, target string, flags int, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return m.child(ctx, request{Operation: operationUnmount, Target: target, Flags: flags})
}

// mayForce, where unmounting hangs: MNT_FORCE fails all calls that wait for the server below one superblock, with EIO in the programs that made
// them. Other volumes of the same export share the superblock, so it is for a mount that has its own.
func mayForce(top *mountinfo.Info) bool {
	if !isNFS(top) {
		return false
	}
	sharing, err := mountinfo.GetMounts(func(other *mountinfo.Info) (skip, stop bool) {
		return other.ID == top.ID || other.Major != top.Major || other.Minor != top.Minor, false
	})
	return err == nil && len(sharing) == 0
}
