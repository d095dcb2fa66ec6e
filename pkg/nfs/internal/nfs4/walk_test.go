package nfs4

import (
	"fmt"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
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
