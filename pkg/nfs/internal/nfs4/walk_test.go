package nfs4

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
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

// TestLimits works on long names in deep places with the smallest limits that pass, where the fake complains of every
// compound that exceeds them.
func TestLimits(t *testing.T) {
	long := strings.Repeat("n", 255)
	deep := slices.Repeat([]string{long}, 60)
	var entries []file.Entry
	for i := range 64 {
		entries = append(entries, file.Entry{Name: fmt.Sprint(i, long[3:])})
	}
	for i := range 32 { // longer than any file system of ours allows
		entries = append(entries, file.Entry{Name: fmt.Sprint(i, strings.Repeat("x", 1000))})
	}
	for _, tt := range []struct{ minor, ops, message uint32 }{{0, plainOps, 12 << 10}, {1, minOps, minMessage}, {1, 16, minMessage}, {1, 64, 1 << 17}} {
		t.Run(fmt.Sprintf("4.%d %d operations %d bytes", tt.minor, tt.ops, tt.message), func(t *testing.T) {
			f := startFake(t)
			f.minor, f.maxOps, f.message = tt.minor, tt.ops, tt.message
			f.names[long] = true
			cfg := f.config(time.Minute)
			cfg.Export = deep
			c := f.connectWith(cfg)
			for _, e := range entries {
				f.names[e.Name] = true
			}
			if done, err := c.RemoveNames(t.Context(), nobody, "dir", entries); err != nil || done != len(entries) {
				t.Errorf("RemoveNames: %d, %v", done, err)
			}
			name := func(s string) []string { return slices.Concat(deep, []string{s + long[1:]}) }
			for op, err := range map[string]error{
				"Getattr":    second(c.Getattr(t.Context(), nobody, deep)),
				"Mkdir":      c.Mkdir(t.Context(), nobody, name("m"), wanted()),
				"CreateFile": c.CreateFile(t.Context(), nobody, name("c"), make([]byte, 300_000), 0o600),
				"Symlink":    c.Symlink(t.Context(), nobody, strings.Repeat("t", mostOfTarget), name("s")),
				"Remove":     c.Remove(t.Context(), nobody, name("m")),
				"Rename":     c.Rename(t.Context(), nobody, name("c"), name("r")),
				"List":       second(c.List(t.Context(), nobody, deep, file.Cookie{})),
			} {
				if err != nil {
					t.Errorf("%s: %v", op, err)
				}
			}
			if _, err := c.Getattr(t.Context(), nobody, append(deep, "none")); !status.Is(err, status.NoEnt) {
				t.Errorf("what is not there: %v", err)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

// TestTinySessionRefused: a session that cannot carry our longest compound is of no use.
func TestTinySessionRefused(t *testing.T) {
	good := limits{request: minMessage, response: minMessage, cached: minCached, ops: minOps, slots: 1}
	if good.tooSmall() {
		t.Errorf("%+v is too small", good)
	}
	for _, spoil := range []func(*limits){
		func(l *limits) { l.request-- }, func(l *limits) { l.response-- }, func(l *limits) { l.cached-- },
		func(l *limits) { l.ops-- }, func(l *limits) { l.slots = 0 },
	} {
		bad := good
		if spoil(&bad); !bad.tooSmall() {
			t.Errorf("%+v is enough", bad)
		}
	}
	f := startFake(t)
	f.maxOps = 3
	if _, err := Connect(t.Context(), f.config(time.Minute), 1); err == nil || !strings.Contains(err.Error(), "too small") {
		t.Errorf("got %v", err)
	}
}
