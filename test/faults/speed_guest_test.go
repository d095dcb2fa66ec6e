//go:build guest

package faults_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// atOnce is how many volumes a node gets at once when it takes over the pods of another.
const atOnce = 16

// Without any fault: many volumes published at once, the first of a server and beside others of it.
func TestPublishAtOnce(t *testing.T) {
	s, n, j := newServer(t), newNode(t), judge{t, "none"}
	var names []string
	for i := range atOnce {
		names = append(names, s.dir(fmt.Sprintf("v%d", i)))
	}
	for _, when := range []string{"the server's first", "with helpers and a connection kept", "beside one that stays"} {
		if when == "beside one that stays" {
			n.must(s.address, s.dir("stays"))
		}
		for _, step := range []struct {
			name string
			do   func(ctx context.Context, name string) error
		}{{"publish", n.of(s)}, {"unpublish", n.unpublish}} {
			j.succeeds(fmt.Sprintf("%s %d at once, %s", step.name, atOnce, when), besideBound, func(ctx context.Context) error { return all(ctx, names, step.do) })
		}
	}
	for range 3 {
		j.succeeds("publish one", besideBound, call(n.of(s), "v0"))
		j.succeeds("unpublish one", besideBound, call(n.unpublish, "v0"))
	}
	j.succeeds("unpublish", besideBound, call(n.unpublish, "stays"))
	n.leavesNoMount(j)
}

// all does it for all names at once, and answers the last error.
func all(ctx context.Context, names []string, do func(ctx context.Context, name string) error) (failed error) {
	var doing sync.WaitGroup
	var mu sync.Mutex
	for _, name := range names {
		doing.Go(func() {
			if err := do(ctx, name); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = err
			}
		})
	}
	doing.Wait()
	return failed
}
