package rpc

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Memory is what connections teach about a server: which of its addresses works, and which source port reaches it. The
// zero value knows nothing.
type Memory struct {
	mu      sync.Mutex
	works   netip.Addr // connected to last
	doubted netip.Addr // connected, but gave no answers
	source  int
}

func (m *Memory) worked(a netip.Addr, local net.Addr) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.works = a
	if tcp, ok := local.(*net.TCPAddr); ok {
		m.source = tcp.Port
	}
}

// doubt puts the address in use behind all others: it takes connections and does not answer.
func (m *Memory) doubt() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.works, m.doubted = netip.Addr{}, m.works
}

// SourcePort is the port that the last connection was made from, as seen here; 0 before there was one.
func (m *Memory) SourcePort() int {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.source
}

// sort puts the address that works first and the doubted one last, and leaves the others in the resolver's order.
func (m *Memory) sort(addresses []netip.Addr) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	rank := func(a netip.Addr) int {
		switch a {
		case m.works:
			return 0
		case m.doubted:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(addresses, func(a, b netip.Addr) int { return rank(a) - rank(b) })
}

// mostAddresses of one name are tried; a server has a few.
const mostAddresses = 16

// Addresses are those of the host that the network allows, the most promising first.
func (d *Dialer) Addresses(ctx context.Context) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(cmp.Or(d.Address, d.Host)); err == nil {
		if a = a.Unmap(); d.Network == "tcp4" && !a.Is4() || d.Network == "tcp6" && !a.Is6() {
			return nil, fmt.Errorf("%v is no address for %s (proto=tcp means IPv4, tcp6 IPv6)", a, d.Network)
		}
		return []netip.Addr{a}, nil
	}
	network := map[string]string{"tcp4": "ip4", "tcp6": "ip6"}[d.Network]
	if network == "" {
		network = "ip"
	}
	lookup := d.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupNetIP
	}
	found, err := lookup(ctx, network, d.Host)
	if err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil, &net.DNSError{Err: "no suitable address", Name: d.Host, IsNotFound: true}
	}
	d.Memory.sort(addresses)
	return addresses[:min(len(addresses), mostAddresses)], nil
}

// headStart of an address over the next one (the Connection Attempt Delay of RFC 8305 section 5).
const headStart = 250 * time.Millisecond

type attempt struct {
	nc      net.Conn
	address netip.Addr
	err     error
}

// race connects to the addresses in their order. The next one starts when the one before has failed or its head start is
// over; the first connection made is kept, and those of the others are closed before race returns.
func race(ctx context.Context, addresses []netip.Addr, headStart time.Duration, connect func(context.Context, netip.Addr) (net.Conn, error)) (net.Conn, netip.Addr, error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan attempt, len(addresses))
	running, next := 0, 0
	start := func() {
		a := addresses[next]
		running, next = running+1, next+1
		go func() {
			nc, err := connect(ctx, a)
			ended <- attempt{nc, a, err}
		}()
	}
	defer func() {
		cancel()
		for ; running > 0; running-- {
			if late := <-ended; late.err == nil {
				late.nc.Close()
			}
		}
	}()
	timer := time.NewTicker(headStart)
	defer timer.Stop()
	start()
	var failure error
	for {
		select {
		case a := <-ended:
			running--
			if a.err == nil {
				return a.nc, a.address, nil
			}
			if failure = join(failure, a.err); next < len(addresses) {
				timer.Reset(headStart)
				start()
			} else if running == 0 {
				return nil, netip.Addr{}, failure
			}
		case <-timer.C:
			if next < len(addresses) {
				start()
			}
		}
	}
}

// join puts errors on one line.
func join(a, b error) error {
	if a == nil {
		return b
	}
	return fmt.Errorf("%w; %w", a, b)
}
