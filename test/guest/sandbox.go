package main

import (
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

const sandboxCommand = "sandbox"

// enterSandbox shows this process the host's files read-only, but for the run's own directories, and runs user-mode-linux
// until its end. It is process 1 of its process namespace; the kernel cannot be that itself, because process 1 does not
// die of the signal that a panic sends.
func enterSandbox(specFile string, kernel []string) error {
	var s spec
	if err := readJSON(specFile, &s); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detaching from the host's mounts: %w", err)
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &readOnly); err != nil {
		return fmt.Errorf("making the host's files read-only: %w", err)
	}
	for _, dir := range []string{s.Dir, s.Out} {
		if err := writable(dir); err != nil {
			return err
		}
	}
	// The guest's memory is a file in /dev/shm.
	if err := unix.Mount("tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID, "mode=700"); err != nil {
		return fmt.Errorf("mounting /dev/shm: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	uml := exec.Command(kernel[0], kernel[1:]...)
	uml.Env = []string{"TMPDIR=/dev/shm", "PATH=" + os.Getenv("PATH"), "HOME=/dev/shm"}
	uml.Stdout, uml.Stderr = os.Stdout, os.Stderr
	for i := range 3 { // the consoles keep their descriptors
		uml.ExtraFiles = append(uml.ExtraFiles, os.NewFile(uintptr(3+i), "console"))
	}
	return uml.Run()
}

func writable(dir string) error {
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s: %w", dir, err)
	}
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, dir, 0, &attr); err != nil {
		return fmt.Errorf("making %s writable: %w", dir, err)
	}
	return nil
}
