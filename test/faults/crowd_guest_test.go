//go:build guest

package faults_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	deadVolumes = 50
	rounds      = 20 // of calls for the volumes beside them
)

// times are how long each of many calls took, by operation.
type times map[string][]time.Duration

// p99 of some ten calls is the slowest.
func p99(all []time.Duration) time.Duration { return slices.Max(all) }

// beside publishes, asks and unpublishes a volume of a server that is well, again and again.
func (n *node) beside(t *testing.T, s *server) times {
	t.Helper()
	all := times{}
	for i := range rounds {
		name := s.dir(fmt.Sprintf("beside%d", i%3))
		for _, step := range []struct {
			name string
			do   func(ctx context.Context, name string) error
		}{{"publish", n.of(s)}, {"stats", n.stats}, {"unpublish", n.unpublish}} {
			ctx, cancel := context.WithTimeout(context.Background(), kubelet)
			start := time.Now()
			if err := step.do(ctx, name); err != nil {
				t.Errorf("%s beside dead volumes: %v", step.name, err)
			}
			all[step.name] = append(all[step.name], time.Since(start))
			cancel()
		}
	}
	return all
}

// Fifty volumes of a dead server on a node delay no volume of another server: not while they are asked for, not while all of them
// are unpublished at once.
func TestFiftyDeadVolumes(t *testing.T) {
	dead, other, n, j := newServer(t), newServer(t), newNode(t), judge{t, fmt.Sprintf("%d dead volumes", deadVolumes)}
	var names []string
	for i := range deadVolumes {
		names = append(names, dead.dir(fmt.Sprintf("v%d", i)))
	}
	n.must(dead.address, names...)
	before := n.strain()
	quiet := n.beside(t, other)
	dead.lose()

	asking, stop := context.WithCancel(context.Background())
	var askers sync.WaitGroup
	for _, name := range names {
		askers.Go(func() {
			for asking.Err() == nil {
				_ = n.stats(asking, name)
				_ = n.publish(asking, dead.address, name)
			}
		})
	}
	n.compare(j, quiet, n.beside(t, other), "while the dead ones are asked and published")
	stop()
	askers.Wait()

	slowest := make(chan time.Duration, 1)
	go func() { slowest <- n.unpublishAll(t, names) }()
	n.compare(j, quiet, n.beside(t, other), "while the dead ones are unpublished")
	if took := <-slowest; !table.Took(j.fault, "unpublish all at once, the slowest", unpublishBound, took) {
		t.Errorf("the slowest of %d calls of unpublish took %v", deadVolumes, took)
	}
	dead.heal()
	n.calms(j, before)
}

// compare enters how much slower calls have become. The promise is twice the time; what fails the test leaves room for slow
// machines, and none for waiting for a dead server.
func (n *node) compare(j judge, quiet, loud times, when string) {
	j.t.Helper()
	for _, operation := range []string{"publish", "stats", "unpublish"} {
		was, is := p99(quiet[operation]), p99(loud[operation])
		bound := max(2*was, besideBound)
		if !table.Took(j.fault, fmt.Sprintf("other server's %s, p99, %s (before: %v)", operation, when, was.Round(time.Millisecond)), bound, is) {
			j.t.Errorf("%s of another server took %v %s, before %v", operation, is, when, was)
		}
	}
}

// unpublishAll answers how long the slowest took.
func (n *node) unpublishAll(t *testing.T, names []string) time.Duration {
	took := make([]time.Duration, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), kubelet)
			defer cancel()
			start := time.Now()
			err := n.unpublish(ctx, name)
			for ; status.Code(err) == codes.Aborted; time.Sleep(10 * time.Millisecond) { // a publish that was given up still ends
				err = n.unpublish(ctx, name)
			}
			if err != nil {
				t.Errorf("unpublishing %s: %v", name, err)
			}
			took[i] = time.Since(start)
		})
	}
	all.Wait()
	return slices.Max(took)
}
