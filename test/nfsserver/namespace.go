//go:build linux

package nfsserver

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a thread of this process in a network and mount namespace of its own. What is started or dialled by do
// lives there: only a loopback interface, and an empty /run.
type namespace struct {
	work chan func()
	done chan struct{}
}

func newNamespace() (*namespace, error) {
	n := &namespace{work: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go func() {
		defer close(n.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := enter()
		ready <- err
		if err != nil {
			return
		}
		for f := range n.work {
			f()
		}
	}()
	return n, <-ready
}

// do runs f on the thread inside.
func (n *namespace) do(f func()) {
	finished := make(chan struct{})
	n.work <- func() {
		defer close(finished)
		f()
	}
	<-finished
}

func (n *namespace) close() {
	close(n.work)
	<-n.done
}

func enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a network namespace (needs root): %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	for _, dir := range []string{"/run", "/var/lib/nfs"} { // of rpcbind and of ganesha
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("mounting over %s: %w", dir, err)
		}
	}
	return loopbackUp()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("raising the loopback interface: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("raising the loopback interface: %w", err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("raising the loopback interface: %w", err)
	}
	return nil
}
