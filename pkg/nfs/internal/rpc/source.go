package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"
)

// SourcePorts are the ports of this machine to call from. Servers take a port below 1024 for a sign that root is calling,
// and most exports admit no other.
type SourcePorts int

const (
	LowIfAllowed SourcePorts = iota // below 1024 where this process may have one, else any
	LowOnly                         // below 1024
	AnyPort
)

// ErrSourcePort is matched when LowOnly was asked for and this process may not have such a port.
var ErrSourcePort = errors.New("source ports below 1024 are not allowed to this process")

// The low ports to use; below 600 too many well-known services live.
const lowest, highest = 600, 1023

// Keep-alive probes find, while nothing else is sent, that the peer has gone, after a minute and a half, and keep
// firewalls and address translation on the way from forgetting the connection.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 6}

// dial connects from a source port of the wanted kind.
func (d *Dialer) dial(ctx context.Context, address string) (net.Conn, error) {
	network := d.Network
	if network == "" {
		network = "tcp"
	}
	if d.Dial != nil {
		return d.Dial(ctx, network, address)
	}
	if d.Source != AnyPort {
		nc, err := dialLow(ctx, network, address)
		if d.Source == LowOnly || !errors.Is(err, ErrSourcePort) && !isTaken(err) {
			return nc, err
		}
	}
	return (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext(ctx, network, address)
}

// dialLow starts anywhere in the range, because a port that was just given back stays taken for a minute, and goes on to
// the next port while one is taken. A port that is not allowed excludes those below it.
func dialLow(ctx context.Context, network, address string) (net.Conn, error) {
	from := lowest
	port := from + rand.IntN(highest-from+1)
	var err error
	for range highest - lowest + 1 {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{Port: port}, KeepAliveConfig: keepAlive}
		var nc net.Conn
		nc, err = dialer.DialContext(ctx, network, address)
		switch {
		case isTaken(err):
			port++
		case isForbidden(err):
			if from = port + 1; from > highest {
				return nil, fmt.Errorf("%w (allow them with the sysctl net.ipv4.ip_unprivileged_port_start=512, as the chart does for the "+
					"controller, or do not ask for resvport): %w", ErrSourcePort, err)
			}
			port = from + rand.IntN(highest-from+1)
		default:
			return nc, err
		}
		if port > highest {
			port = from
		}
	}
	return nil, fmt.Errorf("all source ports from %d to %d: %w", from, highest, err)
}

func isTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// isForbidden tells a port that may not be had from a connection that may not be made.
func isForbidden(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "bind" && (errors.Is(call, syscall.EACCES) || errors.Is(call, syscall.EPERM))
}
