// Package socket serves gRPC on a unix socket that no other process answers.
package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
)

// maxPath is what fits in a socket address (unix(7), sun_path).
const maxPath = 107

// Path reads the socket's path from an endpoint: unix:///path, and unix://path and unix:path with a "/" put before it, as
// csi-driver-nfs has it.
func Path(endpoint string) (string, error) {
	rest, ok := strings.CutPrefix(endpoint, "unix:")
	path := filepath.Clean("/" + strings.TrimPrefix(rest, "//"))
	switch {
	case !ok:
		return "", fmt.Errorf("endpoint %q is not of the form unix:///path/of.sock", endpoint)
	case path == "/":
		return "", fmt.Errorf("endpoint %q names no socket", endpoint)
	case len(path) > maxPath:
		return "", fmt.Errorf("endpoint %q: a socket's path may have %d bytes, this has %d", endpoint, maxPath, len(path))
	}
	return path, nil
}

// Listener is a socket that this process listens on.
type Listener struct {
	net.Listener
	path string // empty for TCP
	made os.FileInfo
}

// Listen listens at a unix endpoint, or at tcp://ADDRESS:PORT where ADDRESS is a loopback address: who reaches an endpoint
// may do everything. It makes the socket's directory if needed, lets the socket's owner and group connect, and replaces a
// socket that nobody answers.
func Listen(ctx context.Context, endpoint string) (*Listener, error) {
	if address, ok := strings.CutPrefix(endpoint, "tcp://"); ok {
		return listenLoopback(ctx, endpoint, address)
	}
	path, err := Path(endpoint)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("making the directory of socket %s: %w", path, err)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening on socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // Close looks whose socket it is first
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("setting the mode of socket %s: %w", path, err), l.Close())
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("looking at socket %s: %w", path, err), l.Close())
	}
	return &Listener{Listener: l, path: path, made: made}, nil
}

func listenLoopback(ctx context.Context, endpoint, address string) (*Listener, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !a.Addr().IsLoopback() {
		return nil, fmt.Errorf("endpoint %q: only a loopback address such as tcp://127.0.0.1:0 is served, since callers are not asked who they are", endpoint)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", endpoint, err)
	}
	return &Listener{Listener: l}, nil
}

// Holds says whether new callers still reach l: false once the socket has been removed or replaced.
func (l *Listener) Holds() bool {
	if l.path == "" {
		return true
	}
	now, err := os.Lstat(l.path)
	return err == nil && os.SameFile(l.made, now)
}

// Close stops listening and removes the socket, unless another process has put its own there.
func (l *Listener) Close() error {
	var err error
	if l.path != "" && l.Holds() {
		err = os.Remove(l.path)
	}
	return errors.Join(l.Listener.Close(), err)
}

// dialTimeout is long for a socket of this machine: who does not accept in it is not there.
const dialTimeout = time.Second

// removeStale removes the socket that a process which is gone left behind, and nothing else.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking for socket %s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is in the way of the socket and is none: move it away", path)
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close() // nothing was sent
		return fmt.Errorf("another process answers on socket %s: stop it first", path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("asking who answers on socket %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the stale socket %s: %w", path, err)
	}
	return nil
}

// Serve answers calls on l until ctx ends, then waits up to grace for running calls, cancels the rest, and answers nil
// when all are over. l is closed in any case.
func Serve(ctx context.Context, l net.Listener, server *grpc.Server, grace time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		server.Stop()
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		server.GracefulStop()
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-stopped:
	case <-timer.C:
		server.Stop()
		<-stopped
	}
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	}
	return nil
}
