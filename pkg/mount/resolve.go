package mount

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	defaultPort = 2049            // of NFS over TCP (RFC 8881, section 2.9.3)
	mapperPort  = 111             // of the port mapper (RFC 1833, section 3)
	dialTimeout = 2 * time.Second // to tell which of several addresses answers
)

// makeAttempts lists the ways to mount s: every version at every address, the addresses that answer first.
func makeAttempts(ctx context.Context, s Source, o options) ([]attempt, error) {
	addresses, err := resolve(ctx, s.Server, o)
	if err != nil {
		return nil, err
	}
	addresses = answeringFirst(ctx, addresses, o)
	var attempts []attempt
	for _, version := range o.versions {
		for _, address := range addresses {
			attempts = append(attempts, attempt{version, address, o.parametersFor(version, address)})
		}
	}
	return attempts, nil
}

// resolve answers the server's addresses, in the order of the resolver, that the mount options allow.
func resolve(ctx context.Context, server string, o options) ([]string, error) {
	if o.address != "" {
		return []string{o.address}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", server)
	if err != nil {
		return nil, fmt.Errorf("%w: the name %q of the server cannot be resolved on this node: check the name and the node's DNS, or use an address (%w)",
			volume.ErrUnavailable, server, err)
	}
	var addresses []string
	for _, a := range found {
		a = a.Unmap()
		if o.allows(a) && !slices.Contains(addresses, a.String()) {
			addresses = append(addresses, a.String())
		}
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%w: server %q has no address that the mount option proto allows (tcp means IPv4, tcp6 IPv6)", volume.ErrInvalid, server)
	}
	return addresses, nil
}

// allows: the protocol in the options can use that address.
func (o options) allows(a netip.Addr) bool {
	return o.network != "tcp4" && o.network != "tcp6" || a.Is4() == (o.network == "tcp4")
}

// answeringFirst moves addresses that accept a connection to the front, since the kernel spends minutes on one that is
// dead. One address alone is not asked.
func answeringFirst(ctx context.Context, addresses []string, o options) []string {
	if len(addresses) < 2 || o.network == "none" {
		return addresses
	}
	answers := make([]bool, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { answers[i] = o.accepts(ctx, address, dialTimeout) })
	}
	asking.Wait()
	var front, back []string
	for i, address := range addresses {
		if answers[i] {
			front = append(front, address)
		} else {
			back = append(back, address)
		}
	}
	return append(front, back...)
}

// accepts: the server takes connections at an address.
func (o options) accepts(ctx context.Context, address string, timeout time.Duration) bool {
	port := cmp.Or(o.port, defaultPort)
	if accepts(ctx, address, port, timeout) {
		return true
	}
	return o.mapped() && accepts(ctx, address, mapperPort, timeout)
}

// mapped: the port of NFS is what the server's port mapper says, as the kernel has it for version 3.
func (o options) mapped() bool { return o.port == 0 && slices.Equal(o.versions, []string{"3"}) }

func accepts(ctx context.Context, address string, port int, timeout time.Duration) bool {
	d := net.Dialer{Timeout: timeout}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return c.Close() == nil
}
