package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// await polls until what is true, for long enough on any machine.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// machine is a server with several addresses, each of which can be well, refuse, or swallow what it is sent.
type machine struct {
	real    *Dialer
	mu      sync.Mutex
	health  map[string]error // by address: nil, an error of connect(2), or errSwallows
	dialled []string
}

var errSwallows = errors.New("swallows")

// named makes a dialer to a name with the addresses, in this order.
func named(t *testing.T, addresses ...string) (*machine, *Dialer) {
	t.Helper()
	m := &machine{real: serve(t, echo)}
	d := m.real.To(m.real.Port, 1, 2)
	d.Host, d.Memory, d.Dial, d.Timeout = "nas.example.com", new(Memory), m.dial, 20*time.Second
	d.Lookup = func(_ context.Context, network, host string) ([]netip.Addr, error) {
		if network != "ip" || host != d.Host {
			return nil, &net.DNSError{Err: "no such host", Name: host}
		}
		var found []netip.Addr
		for _, a := range addresses {
			found = append(found, netip.MustParseAddr(a))
		}
		return found, nil
	}
	return m, d
}

func (m *machine) set(health map[string]error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.health = health
}

// took returns the addresses that were tried since the last time.
func (m *machine) took() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() { m.dialled = nil }()
	return strings.Join(m.dialled, " ")
}

func (m *machine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	m.mu.Lock()
	m.dialled = append(m.dialled, host)
	health := m.health[host]
	m.mu.Unlock()
	switch {
	case errors.Is(health, errSwallows):
		<-ctx.Done()
		return nil, ctx.Err()
	case health != nil:
		return nil, &net.OpError{Op: "dial", Err: health}
	}
	real, err := m.real.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &located{real, host}, nil
}

// located is a connection that knows which address it was made to.
type located struct {
	net.Conn
	host string
}

func TestAddresses(t *testing.T) {
	const first, second, third = "192.0.2.1", "2001:db8::2", "192.0.2.3"
	const never, soon = time.Hour, 20 * time.Millisecond
	m, d := named(t, first, second, second, "::ffff:192.0.2.3")
	for _, step := range []struct {
		name                string
		first, second, last error // what they do
		headStart           time.Duration
		tried, won          string
	}{
		{"all are well", nil, nil, nil, never, first, first},
		{"the first refuses", syscall.ECONNREFUSED, nil, nil, never, first + " " + second, second},
		{"the one that worked comes first", nil, nil, nil, never, second, second},
		{"it swallows", syscall.ECONNREFUSED, errSwallows, nil, soon, second + " " + first + " " + third, third},
		{"so does the first", errSwallows, errSwallows, syscall.EHOSTUNREACH, soon, third + " " + first + " " + second, ""},
		{"only the last of all is there", syscall.ECONNREFUSED, nil, syscall.EHOSTUNREACH, never, third + " " + first + " " + second, second},
	} {
		m.set(map[string]error{first: step.first, second: step.second, third: step.last})
		d.headStart, d.Timeout = step.headStart, 20*time.Second
		if step.won == "" {
			d.Timeout = time.Second
		}
		nc, err := d.Connect(t.Context())
		won := ""
		if err == nil {
			won = nc.(*located).host
			nc.Close()
		}
		if tried := m.took(); won != step.won || tried != step.tried {
			t.Errorf("%s: %q of %s, want %q of %s: %v", step.name, won, tried, step.won, step.tried, err)
		}
	}
}

