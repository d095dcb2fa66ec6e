//go:build guest

package faults_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"

	"github.com/nfs-csi/nfs-csi/test/pod"
)

// outage is a way in which a server is gone, and comes back.
type outage struct {
	fault      string
	begin, end func(s *server)
	cause      string // that a failed publish names
	options    []string
}

var outages = []outage{
	{fault: "all packets lost", begin: (*server).lose, end: (*server).heal, cause: "not reachable"},
	{fault: "all packets lost, NFSv3", begin: (*server).lose, end: (*server).heal, cause: "not reachable", options: []string{"vers=3"}},
	{fault: "service stopped", begin: (*server).stop, end: (*server).start, cause: "refused"},
	{fault: "power cut, then boot", begin: (*server).unplug, end: func(s *server) { s.stop(); s.plug(); s.start() }, cause: "not reachable"},
}

// While a server is gone calls for its volumes end in time, in words, and those for other servers as ever; once it is back
// all is as before.
func TestServerIsGone(t *testing.T) {
	dead, other := newServer(t), newServer(t)
	for _, o := range outages {
		if !testing.Short() || o.fault == outages[0].fault {
			t.Run(o.fault, func(t *testing.T) { gone(t, o, dead, other) })
		}
	}
}

func gone(t *testing.T, o outage, dead, other *server) {
	j := judge{t, o.fault}
	n := newNode(t)
	publish := func(host, name string) func(context.Context) error {
		return func(ctx context.Context) error { return n.publish(ctx, host, name, o.options...) }
	}
	for _, v := range []string{"clean", "dirty", "stays", "new"} {
		dead.dir(v)
	}
	for _, v := range []string{"clean", "dirty", "stays"} {
		j.succeeds("publish before the fault", patience, publish(dead.address, v))
	}
	n.must(other.address, other.dir("beside"))
	before := n.strain()
	killed, survivor := pod.Start(t, n.target("dirty")+"/file"), pod.Start(t, n.target("stays")+"/file")
	o.begin(dead)

	j.fails("publish", publishBound, codes.Unavailable, []string{dead.address, o.cause}, publish(dead.address, "new"))
	j.fails("publish where it is mounted already", publishBound, codes.Unavailable, []string{dead.address}, publish(dead.address, "stays"))
	for _, v := range []string{"stays", "stays", "clean"} {
		j.fails("stats", statsBound, codes.Unavailable, []string{dead.address, "does not answer"}, func(ctx context.Context) error { return n.stats(ctx, v) })
	}
	j.succeeds("health: inaccessible", statsBound, n.ails("stays", "INACCESSIBLE ServerNotAnswering"))
	j.succeeds("storage health: unreachable", statsBound, n.reports("STORAGE_UNREACHABLE "+dead.address))
	n.others(j, other)
	j.succeeds("unpublish", unpublishBound, func(ctx context.Context) error { return n.unpublish(ctx, "clean") })
	killed.Kill()
	j.succeeds("unpublish with unwritten data", unpublishBound, func(ctx context.Context) error { return n.unpublish(ctx, "dirty") })
	o.end(dead)

	j.comes("server back: publish", recoveryBound, publish(dead.address, "new"))
	j.succeeds("server back: the pod that stayed writes on", recoveryBound, survivor.Finish)
	j.succeeds("server back: publish where it is mounted", publishBound, publish(dead.address, "stays"))
	j.comes("server back: stats", recoveryBound, func(ctx context.Context) error { return n.stats(ctx, "stays") })
	j.succeeds("server back: health is good", statsBound, n.ails("stays", ""))
	dead.do(fmt.Sprintf("sync; test $(stat -c %%s %s/stays/file) = %d", export, pod.Unwritten+len(pod.End)))
	j.comes("server back: unwritten data of the unpublished volume arrives", recoveryBound, func(context.Context) error {
		dead.do("sync")
		return sized(dead, "dirty/file", pod.Unwritten)
	})
	for _, v := range []string{"new", "stays", "beside"} {
		j.succeeds("server back: unpublish", unpublishBound, func(ctx context.Context) error { return n.unpublish(ctx, v) })
	}
	n.calms(j, before)
}

// sized finds that a file on the server has not that size.
func sized(s *server, file string, want int) error {
	got := s.ask(fmt.Sprintf("stat -c %%s %s/%s", export, file))
	if got != fmt.Sprint(want) {
		return fmt.Errorf("%s has %s bytes, want %d", file, got, want)
	}
	return nil
}

// ails is an operation that asks for a volume's health and wants that answer.
func (n *node) ails(name, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		got, err := n.health(ctx, name)
		if err == nil && got != want {
			err = fmt.Errorf("the health of %s is %q, want %q", name, got, want)
		}
		return err
	}
}

// reports is an operation that asks for the health of servers and wants that answer: the status and the servers.
func (n *node) reports(want string) func(context.Context) error {
	return func(ctx context.Context) error {
		answer, err := n.NodeGetStorageHealth(ctx, &csi.NodeGetStorageHealthRequest{})
		got := ""
		for _, h := range answer.GetBackendHealth() {
			got += h.GetStatus().String() + h.GetMessage()[strings.LastIndex(h.GetMessage(), ": ")+1:]
		}
		if err == nil && got != want {
			err = fmt.Errorf("the servers' health is %q, want %q", got, want)
		}
		return err
	}
}

// others uses a server that is well.
func (n *node) others(j judge, other *server) {
	j.t.Helper()
	other.dir("another")
	j.succeeds("other server: publish", besideBound, func(ctx context.Context) error { return n.publish(ctx, other.address, "another") })
	j.succeeds("other server: stats", besideBound, func(ctx context.Context) error { return n.stats(ctx, "another") })
	j.succeeds("other server: use", patience, func(ctx context.Context) error { return use(ctx, n.target("another")) })
	j.succeeds("other server: unpublish", besideBound, func(ctx context.Context) error { return n.unpublish(ctx, "another") })
}

// helpersKept is how many mount helpers may wait for the next call.
const helpersKept = 2

// calms waits until the node's process is as it was before the fault, with nothing mounted.
func (n *node) calms(j judge, before strain) {
	j.t.Helper()
	var now strain
	calm := func() bool {
		now = n.strain()
		return now.goroutines <= before.goroutines && now.threads <= before.threads+2 && now.children <= max(before.children, helpersKept)
	}
	for end := time.Now().Add(recoveryBound); !calm() && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
	}
	say := func(s strain) string {
		return fmt.Sprintf("%d goroutines, %d threads, %d children", s.goroutines, s.threads, s.children)
	}
	if !table.Enter(j.fault, "what is left of it in the process", say(before), say(now), calm()) {
		j.t.Errorf("%s: %s are left, before it were %s", j.fault, say(now), say(before))
	}
	n.leavesNoMount(j)
}
