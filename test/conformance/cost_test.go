//go:build !guest

package conformance

import (
	"context"
	"io/fs"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// requests counts what a client sends: one call at a time is one write.
type requests struct {
	dial nfsserver.Dial
	n    atomic.Int64
}

func (r *requests) connect(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := r.dial(ctx, network, address)
	return &countedConn{nc, &r.n}, err
}

type countedConn struct {
	net.Conn
	n *atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(b)
}

// TestRoundTrips: with version 4 every operation is one round trip, however deep, but for the making of a file in version
// 4.0, which must be opened first; with version 3 it is as few as the protocol allows once the directory is known.
func TestRoundTrips(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	data := make([]byte, 1000)
	for _, v := range versions {
		r := &requests{dial: g.Dial}
		f := open(t, nfs.Config{Server: g.Host, Export: g.Export, Versions: []nfs.Version{v}, Dial: r.connect})
		ctx := t.Context()
		for _, dir := range []string{"a", "a/b", "a/b/c"} {
			if err := f.Mkdir(ctx, dir, 0o777, -1, -1); err != nil {
				t.Fatal(err)
			}
		}
		const in = "a/b/c/"
		if err := f.CreateFile(ctx, in+"first", nil, 0o644); err != nil { // with it version 4.0 registers
			t.Fatal(err)
		}
		for _, tt := range []struct {
			op     string
			v4, v3 int64
			do     func() error
		}{
			{"Mkdir", 1, 1, func() error { return f.Mkdir(ctx, in+"dir", 0o777, -1, -1) }},
			{"Mkdir special", 1, 2, func() error { return f.Mkdir(ctx, in+"special", 0o770|fs.ModeSetgid, -1, -1) }},
			{"Mkdir owner", 1, 2, func() error { return f.Mkdir(ctx, in+"owner", 0o770, 1000, 1000) }},
			{"Lstat", 1, 1, func() error { _, err := f.Lstat(ctx, in+"dir"); return err }},
			{"CreateFile", 1, 3, func() error { return f.CreateFile(ctx, in+"file", data, 0o644) }},
			{"ReadFile", 1, 2, func() error { _, err := f.ReadFile(ctx, in+"file", 4096); return err }},
			{"Symlink", 1, 1, func() error { return f.Symlink(ctx, "target", in+"link") }},
			{"Readlink", 1, 2, func() error { _, err := f.Readlink(ctx, in+"link"); return err }},
			{"ReadDir", 1, 3, func() error { _, err := f.ReadDir(ctx, in+"dir"); return err }},
			{"Chmod", 1, 2, func() error { return f.Chmod(ctx, in+"dir", 0o700) }},
			{"Rename", 1, 1, func() error { return f.Rename(ctx, in+"file", in+"moved") }},
			{"Remove", 1, 1, func() error { return f.Remove(ctx, in+"moved") }},
			{"Space", 1, 1, func() error { _, _, _, err := f.Space(ctx); return err }},
		} {
			before := r.n.Load()
			if err := tt.do(); err != nil {
				t.Errorf("v%v %s: %v", v, tt.op, err)
			}
			most := tt.v4
			switch {
			case v == nfs.V3:
				most = tt.v3
			case v == nfs.V40 && tt.op == "CreateFile":
				most = 2
			}
			if n := r.n.Load() - before; n > most {
				t.Errorf("v%v %s: %d round trips, want %d", v, tt.op, n, most)
			}
		}
		if err := f.RemoveAll(ctx, "a", nil); err != nil {
			t.Error(err)
		}
	}
}

// TestNothingIsLeft: opening and closing again and again keeps no goroutine and no file descriptor.
func TestNothingIsLeft(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := len(clientGoroutines())
	fds := descriptors()
	for range 30 {
		for _, v := range versions {
			c := nfs.Config{Server: g.Host, Export: g.Export, Versions: []nfs.Version{v}, Dial: g.Dial}
			if err := nfs.Probe(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			c.Export += "/none"
			if f, err := nfs.Open(t.Context(), c); err == nil {
				t.Errorf("opened %v", f)
			}
		}
	}
	waitForGoroutines(t, before)
	if after := descriptors(); after > fds {
		t.Errorf("%d file descriptors, %d before", after, fds)
	}
}
