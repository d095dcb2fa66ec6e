package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runInit is process 1 of the guest: it prepares the system, runs the program, leaves the result and halts.
func runInit(specFile string) {
	var s spec
	err := readJSON(specFile, &s)
	if err == nil {
		r := result{Code: exitGuest}
		if env, err := prepare(s); err != nil {
			r.Failure = err.Error()
		} else {
			r = runProgram(s, env)
		}
		err = writeJSON(filepath.Join(s.Dir, resultFile), r)
	}
	if err != nil {
		fmt.Println("guest:", err) // on the kernel's console
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// prepare sets the guest up and answers what the program gets in its environment beside the caller's variables.
func prepare(s spec) ([]string, error) {
	if err := makeRoot(s); err != nil {
		return nil, fmt.Errorf("making the guest's root directory: %w", err)
	}
	if err := startNetwork(); err != nil {
		return nil, fmt.Errorf("starting the network: %w", err)
	}
	env := []string{"TMPDIR=/run/tmp", "GUEST_OUT=" + s.Out}
	if !s.NFSD {
		return env, nil
	}
	exports, err := startServer()
	if err != nil {
		return nil, fmt.Errorf("starting the NFS server: %w", err)
	}
	return append(env, exports...), nil
}

// runProgram runs the program with the consoles 1 and 2 as its output and adopts orphans until it ends.
func runProgram(s spec, env []string) result {
	stdout, err := openConsole("/dev/tty1")
	if err != nil {
		return result{Failure: err.Error()}
	}
	defer drain(stdout)
	stderr, err := openConsole("/dev/tty2")
	if err != nil {
		return result{Failure: err.Error()}
	}
	defer drain(stderr)
	null, err := os.Open("/dev/null")
	if err != nil {
		return result{Failure: err.Error()}
	}
	pid, err := syscall.ForkExec(s.Command[0], s.Command, &syscall.ProcAttr{
		Dir:   s.Workdir,
		Env:   append(s.Env, env...),
		Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return result{Failure: fmt.Sprintf("starting %s: %v", s.Command[0], err)}
	}
	return waitFor(pid, s.Timeout)
}

// waitFor reaps children until the program is among them. At the timeout the program gets SIGQUIT, so that a Go program
// shows its goroutines, and SIGKILL a little later; one that a dead file system holds even then is left behind.
func waitFor(pid int, timeout time.Duration) result {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	var kill, leave <-chan time.Time
	quit := time.After(timeout)
	timedOut := false
	for {
		if status, done := reap(pid); done {
			return result{Code: exitCode(status), TimedOut: timedOut}
		}
		select {
		case <-children:
		case <-quit:
			timedOut, kill = true, time.After(5*time.Second)
			_ = syscall.Kill(-pid, syscall.SIGQUIT)
		case <-kill:
			leave = time.After(5 * time.Second)
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		case <-leave:
			return result{Code: exitTimeout, TimedOut: true}
		}
	}
}

func reap(pid int) (status syscall.WaitStatus, done bool) {
	for {
		child, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil || child == 0:
			return 0, false
		case child == pid:
			return status, true
		}
	}
}

func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// openConsole opens a console that passes bytes on as they are: no carriage returns.
func openConsole(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("reading the mode of %s: %w", name, err)
	}
	t.Oflag &^= unix.OPOST
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("setting the mode of %s: %w", name, err)
	}
	return f, nil
}

// drain waits until the host has all that was written.
func drain(console *os.File) {
	_ = unix.IoctlSetInt(int(console.Fd()), unix.TCSBRK, 1)
}
