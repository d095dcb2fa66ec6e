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
	root := commandOf(os.Args[0])
	err := execute(ctx, root, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	var code exitCode
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		fmt.Fprintln(os.Stderr, root.CommandPath()+":", err)
		os.Exit(1)
	}
}
