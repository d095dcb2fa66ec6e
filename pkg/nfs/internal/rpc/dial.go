package rpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// ErrUnreachable is matched when no connection could be made, or a lost one not made again in time.
var ErrUnreachable = errors.New("server is not reachable")

// Dialer makes connections to one server.
type Dialer struct {
	Host    string        // name or address, IPv6 without brackets
	Address string        // called instead of those of Host, to which certificates and errors belong all the same; "": those of Host
	Port    int           // TCP
	Timeout time.Duration // of one Connect: name look-up, all addresses and TLS
	Network string        // "tcp4" or "tcp6" for addresses of one kind only; "": both
	Source  SourcePorts

	// TLS returns the settings of the next connection; nil: connections are in the clear. It is asked each time, so that
	// certificates can be replaced while the program runs.
	TLS              func() (*tls.Config, error)
	Program, Version uint32 // asked whether it has TLS

	headStart time.Duration // in tests, instead of the usual

	// Memory is what connections teach about the server's addresses. Dialers of one server share it; nil: nothing is learnt.
	Memory *Memory

	// Dial and Lookup replace the network, in tests.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// To is a dialer of another service of the same server.
func (d *Dialer) To(port int, program, version uint32) *Dialer {
	other := *d
	other.Port, other.Program, other.Version = port, program, version
	return &other
}

// Connect makes one connection, protected by TLS if that is set, to the first of the server's addresses that answers.
func (d *Dialer) Connect(ctx context.Context) (net.Conn, error) {
	attempt, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	nc, err := d.connect(attempt)
	if err == nil {
		return nc, nil
	}
	target := net.JoinHostPort(d.Host, strconv.Itoa(d.Port))
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: connecting to %s: %w", ErrUnreachable, target, ctx.Err())
	}
	if answered(err) {
		return nil, fmt.Errorf("connecting to %s: %w", target, err)
	}
	return nil, fmt.Errorf("%w: connecting to %s: %w%s", ErrUnreachable, target, err, advice(err, d.Timeout))
}

func (d *Dialer) connect(ctx context.Context) (net.Conn, error) {
	addresses, err := d.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	nc, winner, err := race(ctx, addresses, cmp.Or(d.headStart, headStart), d.connectTo)
	if err != nil {
		return nil, err
	}
	d.Memory.worked(winner, nc.LocalAddr())
	return nc, nil
}

// connectTo makes a connection to one address.
func (d *Dialer) connectTo(ctx context.Context, address netip.Addr) (net.Conn, error) {
	nc, err := d.dial(ctx, netip.AddrPortFrom(address, uint16(d.Port)).String())
	if err != nil || d.TLS == nil {
		return nc, withoutSource(err)
	}
	secure, err := d.startTLS(ctx, nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("%v: %w", address, err)
	}
	return secure, nil
}

// withoutSource is an error of the network without our own port in it, which is another one each time: Events that say the same are to be
// counted, not listed.
func withoutSource(err error) error {
	op, ok := err.(*net.OpError) //nolint:errorlint // one that is inside another cannot be changed
	if !ok {
		return err
	}
	plain := *op
	plain.Source = nil
	return &plain
}

// answered tells errors of a server, or of our own settings, from those of the way to it.
func answered(err error) bool {
	var refused *RefusedError
	return errors.Is(err, ErrTLS) || errors.Is(err, ErrSourcePort) || errors.As(err, &refused)
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
