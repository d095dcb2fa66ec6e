package nfs4

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// TestWalkAsOwner: a directory on the way that is closed to us is left as its owner, if that is asked for.
func TestWalkAsOwner(t *testing.T) {
	for _, tt := range []struct {
		name    string
		closed  map[string]uint32
		asOwner bool
		uid     uint32
		code    status.Code
	}{
		{"open", nil, false, 0, status.OK},
		{"closed", map[string]uint32{"b": 1000}, true, 0, status.OK},
		{"closed to another user", map[string]uint32{"b": 1000}, true, 2000, status.OK},
		{"each another's", map[string]uint32{"a": 1000, "b": 2000, "c": 3000}, true, 0, status.OK},
		{"not asked for", map[string]uint32{"b": 1000}, false, 0, status.Access},
		{"root's", map[string]uint32{"b": 0}, true, 2000, status.Access},
		{"our own", map[string]uint32{"b": 2000}, true, 2000, status.OK},
		{"missing", map[string]uint32{"gone": 1000}, true, 0, status.NoEnt},
	} {
		for minor := range uint32(2) {
			t.Run(fmt.Sprintf("%s 4.%d", tt.name, minor), func(t *testing.T) {
				f := startFake(t)
				f.minor, f.owner = minor, tt.closed
				for _, name := range []string{"a", "b", "c", "d"} {
					f.names[name] = name != "d" || tt.code != status.NoEnt
				}
				cfg := f.config(time.Minute)
				cfg.Export, cfg.AsOwner, cfg.Cred.UID = []string{"a", "b", "c", "d"}, tt.asOwner, tt.uid
				c, err := Connect(t.Context(), cfg, minor)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				steps, err := c.Walk(t.Context(), &rpc.Credential{UID: tt.uid})
				if status.Of(err) != tt.code {
					t.Fatalf("got %v", err)
				}
				if err == nil && (len(steps) != 5 || c.rootHandle() != "d") {
					t.Errorf("%d steps to %q", len(steps), c.rootHandle())
				}
			})
		}
	}
}

// TestExportLost: an export that the server no longer gives us, or something else in its place, is not taken for a directory
// in which a name is missing. When it is back, everything goes on.
func TestExportLost(t *testing.T) {
	for name, lose := range map[string]func(f *fake){
		"withdrawn": func(f *fake) { delete(f.names, "b") },
		"closed":    func(f *fake) { f.owner = map[string]uint32{"a": 1000} },
		"replaced":  func(f *fake) { f.inode = 8 },
	} {
		for minor := range uint32(2) {
			t.Run(fmt.Sprintf("%s 4.%d", name, minor), func(t *testing.T) {
				f := startFake(t)
				f.minor, f.inode = minor, 7
				f.names["a"], f.names["b"], f.names["volume"] = true, true, true
				cfg := f.config(time.Minute)
				cfg.Export = []string{"a", "b"}
				c := f.connectWith(cfg)
				stale := func(ops []uint32) fault {
					if slices.Contains(ops, opPutRootFH) {
						return fault{}
					}
					return fault{op: opPutFH, code: status.Stale}
				}
				f.mu.Lock()
				owner := f.owner
				lose(f)
				f.mu.Unlock()
				f.set(stale)
				for _, err := range []error{
					c.Remove(t.Context(), nobody, []string{"volume"}),
					c.Mkdir(t.Context(), nobody, []string{"new"}, wanted()),
				} {
					if !errors.Is(err, status.ErrNoExport) || status.Of(err) != status.OK {
						t.Errorf("got %v", err)
					}
				}
				f.mu.Lock()
				f.owner, f.names["b"], f.inode = owner, true, 7
				f.mu.Unlock()
				f.set(once(opRemove, fault{op: opPutFH, code: status.Stale}))
				if err := c.Remove(t.Context(), nobody, []string{"volume"}); err != nil {
					t.Errorf("when it is back: %v", err)
				}
			})
		}
	}
}

// TestEmptyHandle: no server may give us a handle that stands for none.
func TestEmptyHandle(t *testing.T) {
	var r reply
	r.op(opGetFH, status.OK)
	r.String("")
	results, err := parseResults(r.done(status.OK), []uint32{opGetFH})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := results.handle(); !errors.Is(err, xdr.ErrMalformed) {
		t.Errorf("%q, %v", h, err)
	}
}
