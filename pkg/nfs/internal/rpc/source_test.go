package rpc

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSourcePorts runs as root, whom any port is allowed.
func TestSourcePorts(t *testing.T) {
	for source, low := range map[SourcePorts]bool{LowIfAllowed: true, LowOnly: true, AnyPort: false} {
		d := serve(t, func([]byte) ([]byte, error) { return nil, nil })
		d.Source, d.Memory = source, new(Memory)
		for range 3 {
			nc, err := d.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			port := nc.LocalAddr().(*net.TCPAddr).Port
			if got := port >= lowest && port <= highest; got != low || d.Memory.SourcePort() != port {
				t.Errorf("kind %d: port %d, remembered as %d", source, port, d.Memory.SourcePort())
			}
		}
	}
}

// TestSourcePortForbidden does without the right to low ports.
func TestSourcePortForbidden(t *testing.T) {
	withoutLowPorts(t, func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
			return
		}
		defer l.Close()
		for source, want := range map[SourcePorts]error{LowIfAllowed: nil, LowOnly: ErrSourcePort, AnyPort: nil} {
			nc, err := (&Dialer{Source: source}).dial(t.Context(), l.Addr().String()) // Connect would use other threads
			if !errors.Is(err, want) || want != nil && !strings.Contains(err.Error(), "ip_unprivileged_port_start") {
				t.Errorf("kind %d: %v, want %v", source, err, want)
			}
			if err == nil {
				nc.Close()
			}
		}
	})
}

// withoutLowPorts runs f on a thread that is thrown away.
func withoutLowPorts(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Errorf("dropping capabilities: %v", err)
			return
		}
		f()
	}()
	<-done
}
