//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// Hundreds of claims are made at once and deleted at once, several times, while pods on both nodes write to twenty other volumes and
// read back. E2E_CLAIMS and E2E_ROUNDS say how many and how often.
func TestFaultManyClaims(t *testing.T) {
	claims, rounds := amount(t, "E2E_CLAIMS", 60), amount(t, "E2E_ROUNDS", 2)
	n := makeNamespace(t, "many")
	s := n.newServer("server")
	storage := s.class(mainExport, nil)
	used := numbered("used", 20)
	s.makeClaims(storage, used...)
	first := s.startWriter("first", n.nodes[0], used[:10]...)
	second := s.startWriter("second", n.nodes[len(n.nodes)-1], used[10:]...)
	for _, w := range []writer{first, second} {
		s.ready(w.pod)
		s.eventually(w.pod+" has begun", goneDeadline, w.goesOn(0))
	}
	crowd := makeNamespace(t, "crowd")
	names := numbered("claim", claims)
	what := fmt.Sprintf("%d claims at once: ", claims)
	bound := time.Minute + time.Duration(claims)*400*time.Millisecond // an emulated node makes several in a second
	for range rounds {
		start := time.Now()
		crowd.makeClaims(storage, names...)
		crowd.since(start, what+"all are bound", bound, crowd.allBound(names...))
		start = time.Now()
		crowd.in("delete", "pvc", "--all", "--wait=false")
		crowd.since(start, what+"all volumes are gone", bound, func() error {
			volumes, err := s.volumesOn(mainExport)
			if err == nil && len(volumes) != len(used) {
				err = fmt.Errorf("there are %d", len(volumes)-len(used))
			}
			return err
		})
		s.clean(what[:len(what)-2], mainExport, goneDeadline)
	}
	first.finish(what[:len(what)-2], s)
	second.finish(what[:len(what)-2], s)
}

func amount(t *testing.T, name string, fallback int) int {
	t.Helper()
	n, err := strconv.Atoi(variable(name, strconv.Itoa(fallback)))
	if err != nil || n < 1 {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
