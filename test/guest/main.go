// Guest runs one program as root under a Linux kernel of its own, which has the NFS client and server that the machine's
// kernel may lack. The kernel is user-mode-linux: an ordinary process that needs no virtualisation. See README.md.
//
// The same binary plays three parts: the runner that the user starts, the sandbox that shows user-mode-linux the host's
// files read-only, and init (process 1) of the guest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Exit codes of the runner's own failures; everything else is the program's.
const (
	exitTimeout = 124
	exitGuest   = 125 // the guest did not boot, panicked or ended without a result
	exitUsage   = 126
)

func main() {
	switch {
	case os.Getpid() == 1 && os.Getenv(specVariable) != "":
		runInit(os.Getenv(specVariable))
	case len(os.Args) > 2 && os.Args[1] == sandboxCommand:
		if err := enterSandbox(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, "guest: sandbox:", err)
			os.Exit(exitGuest)
		}
	default:
		os.Exit(runHost())
	}
}

func runHost() int {
	o, err := parseFlags(os.Args[1:])
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "guest:", err)
		}
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	}
	return code
}

// options are what the command line asks for.
type options struct {
	nfsd    bool
	verbose bool
	memory  string
	timeout time.Duration
	out     string
	command []string
}

func parseFlags(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("test/guest/run", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage: test/guest/run [flags] PROGRAM [ARGUMENTS]")
		f.PrintDefaults()
	}
	f.BoolVar(&o.nfsd, "nfsd", false, "start the kernel's NFS server in the guest, with the exports of README.md")
	f.BoolVar(&o.verbose, "console", false, "show the kernel's console on standard error")
	f.StringVar(&o.memory, "memory", "1G", "memory of the guest")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "time the program may take; past it the exit code is 124")
	f.StringVar(&o.out, "out", "", "host directory that the program finds as $GUEST_OUT and may write to (default: none is kept)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.command = f.Args()
	if len(o.command) == 0 {
		f.Usage()
		return o, errors.New("no program given")
	}
	return o, nil
}
