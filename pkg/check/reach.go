package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

const (
	nfsPort    = 2049
	mapperPort = 111
)

// reach finds the server's addresses, and connects to each.
func (c *checker) reach(ctx context.Context) bool {
	addresses, err := nfs.Addresses(ctx, c.NFS)
	if err != nil {
		c.found(Line{Check: "address", Status: Fail, Text: err.Error(), Fix: "check the server's name and this machine's DNS"})
		return false
	}
	if _, err := netip.ParseAddr(c.NFS.Server); err != nil {
		c.found(Line{Check: "address", Status: OK, Text: fmt.Sprintf("%s is %s", c.NFS.Server, join(addresses)), Data: map[string]any{"addresses": addresses}})
	}
	port := c.NFS.Port
	if port == 0 {
		port = nfsPort
	}
	alive := c.connect(ctx, addresses, port)
	mapped := c.askMapper(ctx)
	return alive || mapped
}

// connect tries all addresses at once.
func (c *checker) connect(ctx context.Context, addresses []netip.Addr, port int) (alive bool) {
	took := make([]time.Duration, len(addresses))
	errs := make([]error, len(addresses))
	var wg sync.WaitGroup
	for i, a := range addresses {
		wg.Go(func() { took[i], errs[i] = c.dial(ctx, netip.AddrPortFrom(a, uint16(port))) })
	}
	wg.Wait()
	alive = slices.Contains(errs, nil)
	for i, a := range addresses {
		address := netip.AddrPortFrom(a, uint16(port)).String()
		switch {
		case errs[i] == nil:
			c.found(Line{Check: "reach", Status: OK, Text: fmt.Sprintf("%s takes connections, in %s", address, milliseconds(took[i])),
				Data: map[string]any{"address": address, "seconds": took[i].Seconds()}})
		case alive:
			c.found(Line{Check: "reach", Status: Warn, Text: errs[i].Error(), Fix: "remove the address from DNS, or let the server answer there: clients lose time with it"})
		default:
			c.found(Line{Check: "reach", Status: Fail, Text: errs[i].Error(), Fix: dead(errs[i])})
		}
	}
	return alive
}

// dead is what to do about an address that cannot be connected to.
func dead(err error) string {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) {
		return fixOf(err)
	}
	return "check the address, the network and the firewalls on the way (TCP port 2049)"
}

func (c *checker) dial(ctx context.Context, address netip.AddrPort) (time.Duration, error) {
	dial := c.NFS.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	began := time.Now()
	nc, err := dial(ctx, "tcp", address.String())
	if err == nil {
		return time.Since(began), nc.Close()
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%s does not answer within %v", address, c.Timeout)
	}
	return 0, err
}

// askMapper asks the port mapper what it knows, which only version 3 needs.
func (c *checker) askMapper(ctx context.Context) bool {
	if c.NFS.Port != 0 && (c.NFS.MountPort != 0 || !slices.Contains(c.wanted(), nfs.V3)) {
		return false // nobody asks it
	}
	var err error
	c.services, err = nfs.Services(ctx, c.NFS)
	if err != nil {
		l := Line{Check: "portmap", Status: OK, Text: "no port mapper answers on port 111, which only version 3 asks"}
		if slices.Equal(c.NFS.Versions, []nfs.Version{nfs.V3}) {
			l = Line{Check: "portmap", Status: Warn, Text: "no port mapper answers on port 111: " + err.Error(), Fix: "start rpcbind on the server and open port 111, " +
				"or name the ports: mount options port= and mountport="}
		}
		c.found(l)
		return false
	}
	names := map[uint32]string{nfs.ProgramNFS: "NFS", nfs.ProgramMount: "MOUNT", nfs.ProgramLocks: "NLM"}
	var texts []string
	for _, s := range c.services {
		if name := names[s.Program]; name != "" && s.Protocol == nfs.ProtocolTCP {
			texts = append(texts, fmt.Sprintf("%s %d on %d", name, s.Version, s.Port))
		}
	}
	slices.Sort(texts)
	text := "it knows neither NFS nor MOUNT"
	if len(texts) > 0 {
		text = "it knows " + strings.Join(slices.Compact(texts), ", ")
	}
	c.found(Line{Check: "portmap", Status: OK, Text: fmt.Sprintf("a port mapper answers on port %s: %s", strconv.Itoa(mapperPort), text), Data: map[string]any{"services": texts}})
	return len(texts) > 0
}

// wanted are the versions that the mount options allow.
func (c *checker) wanted() []nfs.Version {
	if len(c.NFS.Versions) > 0 {
		return c.NFS.Versions
	}
	return everyVersion
}

var everyVersion = []nfs.Version{nfs.V42, nfs.V41, nfs.V40, nfs.V3}

func join[T fmt.Stringer](list []T) string {
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = item.String()
	}
	return strings.Join(texts, ", ")
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
}
