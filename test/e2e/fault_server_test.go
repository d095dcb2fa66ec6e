//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// dying is a server, what uses it, and how it dies.
type dying struct {
	faultServer
	strike
	storage string // class
	writer  writer
	doomed  volume // whose claim is deleted while the server is dead
	struck  time.Time
}

// Three servers die in three ways while pods use them and claims come and go; a fourth lives and must not notice.
func TestFaultServersDie(t *testing.T) {
	n := makeNamespace(t, "dies")
	names := []string{"healthy"}
	for _, s := range strikes {
		names = append(names, s.how)
	}
	servers := n.newServers("", nil, names...)
	healthy := servers[0]
	before := n.driverState()
	var all []*dying
	for i, s := range strikes {
		d := &dying{faultServer: servers[i+1], strike: s}
		d.prepare()
		all = append(all, d)
	}
	for _, d := range all {
		d.inUse()
	}
	n.readyToStrike()
	usual := healthy.podTimes("before", 4) // with all that runs while they are dead, too: an emulated node is busy with it
	for _, d := range all {
		t.Cleanup(func() { _, _ = d.tryUp() })
		d.down(d.faultServer)
		d.struck = time.Now()
	}
	t.Run("while dead", func(t *testing.T) {
		t.Run("healthy", func(t *testing.T) {
			t.Parallel()
			healthy.as(t).notDelayed(usual)
		})
		each(t, all, (*dying).whileDead)
	})
	for _, d := range all {
		d.up(d.faultServer)
		d.struck = time.Now()
	}
	t.Run("afterwards", func(t *testing.T) { each(t, all, (*dying).afterwards) })
	n.none("servers that die: containers of the driver that were restarted", differences("container", n.driverState(), before))
}

// each runs one step with all servers, beside each other.
func each(t *testing.T, all []*dying, step func(*dying)) {
	for _, d := range all {
		t.Run(d.how, func(t *testing.T) {
			t.Parallel()
			mine := *d
			mine.faultServer, mine.writer.t = d.as(t), t
			step(&mine)
		})
	}
}

// tryUp brings a server back that a failed test left dead; it does no harm to one that lives.
func (d *dying) tryUp() (string, error) {
	for _, node := range d.nodes {
		if _, err := d.tryOn(node, fmt.Sprintf("for chain in FORWARD OUTPUT; do while iptables -D $chain -d %s -p tcp -j DROP 2>/dev/null; do :; done; done", d.address)); err != nil {
			return "", err
		}
	}
	return d.tryIn("exec", d.pod, "--", "sh", "-c", "rm -f /control/stopped; killall -q -CONT ganesha.nfsd; true")
}

func (d *dying) named(what string) string { return d.pod + "-" + what }

// prepare makes claims and pods, and does not wait for them.
func (d *dying) prepare() {
	d.storage = d.class(mainExport, nil)
	d.makeClaims(d.storage, d.named("kept"), d.named("moving"), d.named("doomed"))
	d.writer = d.startWriter(d.named("kept"), "", d.named("kept"))
	d.applyPod(pod{Pod: d.named("moving"), Claim: d.named("moving")})
}

func (d *dying) inUse() {
	d.ready(d.named("kept"))
	d.ready(d.named("moving"))
	d.sh(d.named("moving"), "echo precious > /data/file")
	d.doomed = d.bound(d.named("doomed"))
	d.eventually("the writer has begun", goneDeadline, d.writer.goesOn(0))
}

// whileDead wants words, and pods that can be deleted.
func (d *dying) whileDead() {
	what := "server " + d.how + ": "
	d.makeClaims(d.storage, d.named("late"), d.named("fleeting"))
	d.in("delete", "pod", d.named("moving"), "--wait=false")
	d.in("delete", "pvc", d.named("doomed"), "--wait=false")
	started := time.Now()
	d.within(what+"a pod that uses it can be deleted", time.Minute, d.absent("-n", d.name, "pod", d.named("moving")))
	d.since(started, what+"a new claim's Event names it", time.Minute, d.told(d.name, d.named("late")))
	d.since(started, what+"the Event of a volume that cannot be deleted names it", time.Minute, d.told("default", d.doomed.Name))
	d.in("delete", "pvc", d.named("fleeting"), "--wait=false")
}

// told is a check for an Event that names the server and says that it is not there.
func (d *dying) told(namespace, object string) func() error {
	want := regexp.MustCompile(`(?i)Warning \w+: .*` + regexp.QuoteMeta(d.address))
	cause := regexp.MustCompile(`(?i)not available|unreachable|cannot be reached|refused|no answer|not answer|timed out`)
	return func() error {
		for line := range strings.Lines(d.eventsIn(namespace, object)) {
			if want.MatchString(line) && cause.MatchString(line) {
				d.t.Logf("%s: %s", object, strings.TrimSpace(line))
				return nil
			}
		}
		return fmt.Errorf("no Event about %s says that %s is not there; there are:\n%s", object, d.address, d.eventsIn(namespace, object))
	}
}

// afterwards wants everything to go on by itself.
func (d *dying) afterwards() {
	what := "server " + d.how + " and back: "
	rounds, err := d.writer.rounds()
	if err != nil {
		d.t.Fatal(err)
	}
	d.since(d.struck, what+"the pod that stayed writes on", 3*time.Minute, d.writer.goesOn(rounds))
	d.since(d.struck, what+"the claim made meanwhile is bound", 2*time.Minute, d.allBound(d.named("late")))
	d.since(d.struck, what+"the volume deleted meanwhile is gone", 2*time.Minute, d.absent("pv", d.doomed.Name))
	d.applyPod(pod{Pod: d.named("moving"), Claim: d.named("moving")})
	d.ready(d.named("moving"))
	if got := strings.TrimSpace(d.sh(d.named("moving"), "cat /data/file")); got != "precious" {
		d.t.Errorf("%s reads %q", d.named("moving"), got)
	}
	d.writer.finish("server "+d.how, d.faultServer)
	d.clean("server "+d.how, mainExport, 2*time.Minute)
	d.in("delete", "pod", d.named("moving"), d.named("kept"))
	d.in("delete", "pvc", d.named("moving"), d.named("kept"), d.named("late"))
	d.clean("server "+d.how+" and back, all deleted", mainExport, 2*time.Minute)
}

