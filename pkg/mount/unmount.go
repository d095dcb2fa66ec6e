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

// How long the two ways to unmount may take.
const (
	politeTimeout = 5 * time.Second // ends the session with the server
	detachTimeout = 3 * time.Second // needs no answer of the server
)

// Unmount takes away whatever is mounted at target and removes the directory. Nothing mounted and no directory there are no
// errors. It never looks into target and ends, whatever the server does, within about 10 seconds for each mount there.
// [volume.ErrBusy]: another operation works on target. A directory that has files of its own is kept, with an error.
func (m *Mounter) Unmount(ctx context.Context, target string) error {
	target, err := resolveTarget(target, m.below)
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
	m.led.Delete(target)
	return removeTarget(target)
}

// detachAll unmounts until nothing is mounted at target.
func (m *Mounter) detachAll(ctx context.Context, target string) error {
	for range maxStack {
		mounts, err := mountsAt(target)
		if err != nil || len(mounts) == 0 {
			return err
		}
		if err := m.detachTop(ctx, mounts[len(mounts)-1], target, len(mounts)); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: more than %d mounts on %s, or they come back", volume.ErrBusy, maxStack, target)
}

// detachTop takes the topmost mount away: politely, else by MNT_DETACH, which takes it out of the tree at once and leaves the
// rest to the kernel, until the last program lets go of it and the server is back. MNT_FORCE is not used: it fails whatever
// is under way in the superblock, which other volumes of the export share, and loses data that was not yet written back.
func (m *Mounter) detachTop(ctx context.Context, top *mountinfo.Info, target string, before int) error {
	var tried error
	for _, way := range m.waysToDetach(top) {
		err := m.detachBy(ctx, serverOf(top.Source), target, way.flags, way.timeout)
		after, tableErr := mountsAt(target)
		if tableErr != nil {
			return tableErr
		}
		if len(after) < before {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("unmounting %s: %w", target, context.Cause(ctx))
		}
		m.log.InfoContext(ctx, "A mount resists", "target", target, "way", way.name, "err", err)
		tried = errors.Join(tried, fmt.Errorf("%s: %w", way.name, err))
	}
	return fmt.Errorf("unmounting %s: %w", target, tried)
}

// wayToDetach is a call of umount2(2) and the time that it gets.
type wayToDetach struct {
	name    string
	flags   int
	timeout time.Duration
}

// waysToDetach are the ways to try, in order. A mount that has not answered a question is not asked to be polite: a helper
// would hang in that, for each dead mount of the node.
func (m *Mounter) waysToDetach(top *mountinfo.Info) []wayToDetach {
	ways := []wayToDetach{{"unmounting", 0, politeTimeout}, {"detaching", unix.MNT_DETACH, detachTimeout}}
	if m.flights.silent(top.ID) {
		return ways[1:]
	}
	return ways
}

func (m *Mounter) detachBy(ctx context.Context, server, target string, flags int, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return m.helpers.run(ctx, request{Operation: operationUnmount, Target: target, Flags: flags, server: server})
}
