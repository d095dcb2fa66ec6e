package mount

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// mountsAt answers what is mounted at target, the lowest first, from the kernel's table: it asks no server.
func mountsAt(target string) ([]*mountinfo.Info, error) {
	mounts, err := mountinfo.GetMounts(mountPoint(target))
	if err != nil {
		return nil, fmt.Errorf("reading the table of mounts: %w", err)
	}
	return mounts, nil
}

// mountPoint lets pass every mount at target: stacked ones have the same mount point.
func mountPoint(target string) mountinfo.FilterFunc {
	return func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != target, false }
}

// isNFS: m is a mount of an NFS export.
func isNFS(m *mountinfo.Info) bool { return m.FSType == "nfs" || m.FSType == "nfs4" }

// serverOf is the server in the source of an NFS mount, server:/path.
func serverOf(source string) string {
	server, _, _ := strings.Cut(source, ":/")
	return server
}

// ByServer lists the mount points of NFS exports below directory, by server, from the kernel's table: it asks no server.
func ByServer(directory string) (map[string][]string, error) {
	resolved, err := filepath.EvalSymlinks(directory)
	if err != nil {
		return nil, fmt.Errorf("following %q: %w", directory, err)
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !isNFS(m) || !strings.HasPrefix(m.Mountpoint, strings.TrimSuffix(resolved, "/")+"/"), false
	})
	if err != nil {
		return nil, fmt.Errorf("reading the table of mounts: %w", err)
	}
	by := map[string][]string{}
	for _, m := range mounts {
		by[serverOf(m.Source)] = append(by[serverOf(m.Source)], m.Mountpoint)
	}
	return by, nil
}

// isReadOnly: nothing can be written through this mount.
func isReadOnly(m *mountinfo.Info) bool { return slices.Contains(strings.Split(m.Options, ","), "ro") }

// resolveTarget makes of a target path the one under which the kernel's table has it: without symbolic links above it. The
// last element itself is never looked at, since a dead server may be mounted there. What does not lie in the directory below,
// once links are followed, is refused; "" is any.
func resolveTarget(target, below string) (string, error) {
	if !filepath.IsAbs(target) || filepath.Clean(target) != target || target == "/" || strings.ContainsRune(target, 0) {
		return "", fmt.Errorf("%w: target path %q must be absolute and clean", volume.ErrInvalid, target)
	}
	if len(target) >= unix.PathMax || slices.ContainsFunc(strings.Split(target, "/"), func(e string) bool { return len(e) > unix.NAME_MAX }) {
		return "", fmt.Errorf("%w: target path of %d bytes is longer than paths can be", volume.ErrInvalid, len(target))
	}
	parent, err := followed(filepath.Dir(target))
	if err != nil {
		return "", err
	}
	resolved := filepath.Join(parent, filepath.Base(target))
	if below == "" {
		return resolved, nil
	}
	if below, err = followed(below); err != nil {
		return "", err
	}
	if !strings.HasPrefix(resolved, strings.TrimSuffix(below, "/")+"/") {
		return "", fmt.Errorf("%w: target path %q is not in kubelet's directory %s: is --kubelet-dir what kubelet has?", volume.ErrInvalid, target, below)
	}
	return resolved, nil
}

// followed is a directory without symbolic links, as far down as it exists.
func followed(directory string) (string, error) {
	found, err := filepath.EvalSymlinks(directory)
	if !os.IsNotExist(err) || directory == "/" {
		if err != nil {
			return "", fmt.Errorf("following %q: %w", directory, err)
		}
		return found, nil
	}
	above, err := followed(filepath.Dir(directory))
	return filepath.Join(above, filepath.Base(directory)), err
}
