package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"sync"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// dials counts connections, and can lose them all.
type dials struct {
	mu   sync.Mutex
	made []net.Conn
	down bool

	refused int // while down
}

func (d *dials) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		d.refused++
		return nil, &net.OpError{Op: "dial", Err: errors.New("the network is down")}
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		d.made = append(d.made, c)
	}
	return c, err
}

func (d *dials) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.made)
}

// set takes the network down, with every connection, or brings it up.
func (d *dials) set(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = down
	for _, c := range d.made {
		if down {
			c.Close()
		}
	}
}

// probed is a server with the directories one and two, seen through d.
func probed(t *testing.T, d *dials) (config func(path string) nfs.Config) {
	t.Helper()
	server := nfsserver.StartGoNFS(t)
	config = func(path string) nfs.Config {
		return nfs.Config{Server: server.Host, Export: path, Port: server.Port, MountPort: server.Port, Versions: []nfs.Version{nfs.V3}, Dial: d.dial}
	}
	share, err := nfs.Open(t.Context(), config("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer share.Close()
	for _, name := range []string{"one", "two"} {
		if err := share.Mkdir(t.Context(), name, 0o755, -1, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := share.Symlink(t.Context(), "one", "link"); err != nil {
		t.Fatal(err)
	}
	return config
}

// probing is a prober, to be closed, that has looked at the directory one.
func probing(t *testing.T, d *dials) (*prober, func(path string) nfs.Config) {
	t.Helper()
	config := probed(t, d)
	p := newProber()
	if err := p.probe(t.Context(), config("/share/one"), nil); err != nil {
		p.close()
		t.Fatal(err)
	}
	return p, config
}

func TestProberConnectsOnceForAShare(t *testing.T) {
	leavesNothing(t)
	var d dials
	p, config := probing(t, &d)
	defer p.close()
	before := d.count()
	var all sync.WaitGroup
	for _, path := range []string{"/share/one", "/share/two", "/share/one/", "/share//two"} {
		all.Go(func() {
			if there, err := p.beside(t.Context(), config(path), nil); !there || err != nil {
				t.Errorf("%s is not known to be there: %v", path, err)
			}
		})
	}
	all.Wait()
	if n := d.count() - before; n != 0 {
		t.Errorf("%d more connections", n)
	}
}

// What a look from the directory above does not settle is asked of the server.
func TestProberKnowsWhatItDoesNotKnow(t *testing.T) {
	var d dials
	p, config := probing(t, &d)
	defer p.close()
	for _, path := range []string{"/share/none", "/share/link", "/"} {
		if there, err := p.beside(t.Context(), config(path), nil); there || err != nil {
			t.Errorf("%s is taken for a directory that can be mounted, or one that cannot: %v", path, err)
		}
	}
	bad := config("/share/one")
	bad.Port, bad.MountPort = 1, 1
	if err := p.probe(t.Context(), bad, []string{"port=1"}); !errors.Is(err, nfs.ErrUnreachable) {
		t.Errorf("with nobody at the port: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.probe(ctx, config("/share/one"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// Nobody answers the first look at a share: that is not asked twice, and forgotten at once.
func TestProberDialsADeadServerOnce(t *testing.T) {
	leavesNothing(t)
	var d dials
	config := probed(t, &d)
	p := newProber()
	defer p.close()
	d.set(true)
	d.refused = 0
	if err := p.probe(t.Context(), config("/share/one"), nil); !errors.Is(err, nfs.ErrUnreachable) || d.count() == 0 {
		t.Errorf("while the server is away: %v", err)
	}
	if d.refused != 1 {
		t.Errorf("dialled %d times", d.refused)
	}
	d.set(false)
	await(t, "the server to be found again", func() bool { return p.probe(t.Context(), config("/share/one"), nil) == nil })
}

func TestProberSurvivesItsServer(t *testing.T) {
	leavesNothing(t)
	var d dials
	p, config := probing(t, &d)
	defer p.close()
	d.set(true)
	if err := p.probe(t.Context(), config("/share/two"), nil); !errors.Is(err, nfs.ErrUnreachable) {
		t.Errorf("while the server is away: %v", err)
	}
	d.set(false)
	if err := p.probe(t.Context(), config("/share/two"), nil); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// A volume that is removed while the directory above is open is not there any more.
func TestProberLooksEachTime(t *testing.T) {
	var d dials
	p, config := probing(t, &d)
	defer p.close()
	share, err := nfs.Open(t.Context(), config("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer share.Close()
	if err := share.Remove(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if there, err := p.beside(t.Context(), config("/share/one"), nil); there || err != nil {
		t.Errorf("a removed directory is taken for one that is there: %v", err)
	}
	if _, err := share.Lstat(t.Context(), "one"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
