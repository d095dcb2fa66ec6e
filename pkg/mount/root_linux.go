package mount

import (
	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// settle makes the directory that is mounted at path what r wants.
func (r request) settle(path string) *failure {
	if r.Root == nil {
		return nil
	}
	return settle(path, *r.Root)
}

// settle makes the directory mounted at target what root says, and asks the server for nothing that is so already: it may be a
// server that would refuse. The owner comes first, since changing it clears setuid and setgid.
func settle(target string, root volume.Root) *failure {
	var now unix.Stat_t
	if err := unix.Stat(target, &now); err != nil {
		return failed(doingRoot, err, nil)
	}
	if root.UID >= 0 && uint32(root.UID) != now.Uid || root.GID >= 0 && uint32(root.GID) != now.Gid {
		if err := unix.Chown(target, root.UID, root.GID); err != nil {
			return failed(doingRoot, err, nil)
		}
		if err := unix.Stat(target, &now); err != nil {
			return failed(doingRoot, err, nil)
		}
	}
	if mode := volume.UnixMode(root.Mode); mode != 0 && mode != now.Mode&0o7777 {
		if err := unix.Chmod(target, mode); err != nil {
			return failed(doingRoot, err, nil)
		}
	}
	return nil
}
