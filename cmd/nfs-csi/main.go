// Command nfs-csi gives pods of Kubernetes their own directories on NFS exports.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	routeLibraryLogs()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	err := execute(ctx, commandOf(os.Args[0]), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		fmt.Fprintln(os.Stderr, "nfs-csi:", err)
		os.Exit(1)
	}
}
