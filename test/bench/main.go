// Command bench measures the driver in a running cluster and prints a table. It judges nothing: a slow machine is no failure.
//
//	bench socket  -server HOST -share PATH [-metrics URL] -- nfs-csi controller ...   CreateVolume through the controller's socket
//	bench cluster [-class NAME] [-image BENCH-IMAGE]                                  claims, pods, publishing, memory
//	bench publish -socket PATH -pods DIR [-table]                                     what cluster runs in a pod on a node, and run in a guest
//	bench apart SERVER EXPORT                                                         removals on another machine's server, as root on a node
//	bench data                                                                        trees, beside a mount of the kernel's; in a guest (test/guest --nfsd)
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: bench socket|cluster|publish|data|apart [flags]")
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	switch args[0] {
	case "socket":
		return socketCommand(ctx, args[1:])
	case "cluster":
		return clusterCommand(ctx, args[1:])
	case "publish":
		return publishCommand(ctx, args[1:])
	case "data":
		return dataCommand(ctx)
	case "apart":
		if len(args) != 3 {
			return errors.New("apart wants a server and an export")
		}
		return apartCommand(ctx, args[1], args[2])
	}
	return fmt.Errorf("there is no %q: socket, cluster, publish, data or apart", args[0])
}

func socketCommand(ctx context.Context, args []string) error {
	var b socketBench
	f := flag.NewFlagSet("socket", flag.ContinueOnError)
	f.StringVar(&b.server, "server", "", "address of the NFS server")
	f.StringVar(&b.share, "share", "/exports", "export on it")
	f.StringVar(&b.socket, "socket", "", "the controller's socket")
	f.StringVar(&b.metrics, "metrics", "", "URL of the controller's /metrics")
	f.IntVar(&b.cycles, "cycles", 1000, "create/delete cycles for the growth rows")
	if err := f.Parse(args); err != nil {
		return err
	}
	b.command = f.Args()
	if b.server == "" || b.socket == "" || len(b.command) == 0 {
		return errors.New("socket wants -server, -socket and, after --, the command that starts the controller")
	}
	return b.run(ctx, &table{out: os.Stdout})
}
