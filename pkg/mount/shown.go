package mount

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// isMountOf: top, mounted at target, came of mounting s there, whatever the kernel's table calls it.
func (m *Mounter) isMountOf(ctx context.Context, s Source, o options, target string, top *mountinfo.Info) (bool, error) {
	at := s.addressIn(top)
	switch {
	case !isNFS(top):
		return false, nil
	case top.Source == s.String() || m.ledThere(target, s, top):
		return true, nil
	case at == "":
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	addresses, err := resolve(ctx, s.Server, o)
	return slices.Contains(addresses, at), err
}

// nameTimeout is long for a resolver, which is asked in [Mounter.isMountOf] before anything else is.
const nameTimeout = 2 * time.Second

// addressIn is the address of the server in m, a mount of s's path under any name of a server; "" for one of another path. Mounts of
// one export share a superblock, and the kernel's table shows them all by the name that it was mounted by first.
func (s Source) addressIn(m *mountinfo.Info) string {
	if m.Source != serverOf(m.Source)+":"+s.Path {
		return ""
	}
	return optionOf(m.VFSOptions, "addr")
}

// optionOf is the value of an option in a list such as the kernel's table of mounts has.
func optionOf(list, key string) string {
	for item := range strings.SplitSeq(list, ",") {
		if k, v, _ := strings.Cut(item, "="); k == key {
			return v
		}
	}
	return ""
}

// ledTo is a source and the one that the kernel's table shows in its place: symbolic links on the server are followed by NFSv4
// mounts, and the table shows where they got to; and it shows a server by the name that came first (see [Source.addressIn]).
type ledTo struct{ asked, shown string }

// ledThere: what is mounted at target came of mounting s there. A Mounter knows that of its own mounts only.
func (m *Mounter) ledThere(target string, s Source, top *mountinfo.Info) bool {
	led, ok := m.led.Load(target)
	return ok && led == ledTo{s.String(), top.Source}
}

// arrived looks whether the server led the mount at target elsewhere, which a literal source does not allow. Another name of the
// server alone is no link's doing.
func (m *Mounter) arrived(s Source, target string, attempts []attempt) error {
	mounts, err := mountsAt(target)
	if err != nil || len(mounts) == 0 {
		return errors.Join(err, fmt.Errorf("%w: %s was unmounted at once", volume.ErrBusy, target))
	}
	top := mounts[len(mounts)-1]
	renamed := slices.ContainsFunc(attempts, func(a attempt) bool { return a.Address == s.addressIn(top) })
	switch {
	case top.Source == s.String():
		m.led.Delete(target)
	case s.Literal && !renamed:
		return fmt.Errorf("%w: a symbolic link on the server leads from %s to %s: name the directory itself", volume.ErrInvalid, s, top.Source)
	default:
		m.led.Store(target, ledTo{s.String(), top.Source})
	}
	return nil
}
