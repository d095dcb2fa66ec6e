package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where the root directory is put together: everything lies in one tmpfs.
const (
	overlayDir = "/run/overlay" // lower: the unpacked packages, then the host's files; upper: this tmpfs
	newRoot    = "/run/root"
)

// modules that the guest loads, with all they depend on.
var modules = []string{"overlay", "loop", "ipv6", "dummy", "veth", "sch_netem", "nfsv3", "nfsv4", "nfsd"}

// makeRoot changes the root directory to a small ext4 file system on which each of the host's top directories is mounted,
// writable, with all changes kept in memory. It must be ext4: the NFS server can make the pseudo file system of NFSv4
// out of a disk's file system, but not of hostfs, tmpfs or overlayfs.
func makeRoot(s spec) error {
	for _, m := range []struct{ kind, dir string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}} { // the kernel mounts /dev
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m.dir, err)
		}
	}
	if err := loadModules(s.Modules, modules); err != nil {
		return err
	}
	if err := mountOverlay(s.Packages); err != nil {
		return err
	}
	if err := mountImage(); err != nil {
		return err
	}
	if err := fillRoot(); err != nil {
		return err
	}
	if err := bindHostDirs(s.Dir, s.Out); err != nil {
		return err
	}
	return changeRoot()
}

func mountOverlay(packages string) error {
	for _, dir := range []string{"upper", "work", "all", "packages"} {
		if err := os.MkdirAll(filepath.Join(overlayDir, dir), 0o755); err != nil {
			return err
		}
	}
	lower := "/"
	if packages != "" { // as a file system of its own, since layers must not contain each other
		lower = overlayDir + "/packages:/"
		if err := unix.Mount("hostfs", overlayDir+"/packages", "hostfs", 0, packages); err != nil {
			return fmt.Errorf("mounting %s: %w", packages, err)
		}
	}
	o := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, overlayDir, overlayDir)
	// Setuid is off because files of the host's root are not root's when the runner is not root.
	if err := unix.Mount("overlay", overlayDir+"/all", "overlay", unix.MS_NOSUID, o); err != nil {
		return fmt.Errorf("mounting the overlay: %w", err)
	}
	return nil
}

// mountImage makes an ext4 file system in a file and mounts it as the new root.
func mountImage() error {
	image := overlayDir + "/upper/root.img" // seen by the program below as /root.img
	if err := makeExt4(image, "/root.img", 32<<20); err != nil {
		return err
	}
	return mountImageFile(image, newRoot, "ext4")
}

func makeExt4(file, name string, size int64) error {
	if err := makeEmpty(file, size); err != nil {
		return err
	}
	root := overlayDir + "/all"
	if _, err := os.Stat(root); err != nil {
		root = "/" // after the root has changed
	}
	mkfs := exec.Command("/usr/sbin/mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=1", name)
	mkfs.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	mkfs.Dir = "/"
	if out, err := mkfs.CombinedOutput(); err != nil {
		return fmt.Errorf("making an ext4 file system: %w\n%s", err, out)
	}
	return nil
}

// makeEmpty makes a file of that many bytes, none of which take up room.
func makeEmpty(file string, size int64) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

func mountImageFile(image, dir, kind string) error {
	device, err := loopDevice(image)
	if err != nil {
		return fmt.Errorf("making a loop device: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, dir, kind, 0, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", image, err)
	}
	return nil
}

func loopDevice(file string) (string, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("/dev/loop%d", number)
	device, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer device.Close()
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer backing.Close()
	return name, unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_FD, int(backing.Fd()))
}

// ownDirs are top directories of which the guest has its own.
var ownDirs = []string{"proc", "sys", "dev", "run"}

// fillRoot makes every entry of the host's root directory appear in the new one.
func fillRoot() error {
	entries, err := os.ReadDir(overlayDir + "/all")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		from, to := filepath.Join(overlayDir, "all", entry.Name()), filepath.Join(newRoot, entry.Name())
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(from)
			if err == nil {
				err = os.Symlink(target, to)
			}
			if err != nil {
				return err
			}
		case slices.Contains(ownDirs, entry.Name()):
			if err := os.Mkdir(to, 0o755); err != nil {
				return err
			}
		case entry.IsDir():
			if err := bind(from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func bind(from, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s: %w", to, err)
	}
	return nil
}

// bindHostDirs lets the directories of the run reach the host instead of ending in memory.
func bindHostDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := unix.Mount(dir, newRoot+dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("binding %s: %w", dir, err)
		}
	}
	return nil
}

// changeRoot makes newRoot the root directory and lets go of the old one.
func changeRoot() error {
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if err := unix.Mount(dir, newRoot+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("moving %s: %w", dir, err)
		}
	}
	for dir, options := range map[string]string{"/run": "mode=755", "/dev/shm": "mode=1777", "/var/tmp": "mode=1777"} {
		if err := os.MkdirAll(newRoot+dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", newRoot+dir, "tmpfs", 0, options); err != nil {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	old := newRoot + "/run/old"
	for _, dir := range []string{old, newRoot + "/run/tmp", newRoot + "/run/lock", newRoot + "/dev/pts"} {
		if err := os.MkdirAll(dir, 0o1777); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(newRoot, old); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/run/old", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Mount("devpts", "/dev/pts", "devpts", 0, "ptmxmode=666")
}

// loadModules loads the modules and all they depend on, in order, as modules.dep says.
func loadModules(dir string, names []string) error {
	index, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return err
	}
	needs := map[string][]string{} // file of a module by its name: itself and what must be loaded before it, last first
	for line := range strings.Lines(string(index)) {
		file, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		needs[strings.TrimSuffix(filepath.Base(file), ".ko")] = append([]string{file}, strings.Fields(rest)...)
	}
	for _, name := range names {
		files := needs[name]
		for i := len(files) - 1; i >= 0; i-- {
			if err := loadModule(filepath.Join(dir, files[i])); err != nil {
				return fmt.Errorf("loading module %s for %s: %w", files[i], name, err)
			}
		}
	}
	return nil
}

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}