// podTimes is the longest time that a claim and its pod took to be made and ready, of some, all on the same node: an emulated
// one takes seconds to start the mount helper, for the first.
func (s faultServer) podTimes(name string, times int) (longest time.Duration) {
	s.t.Helper()
	storage := s.class(mainExport, nil)
	for i := range times {
		name := fmt.Sprintf("%s-%d", name, i)
		start := time.Now()
		s.makeClaims(storage, name)
		s.applyPod(pod{Pod: name, Claim: name, Node: s.nodes[0]})
		s.ready(name)
		longest = max(longest, time.Since(start))
		s.in("delete", "pod", name)
		s.in("delete", "pvc", name)
	}
	return longest
}

// notDelayed wants pods to start as they usually do, though others hang.
func (s faultServer) notDelayed(usual time.Duration) {
	bound := max(2*usual, usual+10*time.Second)
	took := s.podTimes("meanwhile", 4)
	s.judge("three dead servers: a pod on another server is ready", bound.Round(time.Second).String(), took.Round(100*time.Millisecond).String(), took <= bound)
}

// driverState is one entry for every start of a container of the driver.
func (c cluster) driverState() []string {
	c.t.Helper()
	return starts(c.podsOf(c.system, "app.kubernetes.io/name=nfs-csi"))
}

var oddExports = []export{{ID: 2, Path: "/full", Access: "RW", Size: "1Mi"}, {ID: 3, Path: "/readonly", Access: "RO"}, {ID: 4, Path: "/withdrawn", Access: "RW"}}

// An export that is full, one that is read-only, and one that is withdrawn while a pod uses it: all are told, and all mend themselves.
func TestFaultExports(t *testing.T) {
	n := makeNamespace(t, "exports")
	s := n.newServer("server", oddExports...)
	full, withdrawn := s.class("/full", nil), s.class("/withdrawn", nil)
	s.makeClaims(full, "filled", "emptied")
	s.makeClaims(withdrawn, "used", "doomed")
	s.applyPod(pod{Pod: "fills", Claim: "filled"})
	s.applyPod(pod{Pod: "uses", Claim: "used"})
	s.ready("fills")
	s.ready("uses")
	s.sh("uses", "echo precious > /data/file")
	emptied, doomed := s.bound("emptied"), s.bound("doomed")

	if out := s.sh("fills", "dd if=/dev/zero of=/data/filler bs=64k conv=fsync 2>&1; true"); !strings.Contains(out, "No space left") {
		t.Errorf("a pod that fills the export is told %q", out)
	}
	s.run("dd if=/dev/zero of=/full/filler bs=4k 2>/dev/null; true")
	s.makeClaims(full, "refused")
	s.within("export full: an Event says so", time.Minute, s.said("refused", "no space left"))
	s.in("delete", "pvc", "emptied", "--wait=false")
	s.within("export full: a volume can be deleted", time.Minute, s.absent("pv", emptied.Name))
	s.run("rm /full/filler")
	s.sh("fills", "rm /data/filler")
	s.within("export full, then with room: the claim is bound", time.Minute, s.allBound("refused"))

	s.makeClaims(s.class("/readonly", nil), "unwritable")
	s.within("export read-only: an Event says so", time.Minute, s.said("unwritable", "read-write"))
	s.run("cd /run/ganesha && cp ganesha.conf kept.conf && sed -i -e '/Path = .withdrawn;/,+1d' ganesha.conf && ! grep -q withdrawn ganesha.conf && killall -HUP ganesha.nfsd")
	s.whileWithdrawn(withdrawn, doomed)
	s.run("cd /run/ganesha && cp kept.conf ganesha.conf && killall -HUP ganesha.nfsd")
	s.within("export withdrawn, then back: the claim is bound", 2*time.Minute, s.allBound("late"))
	s.within("export withdrawn, then back: the volume deleted meanwhile is gone", 2*time.Minute, s.absent("pv", doomed.Name))
	s.applyPod(pod{Pod: "again", Claim: "used"})
	s.ready("again")
	if got := strings.TrimSpace(s.sh("again", "cat /data/file")); got != "precious" {
		t.Errorf("after the export came back a pod reads %q", got)
	}
	s.clean("export full", "/full", time.Minute)
	s.clean("export withdrawn", "/withdrawn", time.Minute)
}

func (s faultServer) whileWithdrawn(class string, doomed volume) {
	s.makeClaims(class, "late")
	s.within("export withdrawn: a new claim's Event names it", time.Minute, s.said("late", "/withdrawn"))
	s.in("delete", "pod", "uses", "--wait=false")
	s.within("export withdrawn: a pod that uses it can be deleted", time.Minute, s.absent("-n", s.name, "pod", "uses"))
	s.in("delete", "pvc", "doomed", "--wait=false")
	s.eventually("an Event about the volume that cannot be deleted", time.Minute, func() error {
		if got := s.eventsIn("default", doomed.Name); !strings.Contains(got, "/withdrawn") {
			return fmt.Errorf("events: %s", got)
		}
		return nil
	})
}
