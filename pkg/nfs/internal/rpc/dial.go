package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
	"time"
)

// ErrUnreachable is matched when no connection could be made, or a lost one not made again in time.
var ErrUnreachable = errors.New("server is not reachable")

// Source ports that servers take for a sign of root; below 600 too many well-known services live.
const (
	lowestReserved, highestReserved = 600, 1023
	reservedTries                   = highestReserved - lowestReserved + 1
)

// Dialer makes connections to one server.
type Dialer struct {
	Host    string        // name or address, IPv6 without brackets
	Port    int           // TCP
	Timeout time.Duration // of one attempt, name look-up included
	// Dial replaces the network, in tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// WithPort is the same server on another port.
func (d *Dialer) WithPort(port int) *Dialer {
	other := *d
	other.Port = port
	return &other
}

// Connect makes one connection, from a reserved source port where this process may use one.
func (d *Dialer) Connect(ctx context.Context) (net.Conn, error) {
	attempt, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	address := net.JoinHostPort(d.Host, strconv.Itoa(d.Port))
	nc, err := d.dial(attempt, address)
	if err == nil {
		return nc, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: connecting to %s: %w", ErrUnreachable, address, ctx.Err())
	}
	return nil, fmt.Errorf("%w: connecting to %s: %w%s", ErrUnreachable, address, err, advice(err, d.Timeout))
}

func (d *Dialer) dial(ctx context.Context, address string) (net.Conn, error) {
	if d.Dial != nil {
		return d.Dial(ctx, "tcp", address)
	}
	port := lowestReserved + rand.IntN(highestReserved-lowestReserved+1)
	for range reservedTries {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{Port: port}}
		nc, err := dialer.DialContext(ctx, "tcp", address)
		switch {
		case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
		case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		default:
			return nc, err
		}
		if port++; port > highestReserved {
			port = lowestReserved
		}
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// advice is what a person can do about a failed connection.
func advice(err error, timeout time.Duration) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return " (check the server's name and this machine's DNS)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return " (nothing listens there: is the NFS server running, and is the port right?)"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return fmt.Sprintf(" (no answer within %v: check the address, the network and firewalls)", timeout)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return " (no route: check the address and the network)"
	}
	return ""
}
