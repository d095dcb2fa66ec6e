package drivertest

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/socket"
)

// Serve serves s on a unix socket until the test ends and connects to it.
func Serve(t testing.TB, s driver.Services, c driver.Calls) *grpc.ClientConn {
	t.Helper()
	endpoint := "unix://" + filepath.Join(t.TempDir(), "csi.sock")
	Start(t, endpoint, s, c)
	return Dial(t, endpoint)
}

// Start serves s at endpoint until the test ends; calls may come as soon as it returns.
func Start(t testing.TB, endpoint string, s driver.Services, c driver.Calls) {
	t.Helper()
	l, err := socket.Listen(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- driver.Serve(ctx, l, s, c) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
}

// Dial connects to endpoint until the test ends.
func Dial(t testing.TB, endpoint string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // it only says that it was closed already
	return conn
}

// Log is a logger whose lines appear with the test's.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