// TestAddressesAllGone: the error tells each address's fate, and what to do.
func TestAddressesAllGone(t *testing.T) {
	m, d := named(t, "192.0.2.1", "192.0.2.2")
	m.set(map[string]error{"192.0.2.1": syscall.ECONNREFUSED, "192.0.2.2": errSwallows})
	d.Timeout = time.Second
	_, err := d.Connect(t.Context())
	for _, want := range []error{ErrUnreachable, syscall.ECONNREFUSED, context.DeadlineExceeded} {
		if !errors.Is(err, want) {
			t.Errorf("%v is not %v", err, want)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "nas.example.com:") {
		t.Errorf("the server is not named: %v", err)
	}
}

func TestAddressesByName(t *testing.T) {
	_, d := named(t)
	if _, err := d.Connect(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "DNS") {
		t.Errorf("name without addresses: %v", err)
	}
	d.Network = "tcp6"
	if _, err := d.Connect(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "DNS") {
		t.Errorf("only IPv6: %v", err) // the resolver is asked for "ip6" then, which named does not know
	}
	d.Host = "::ffff:192.0.2.1"
	if found, err := d.Addresses(t.Context()); err == nil {
		t.Errorf("IPv4 for tcp6: %v", found)
	}
	d.Network = "tcp4"
	if found, err := d.Addresses(t.Context()); err != nil || len(found) != 1 || found[0].String() != "192.0.2.1" {
		t.Errorf("literal: %v, %v", found, err)
	}
	d.Host = "2001:db8::1"
	if _, err := d.Connect(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "proto=tcp means IPv4") {
		t.Errorf("IPv6 for tcp4: %v", err)
	}
}

// TestLinkFailsOver: an address that takes connections and hangs up is left for another, and so is one that dies.
func TestLinkFailsOver(t *testing.T) {
	bad := serve(t, func([]byte) ([]byte, error) { return nil, io.EOF })
	m, d := named(t, "192.0.2.1", "192.0.2.2")
	healthy := d.Dial
	d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "192.0.2.1:") {
			m.took()
			return bad.Connect(ctx)
		}
		return healthy(ctx, network, address)
	}
	l, err := NewLink(t.Context(), d, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, _, err := l.Call(t.Context(), request(1)); err != nil {
		t.Fatal(err)
	}
	if m.took() != "192.0.2.2" {
		t.Error("not the other address")
	}
}

// TestRaceWaits: who has lost is closed before race returns, however late it connects.
func TestRaceWaits(t *testing.T) {
	var open atomic.Int32
	connect := func(ctx context.Context, a netip.Addr) (net.Conn, error) {
		if a.IsLoopback() { // connects when it has lost
			<-ctx.Done()
		}
		open.Add(1)
		near, far := net.Pipe()
		far.Close()
		return &counted{near, &open}, nil
	}
	both := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")}
	nc, winner, err := race(t.Context(), both, time.Millisecond, connect)
	if err != nil || winner.IsLoopback() || open.Load() != 1 {
		t.Errorf("%v won, %d are open, %v", winner, open.Load(), err)
	}
	nc.Close()
}

type counted struct {
	net.Conn
	open *atomic.Int32
}

func (c *counted) Close() error {
	c.open.Add(-1)
	return c.Conn.Close()
}

func TestMemory(t *testing.T) {
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	m := new(Memory)
	for _, step := range []struct {
		what func()
		want []netip.Addr
	}{
		{func() {}, []netip.Addr{a, b, c}},
		{func() { m.worked(b, &net.TCPAddr{Port: 700}) }, []netip.Addr{b, a, c}},
		{m.doubt, []netip.Addr{a, c, b}},
		{func() { m.worked(a, nil) }, []netip.Addr{a, c, b}},
		{m.doubt, []netip.Addr{b, c, a}},
		{m.doubt, []netip.Addr{a, b, c}},
	} {
		step.what()
		got := []netip.Addr{a, b, c}
		if m.sort(got); !slices.Equal(got, step.want) {
			t.Errorf("got %v, want %v", got, step.want)
		}
	}
	if m.SourcePort() != 700 {
		t.Errorf("source port %d", m.SourcePort())
	}
	var none *Memory
	none.worked(a, nil)
	none.doubt()
	none.sort([]netip.Addr{a})
	if none.SourcePort() != 0 {
		t.Error("no memory remembers")
	}
}
