//go:build !guest

package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// TestNameless works on an export that makes everybody one user, as NAS boxes do, where no owner is asked for.
func TestNameless(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			c := nfs.Config{Server: g.Host, Export: g.Nameless, Versions: []nfs.Version{v}, ActAsOwner: true, Dial: g.Dial}
			if err := nfs.Probe(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			f, ctx, dir := open(t, c), t.Context(), "volume"+v.String()
			for what, err := range map[string]error{
				"directory": f.Mkdir(ctx, dir, 0o2770, -1, -1),
				"its file":  f.CreateFile(ctx, dir+"/file", []byte("data"), 0o640),
				"its link":  f.Symlink(ctx, "file", dir+"/link"),
				"its mode":  f.Chmod(ctx, dir, 0o777),
				"its owner": f.Chown(ctx, dir, nfsserver.SquashUID, nfsserver.SquashGID), // who it is already
				"its name":  errors.Join(f.Rename(ctx, dir, dir+"-moved"), f.Rename(ctx, dir+"-moved", dir)),
			} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := f.RemoveAll(ctx, dir, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestVolumesWithoutNames keeps volumes there.
func TestVolumesWithoutNames(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	volumesOn(t, nfs.Config{Server: g.Host, Export: g.Nameless, ActAsOwner: true, Dial: g.Dial})
}

// TestFailOver leaves an address that dies for another one of the same name, with the file system open.
func TestFailOver(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			n := &twoHomes{g: g, dead: map[string]bool{"127.0.0.2": true}, conns: map[net.Conn]string{}}
			c := nfs.Config{Server: "nas.example.com", Export: g.Export, Versions: []nfs.Version{v}, Dial: n.dial, Lookup: n.lookup}
			f := open(t, c)
			for i, dies := range []string{"", "127.0.0.3", "127.0.0.2", "127.0.0.3"} {
				n.kill(dies)
				name := fmt.Sprintf("over-%v-%d", v, i)
				if err := f.Mkdir(t.Context(), name, 0o755, -1, -1); err != nil {
					t.Errorf("with %q dead: %v", dies, err)
				}
			}
		})
	}
}

// twoHomes is a server with two addresses, of which one is dead.
type twoHomes struct {
	g     *nfsserver.Ganesha
	mu    sync.Mutex
	dead  map[string]bool
	conns map[net.Conn]string
}

func (n *twoHomes) lookup(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")}, nil
}

func (n *twoHomes) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, _ := net.SplitHostPort(address)
	n.mu.Lock()
	dead := n.dead[host]
	n.mu.Unlock()
	if dead {
		return nil, fmt.Errorf("dialling %s: %w", host, syscall.EHOSTUNREACH)
	}
	nc, err := n.g.Dial(ctx, network, net.JoinHostPort(n.g.Host, port))
	if err == nil {
		n.mu.Lock()
		n.conns[nc] = host
		n.mu.Unlock()
	}
	return nc, err
}

// kill ends an address with all its connections, and brings the others back.
func (n *twoHomes) kill(host string) {
	if host == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.dead)
	n.dead[host] = true
	for nc, at := range n.conns {
		if at == host {
			nc.Close()
		}
	}
}

// TestOneVersionOnly: what a server does not have is passed over, or told.
func TestOneVersionOnly(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	withoutMapper := func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasSuffix(address, ":111") || strings.HasSuffix(address, ":20048") {
			return nil, fmt.Errorf("dialling %s: %w", address, syscall.ECONNREFUSED)
		}
		return g.Dial(ctx, network, address)
	}
	c := nfs.Config{Server: g.Host, Export: g.Export, Dial: withoutMapper} // as a server with version 4 only, but for its NULL
	if v := open(t, c).Version(); v != nfs.V42 {
		t.Errorf("version %v", v)
	}
	c.Versions = []nfs.Version{nfs.V3}
	if err := nfs.Probe(t.Context(), c); err == nil || !strings.Contains(err.Error(), "20048") {
		t.Errorf("version 3 without MOUNT: %v", err)
	}
	old := nfsserver.StartGoNFS(t)
	for _, v := range []nfs.Version{nfs.V40, nfs.V41, nfs.V42} {
		c := nfs.Config{Server: old.Host, Export: "/", Port: old.Port, MountPort: old.Port, Versions: []nfs.Version{v, nfs.V3}}
		if got := open(t, c).Version(); got != nfs.V3 {
			t.Errorf("%v on a server of version 3: %v", v, got)
		}
	}
}

// TestIPv6 works on ganesha by its address of version 6, with MOUNT and the port mapper too.
func TestIPv6(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		f := open(t, nfs.Config{Server: "::1", Export: g.Export, Versions: []nfs.Version{v}, Network: "tcp6", Dial: g.Dial})
		dir := "six-" + v.String()
		err := errors.Join(f.Mkdir(t.Context(), dir, 0o755, -1, -1), f.CreateFile(t.Context(), dir+"/file", []byte("content"), 0o644))
		if data, read := f.ReadFile(t.Context(), dir+"/file", 100); err != nil || read != nil || string(data) != "content" {
			t.Errorf("v%v: %v, read %q, %v", v, err, data, read)
		}
		if err := f.RemoveAll(t.Context(), dir, nil); err != nil {
			t.Errorf("v%v: %v", v, err)
		}
	}
}
