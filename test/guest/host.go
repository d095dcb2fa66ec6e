package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// bootAndHalt is the time a guest gets beside the program's own.
const bootAndHalt = 60 * time.Second

// run boots the guest, waits for the program in it and answers its exit code.
func run(ctx context.Context, o options) (int, error) {
	if _, err := bytesOf(o.memory); err != nil {
		return exitUsage, err
	}
	packages, err := findPackages(ctx)
	if err != nil {
		return exitGuest, err
	}
	dir, err := os.MkdirTemp("", "nfs-csi-guest-")
	if err != nil {
		return exitGuest, err
	}
	defer os.RemoveAll(dir)
	s, err := makeSpec(o, packages, dir)
	if err != nil {
		return exitUsage, err
	}
	if err := writeJSON(filepath.Join(dir, "spec"), s); err != nil {
		return exitGuest, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout+bootAndHalt)
	defer cancel()
	console, err := boot(ctx, o, packages, s)
	return judge(ctx, dir, console, err)
}

func makeSpec(o options, packages packages, dir string) (spec, error) {
	program, err := exec.LookPath(o.command[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return spec{}, err
	}
	if program, err = filepath.Abs(program); err != nil {
		return spec{}, err
	}
	workdir, err := os.Getwd()
	if err != nil {
		return spec{}, err
	}
	out := filepath.Join(dir, "out")
	if o.out != "" {
		if out, err = filepath.Abs(o.out); err != nil {
			return spec{}, err
		}
	}
	return spec{
		Packages: packages.root, Modules: packages.modules, Dir: dir, Out: out, Workdir: workdir, Env: os.Environ(),
		Command: append([]string{program}, o.command[1:]...), Timeout: o.timeout, NFSD: o.nfsd,
	}, os.MkdirAll(out, 0o755)
}

// judge turns what the guest left behind into an exit code.
func judge(ctx context.Context, dir string, console []byte, ended error) (int, error) {
	var r result
	switch err := readJSON(filepath.Join(dir, resultFile), &r); {
	case err == nil && r.Failure != "":
		return exitGuest, fmt.Errorf("%s\n%s", r.Failure, lastLines(console))
	case err == nil && r.TimedOut:
		return exitTimeout, errors.New("the program was ended at the timeout")
	case err == nil:
		return r.Code, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exitTimeout, fmt.Errorf("the guest was ended at the timeout\n%s", lastLines(console))
	case ctx.Err() != nil:
		return exitGuest, errors.New("interrupted")
	}
	return exitGuest, fmt.Errorf("the guest ended without a result (%v); its console:\n%s", ended, lastLines(console))
}

func lastLines(console []byte) []byte {
	return console[max(0, len(console)-8<<10):]
}

// boot starts user-mode-linux in its sandbox and waits for its end. It answers what the kernel wrote on its console.
func boot(ctx context.Context, o options, p packages, s spec) (console []byte, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var log bytes.Buffer
	consoleTo := io.Writer(&log)
	if o.verbose {
		consoleTo = io.MultiWriter(&log, os.Stderr)
	}
	lines, collect, err := pipes(os.Stdout, os.Stderr, consoleTo)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{sandboxCommand, filepath.Join(s.Dir, "spec"), p.kernel}, kernelArguments(o, self, s)...)...)
	cmd.ExtraFiles = lines // descriptors 3, 4 and 5
	cmd.Stdout, cmd.Stderr = lines[2], lines[2]
	cmd.SysProcAttr = sandboxAttributes()
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Start()
	for _, f := range lines {
		f.Close()
	}
	if err == nil {
		err = cmd.Wait()
	}
	collect()
	return log.Bytes(), err
}

// kernelArguments ties the guest's consoles to descriptors: 0 is the kernel's own, 1 and 2 the program's output and errors.
func kernelArguments(o options, self string, s spec) []string {
	args := []string{
		"mem=" + o.memory, "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "init=" + self,
		"con=null", "con1=null,fd:3", "con2=null,fd:4", "con0=null,fd:5", "uml_dir=/dev/shm/", "umid=guest",
		"panic=-1", "noreboot", specVariable + "=" + filepath.Join(s.Dir, "spec"),
	}
	if !o.verbose {
		args = append(args, "loglevel=4")
	}
	return args
}

// pipes makes one pipe per destination, each copied by a goroutine; collect waits until all writers are gone.
func pipes(to ...io.Writer) (writers []*os.File, collect func(), err error) {
	var copying sync.WaitGroup
	for _, w := range to {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		writers = append(writers, write)
		copying.Go(func() {
			defer read.Close()
			_, _ = io.Copy(w, read) // a closed standard output ends the copying, not the run
		})
	}
	return writers, copying.Wait, nil
}

// sandboxAttributes give the sandbox its own mounts and processes: when the first process of a process namespace ends, the
// kernel ends all others, so nothing of a guest outlives its run.
func sandboxAttributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true,
	}
	if os.Getuid() != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return a
}
