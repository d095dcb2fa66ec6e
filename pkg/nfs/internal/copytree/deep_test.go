package copytree

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
)

// chain plants directories below each other, and returns the lowest one.
func (s *server) chain(depth int, name string) *node {
	n := s.at("from")
	for range depth {
		n = s.add(n, name, fs.ModeDir, 0o755, 0)
	}
	return n
}

// TestDeepTree: what is kept for each level does not grow with the level: a pod makes directories with long names below each
// other by the thousand.
func TestDeepTree(t *testing.T) {
	const depth = 1000
	s := newServer()
	s.plant(0o755, 0, "from/")
	lowest := s.chain(depth, strings.Repeat("n", 255))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, reached := heap(), false
	s.before = func(op string, h file.Handle) error {
		if op == "READDIR" && h == lowest.handle {
			reached = true
			if now := heap(); now > before+16<<20 {
				t.Errorf("%d KiB for %d levels", (now-before)>>10, depth)
			}
		}
		return nil
	}
	if err := s.run(t.Context(), 0, nil); err != nil || !reached {
		t.Errorf("reached the end: %v, %v", reached, err)
	}
}

// TestTooDeep refuses what no path can name, in a few words.
func TestTooDeep(t *testing.T) {
	s := newServer()
	s.plant(0o755, 0, "from/")
	s.bounds = bounds{depth: 10, held: mostHeld}
	s.chain(10, "name")
	if err := s.run(t.Context(), 0, nil); err != nil {
		t.Error(err)
	}
	s = newServer()
	s.plant(0o755, 0, "from/")
	s.bounds = bounds{depth: 10, held: mostHeld}
	s.chain(11, strings.Repeat("long", 60))
	err := s.run(t.Context(), 0, nil)
	if !errors.Is(err, syscall.ENAMETOOLONG) || len(err.Error()) > 1500 || !strings.Contains(err.Error(), "10 directories deep") {
		t.Errorf("%v", err)
	}
}

// TestWideAndDeep copies all of a tree of which not all can be kept in mind at once, also where names come and go meanwhile.
func TestWideAndDeep(t *testing.T) {
	for name, meanwhile := range map[string]func(s *server){
		"nothing else": func(*server) {},
		"others remove": func(s *server) {
			if dir := s.at("from/4/4"); len(dir.children) > 3 {
				s.remove("from/4/4/0")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			s.limits.Calls, s.pageSize, s.bounds = 1, 100, bounds{depth: deepest, held: 3}
			s.plant(0o755, 0, "from/")
			var plant func(dir string, depth int)
			plant = func(dir string, depth int) {
				for i := range fewHeld + 5 {
					sub := fmt.Sprint(dir, "/", i)
					s.plant(0o755, 0, sub+"/", sub+"/file:5")
					if depth > 0 && i == 4 {
						plant(sub, depth-1)
					}
				}
			}
			plant("from", 3)
			twin := s.at("from/0/file")
			twin.attr.Nlink = 2
			s.at("from/4/4").children["twin"] = twin.handle
			for _, n := range s.nodes {
				n.attr.Mtime = n.attr.Atime
			}
			listed := 0
			s.before = func(op string, _ file.Handle) error {
				if op == "CREATE" {
					if listed++; listed == 3*fewHeld {
						meanwhile(s)
					}
				}
				return nil
			}
			if err := s.run(t.Context(), 0, nil); err != nil {
				t.Fatal(err)
			}
			got, want := s.tree("to"), s.tree("from")
			delete(got, "./4/4/0") // may have been copied before it was removed
			delete(got, "./4/4/0/file")
			delete(want, "./4/4/0")
			delete(want, "./4/4/0/file")
			compare(t, name, got, want)
		})
	}
}

// TestHeld keeps account of what is kept in mind.
func TestHeld(t *testing.T) {
	c := &copier{bounds: bounds{held: 20}}
	for _, tt := range []struct{ want, kept int }{{15, 15}, {5, 5}, {100, fewHeld}, {1, 1}, {0, 0}} {
		if kept := c.hold(tt.want); kept != tt.kept {
			t.Errorf("%d of %d are kept", kept, tt.want)
		}
	}
	c.held.Add(-int64(15 + 5 + fewHeld + 1))
	if kept := c.hold(20); kept != 20 || c.held.Load() != 20 {
		t.Errorf("%d are kept, %d in all", kept, c.held.Load())
	}
}
