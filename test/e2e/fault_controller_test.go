//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// failOver is how soon another controller must lead: a lease lasts 15 s, and is looked at every 2 s.
const failOver = 20 * time.Second

// A controller is killed while claims are made and deleted; all of it is done all the same, once.
func TestSmokeControllerKilled(t *testing.T) {
	n := makeNamespace(t, "killed")
	s := n.newServer("server")
	load := s.newLoad(8)
	once := func() func() { s.killLeader(); return func() {} } // its node starts it again
	load.round("controller killed", once, time.Minute, claimDeadline)
	load.end("controller killed")
}

// Leaders are killed, deleted and cut off from the API server at random moments, under load.
func TestFaultControllers(t *testing.T) {
	n := makeNamespace(t, "leaders")
	s := n.newServer("server")
	load := s.newLoad(30)
	for range 2 {
		load.round("leader killed", s.killLeader, failOver, claimDeadline)
		load.round("leader deleted", s.deleteLeader, failOver, claimDeadline)
		load.round("leader cut off from the API server", s.cutLeader, failOver, claimDeadline)
	}
	load.end("leaders that go")
}

// load is claims that come and go on one server. What was bound is marked, so that a directory made twice would be noticed.
type load struct {
	faultServer
	storage string
	size    int // claims made in one round
	number  int // of the round
	marked  []string
}

func (s faultServer) newLoad(size int) *load {
	l := &load{faultServer: s, storage: s.class(mainExport, nil), size: size}
	l.makeClaims(l.storage, l.claims()...)
	l.eventually("the first claims are bound", claimDeadline, l.allBound(l.claims()...))
	l.mark()
	return l
}

// claims are the names of this round's.
func (l *load) claims() (names []string) {
	for i := range l.size {
		names = append(names, fmt.Sprintf("round-%d-%d", l.number, i))
	}
	return names
}

// mark writes a file into every directory that is new.
func (l *load) mark() {
	l.t.Helper()
	l.run("cd " + mainExport + " && for d in *-round-*; do [ -e $d/mark ] || echo $d > $d/mark; done")
	l.marked = append(l.marked, l.claims()...)
}

// round makes claims, deletes as many older ones, strikes at a random moment of that, and wants all of it to be done.
func (l *load) round(what string, strike func() func(), takenOver, done time.Duration) {
	l.t.Helper()
	older := l.claims()
	l.number++
	l.makeClaims(l.storage, l.claims()...)
	l.in(append([]string{"delete", "pvc", "--wait=false"}, older[:l.size/2]...)...)
	l.marked = l.marked[:len(l.marked)-l.size]
	l.marked = append(l.marked, older[l.size/2:]...)
	time.Sleep(rand.N(3 * time.Second)) // the moment
	holder := l.holder()
	undo := strike()
	defer undo()
	start := time.Now()
	l.since(start, what+": another one leads", takenOver, func() error {
		if now := l.holder(); now == holder || now == "" {
			return fmt.Errorf("the lease is still held by %q", now)
		}
		return nil
	})
	l.since(start, what+fmt.Sprintf(": %d claims made meanwhile are bound", l.size), takenOver+done, l.allBound(l.claims()...))
	l.mark()
}

// end compares all that there is, deletes it, and compares again.
func (l *load) end(what string) {
	l.t.Helper()
	l.clean(what, mainExport, claimDeadline)
	var lost []string
	for _, claim := range l.marked {
		lost = append(lost, fmt.Sprintf("[ -s %s-%s-pvc-*/mark ] || echo %[2]s", l.name, claim))
	}
	l.none(what+": volumes that lost their content", strings.Fields(l.run("cd "+mainExport+"\n"+strings.Join(lost, "\n"))))
	l.in("delete", "pvc", "--all", "--wait=false")
	l.within(what+": all volumes are gone", goneDeadline, func() error {
		volumes, err := l.volumesOn(mainExport)
		if err == nil && len(volumes) > 0 {
			err = fmt.Errorf("there are %d", len(volumes))
		}
		return err
	})
	l.clean(what+", all deleted", mainExport, claimDeadline)
}

// holder is who holds the lease, a pod's name and a word of its process.
func (c cluster) holder() string {
	out, _ := c.try("-n", c.system, "get", "lease", strings.ReplaceAll(c.driver, ".", "-"), "-o", "jsonpath={.spec.holderIdentity}")
	return strings.TrimSpace(out)
}

// leader is the pod of the holder.
func (c cluster) leader() podInfo {
	c.t.Helper()
	var pod string
	c.eventually("somebody leads", claimDeadline, func() error {
		if pod, _, _ = strings.Cut(c.holder(), "_"); pod == "" {
			return fmt.Errorf("nobody holds the lease")
		}
		_, err := c.try("-n", c.system, "get", "pod", pod)
		return err
	})
	return c.podOf(c.system, pod)
}

// killLeader sends SIGKILL. Undoing replaces the pod, so that its restarts do not slow down.
func (c cluster) killLeader() (undo func()) {
	p := c.leader()
	c.kill(p, "nfs-csi")
	return func() { c.replace(p) }
}

// deleteLeader is what an upgrade does: the leader may end its calls and gives the lease back.
func (c cluster) deleteLeader() (undo func()) {
	p := c.leader()
	c.must("-n", c.system, "delete", "pod", p.Metadata.Name, "--wait=false")
	return func() { c.controllersReady(p) }
}

// cutLeader drops what the leader sends to the API server: it lives, and must stop before another one begins.
func (c cluster) cutLeader() (undo func()) {
	p := c.leader()
	rule := func(action string) {
		c.on(p.Spec.NodeName, fmt.Sprintf("iptables %s FORWARD -s %s -p tcp --dport 6443 -j DROP", action, p.Status.PodIP))
	}
	rule("-I")
	return func() { rule("-D"); c.replace(p) }
}

func (c cluster) replace(p podInfo) {
	c.t.Helper()
	c.must("-n", c.system, "delete", "pod", p.Metadata.Name, "--force", "--grace-period=0", "--ignore-not-found", "--wait=false")
	c.controllersReady(p)
}

// controllers are the driver's pods that make volumes.
func (c cluster) controllers() []podInfo {
	c.t.Helper()
	return c.podsOf(c.system, "app.kubernetes.io/component=controller")
}

// controllersReady waits until both are ready, and none of them is one of those that must have gone.
func (c cluster) controllersReady(gone ...podInfo) {
	c.t.Helper()
	c.eventually("the controllers are ready", podDeadline, func() error {
		ready := 0
		for _, p := range c.controllers() {
			old := slices.ContainsFunc(gone, func(g podInfo) bool { return g.Metadata.UID == p.Metadata.UID })
			if !old && p.ready() {
				ready++
			}
		}
		if ready != 2 {
			return fmt.Errorf("%d of 2 are", ready)
		}
		return nil
	})
}

// allBound is a check that these claims are bound.
func (n namespace) allBound(claims ...string) func() error {
	return func() error {
		out, err := n.tryIn("get", "pvc", "-o", `jsonpath={range .items[?(@.status.phase=="Bound")]}{.metadata.name}{"\n"}{end}`)
		if err != nil {
			return err
		}
		bound := map[string]bool{}
		for _, name := range strings.Fields(out) {
			bound[name] = true
		}
		for i, claim := range claims {
			if !bound[claim] {
				return fmt.Errorf("of %d claims %s is not bound (and %d were looked at); events: %s", len(claims), claim, i, n.events(claim))
			}
		}
		return nil
	}
}
