package mount

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fsType serves every version: vers= decides.
const fsType = "nfs"

// attach mounts by the file system context calls (Linux 5.2), which say in words what went wrong, and by mount(2) where
// a kernel or a seccomp filter does not have them, or the source is longer than they take. The mount is placed when its directory
// is as it should be: whoever dies in between leaves nothing that the next try would take for finished.
func attach(r request, a attempt) *failure {
	if len(r.Source) > maxOption {
		return attachClassic(r, a)
	}
	context, err := unix.Fsopen(fsType, unix.FSOPEN_CLOEXEC)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP):
		return attachClassic(r, a)
	case err != nil:
		return failed("opening the NFS client", err, nil)
	}
	defer unix.Close(context)
	if f := configure(context, r.Source, a.Parameters); f != nil {
		return f
	}
	mount, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, int(r.Attributes))
	if err != nil {
		return failed("making the mount", err, messages(context))
	}
	defer unix.Close(mount)
	if f := r.settle(fmt.Sprintf("/proc/self/fd/%d", mount)); f != nil {
		return f
	}
	if err := unix.MoveMount(mount, "", unix.AT_FDCWD, r.Target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return failed("placing the mount", err, nil)
	}
	return nil
}

// configure tells the file system context what to mount and connects to the server.
func configure(context int, source string, parameters []parameter) *failure {
	for _, p := range append([]parameter{{Key: "source", Value: source}}, parameters...) {
		var err error
		if p.Flag {
			err = unix.FsconfigSetFlag(context, p.Key)
		} else {
			err = unix.FsconfigSetString(context, p.Key, p.Value)
		}
		if err != nil {
			f := failed(doingOption, err, messages(context))
			f.Option = p.Key
			return f
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return failed(doingConnect, err, messages(context))
	}
	return nil
}

// messages reads the errors that the kernel noted in a file system context: one read each, "e " before the text.
func messages(context int) (log []string) {
	buffer := make([]byte, 4096)
	for range 16 {
		n, err := unix.Read(context, buffer)
		if err != nil || n <= 0 {
			break
		}
		kind, text, _ := strings.Cut(strings.TrimSpace(string(buffer[:n])), " ")
		if kind == "e" {
			log = append(log, text)
		}
	}
	return log
}

// superblockFlags are options that mount(2) takes as flags and the context calls as parameters.
var superblockFlags = map[string]uintptr{
	"sync": unix.MS_SYNCHRONOUS, "async": 0, "dirsync": unix.MS_DIRSYNC, "lazytime": unix.MS_LAZYTIME, "nolazytime": 0,
	"mand": unix.MS_MANDLOCK, "nomand": 0,
}

// attachClassic mounts by mount(2). Read-only is a second step, as for one mount only: as a flag of the first it would make
// the superblock read-only, which other mounts of the same export may share. The mount is seen before these steps are done: whoever
// dies in between leaves a directory with the owner and mode that it had.
func attachClassic(r request, a attempt) *failure {
	flags := mountFlags(r.Attributes)
	var data []string
	for _, p := range a.Parameters {
		bits, isFlag := superblockFlags[p.Key]
		switch {
		case isFlag && p.Flag:
			flags |= bits
		case strings.Contains(p.Value, ","):
			f := failed(doingOption, unix.EINVAL, []string{"mount(2) takes no comma in it"})
			f.Option = p.Key
			return f
		default:
			data = append(data, p.String())
		}
	}
	joined := strings.Join(data, ",")
	if page := os.Getpagesize(); len(joined) >= page { // the kernel would cut them off there, and say nothing
		return failed(doingConnect, unix.EINVAL, []string{fmt.Sprintf("mount(2) takes options of less than %d bytes together", page)})
	}
	if err := unix.Mount(r.Source, r.Target, fsType, flags&^unix.MS_RDONLY, joined); err != nil {
		return failed(doingConnect, err, nil)
	}
	f := r.settle(r.Target)
	if f == nil && flags&unix.MS_RDONLY != 0 {
		if err := unix.Mount("", r.Target, "", unix.MS_REMOUNT|unix.MS_BIND|mountFlags(r.Attributes), ""); err != nil {
			f = failed("making the mount read-only", err, nil)
		}
	}
	if f == nil {
		return nil
	}
	if err := unix.Unmount(r.Target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		f.Log = append(f.Log, fmt.Sprintf("and it could not be undone: %v", err))
	}
	return f
}

// mountFlags are the MS_* flags that say the same as MOUNT_ATTR_* bits.
func mountFlags(attributes uint64) uintptr {
	var flags uintptr
	for _, pair := range [...]struct {
		attribute uint64
		flag      uintptr
	}{
		{unix.MOUNT_ATTR_RDONLY, unix.MS_RDONLY}, {unix.MOUNT_ATTR_NOSUID, unix.MS_NOSUID},
		{unix.MOUNT_ATTR_NODEV, unix.MS_NODEV}, {unix.MOUNT_ATTR_NOEXEC, unix.MS_NOEXEC},
		{unix.MOUNT_ATTR_NOATIME, unix.MS_NOATIME}, {unix.MOUNT_ATTR_STRICTATIME, unix.MS_STRICTATIME},
		{unix.MOUNT_ATTR_NODIRATIME, unix.MS_NODIRATIME}, {unix.MOUNT_ATTR_NOSYMFOLLOW, unix.MS_NOSYMFOLLOW},
	} {
		if attributes&pair.attribute != 0 {
			flags |= pair.flag
		}
	}
	return flags
}

// busyPatience is how long a mount may be in use before detach gives up: a statfs of ours ends in that time.
const busyPatience = 500 * time.Millisecond

// detach calls umount2(2), which looks up the mount itself and asks the server nothing. Nothing mounted is no failure.
func detach(target string, flags int) *failure {
	for end := time.Now().Add(busyPatience); ; {
		err := unix.Unmount(target, flags|unix.UMOUNT_NOFOLLOW)
		switch {
		case err == nil, errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil
		case !slices.Contains([]error{unix.EBUSY, unix.EAGAIN}, err) || time.Now().After(end):
			return failed("unmounting", err, nil)
		}
		<-time.After(20 * time.Millisecond)
	}
}
