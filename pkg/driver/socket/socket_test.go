package socket_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/nfs-csi/nfs-csi/pkg/driver/socket"
)

func TestPath(t *testing.T) {
	for endpoint, want := range map[string]string{
		"unix:///csi/csi.sock":                "/csi/csi.sock",
		"unix://tmp/csi.sock":                 "/tmp/csi.sock",
		"unix:/csi/csi.sock":                  "/csi/csi.sock",
		"unix:///a//b/../c.sock":              "/a/c.sock",
		"unix:///" + strings.Repeat("a", 106): "/" + strings.Repeat("a", 106),
		"unix:///" + strings.Repeat("a", 107): "",
		"unix://":                             "",
		"":                                    "",
		"/csi/csi.sock":                       "",
		"http://csi.sock":                     "",
	} {
		got, err := socket.Path(endpoint)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Path(%q) = %q, %v, want %q", endpoint, got, err, want)
		}
	}
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "csi.sock")
	l := listen(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("socket %v, %v", info.Mode(), err)
	}
	if !l.Holds() {
		t.Error("a new listener does not hold its socket")
	}
	if _, err := socket.Listen(t.Context(), "unix://"+path); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("a second listener: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestListenReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "csi.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	l := listen(t, path)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if !l.Holds() {
		t.Error("the listener does not hold its socket")
	}
}

// Only a socket is ever removed.
func TestListenKeepsOtherFiles(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if _, err := socket.Listen(t.Context(), "unix://"+path); err == nil || !strings.Contains(err.Error(), "is in the way") {
			t.Errorf("Listen(%q): %v", path, err)
		}
	}
	if data, err := os.ReadFile(link); err != nil || string(data) != "precious" {
		t.Errorf("the file has %q, %v", data, err)
	}
}

// Closing leaves alone what another process has put in the place of our socket.
func TestCloseKeepsReplacement(t *testing.T) {
	path := filepath.Join(t.TempDir(), "csi.sock")
	old := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if old.Holds() {
		t.Error("the listener holds a socket that is gone")
	}
	replacement := listen(t, path)
	if old.Holds() {
		t.Error("the old listener holds the new one's socket")
	}
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if !replacement.Holds() {
		t.Error("closing the old listener removed the new one's socket")
	}
}

func TestListenLoopback(t *testing.T) {
	l, err := socket.Listen(t.Context(), "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if !l.Holds() {
		t.Error("a TCP listener does not hold")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, endpoint := range []string{"tcp://0.0.0.0:0", "tcp://:0", "tcp://192.0.2.1:1", "tcp://localhost:0", "tcp://"} {
		if _, err := socket.Listen(t.Context(), endpoint); err == nil || !strings.Contains(err.Error(), "only a loopback address") {
			t.Errorf("Listen(%q): %v", endpoint, err)
		}
	}
}

// A call that does not end in its time of grace is cancelled, and Serve waits for it.
func TestServeCancels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "csi.sock")
	l := listen(t, path)
	entered, left := make(chan struct{}), make(chan struct{})
	server := grpc.NewServer(grpc.WaitForHandlers(true), grpc.UnaryInterceptor(
		func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			close(entered)
			<-ctx.Done()
			close(left)
			return nil, ctx.Err()
		}))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- socket.Serve(ctx, l, server, 10*time.Millisecond) }()
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answered := make(chan error, 1)
	go func() {
		_, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		answered <- err
	}()
	<-entered
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	select {
	case <-left:
	default:
		t.Error("Serve returned before the call did")
	}
	if err := <-answered; err == nil {
		t.Error("the cancelled call succeeded")
	}
}

func TestServeFails(t *testing.T) {
	l := listen(t, filepath.Join(t.TempDir(), "csi.sock"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := socket.Serve(t.Context(), l, grpc.NewServer(), time.Second); err == nil {
		t.Error("serving on a closed listener: no error")
	}
}

func listen(t *testing.T, path string) *socket.Listener {
	t.Helper()
	l, err := socket.Listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // a test may have closed it
	return l
}
