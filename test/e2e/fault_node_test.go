//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The node's part is killed and replaced, and kubelet restarted, while pods write: they notice nothing, and new pods start.
func TestFaultNodePlugin(t *testing.T) {
	n := makeNamespace(t, "plugin")
	s := n.newServers(n.nodes[0], nil, "server")[0]
	storage := s.class(mainExport, nil)
	users := map[string]writer{}
	for _, node := range n.nodes {
		s.makeClaims(storage, "writer-"+node, "new-"+node)
		users[node] = s.startWriter("writer-"+node, node, "writer-"+node)
	}
	for _, w := range users {
		s.ready(w.pod)
		s.eventually(w.pod+" has begun", goneDeadline, w.goesOn(0))
	}
	before := starts(s.podsOf(s.name, "role=writer"))
	for _, fault := range []struct {
		name   string
		strike func()
	}{
		{"node plugin killed", s.killPlugins},
		{"node plugin upgraded", s.upgradePlugins},
		{"kubelet restarted", s.restartKubelets},
	} {
		fault.strike()
		start := time.Now()
		for _, node := range n.nodes {
			s.since(start, fault.name+": a new pod of "+node+" has its volume", 90*time.Second, s.podStarts("new-"+node, node))
			s.writesOn(fault.name, users[node])
		}
		for _, node := range n.nodes {
			s.in("delete", "pod", "new-"+node)
		}
	}
	s.none("node plugin and kubelet: pods that were replaced", differences("pod", starts(s.podsOf(s.name, "role=writer")), before))
	for _, w := range users {
		w.finish("node plugin and kubelet", s)
	}
}

// writesOn wants another round from now, without an error so far.
func (s faultServer) writesOn(fault string, w writer) {
	s.t.Helper()
	rounds, err := w.rounds()
	if err != nil {
		s.t.Fatal(err)
	}
	s.within(fault+": "+w.pod+" writes on", 30*time.Second, w.goesOn(rounds))
}

// podStarts makes a pod, and is a check that it is ready.
func (s faultServer) podStarts(name, node string) func() error {
	s.t.Helper()
	s.applyPod(pod{Pod: name, Claim: name, Node: node})
	return func() error {
		if p := s.podOf(s.name, name); !p.ready() {
			return fmt.Errorf("it is not ready; events: %s", s.events(name))
		}
		return nil
	}
}

// nodePlugins are the driver's pods on the nodes.
func (c cluster) nodePlugins() []podInfo {
	c.t.Helper()
	return c.podsOf(c.system, "app.kubernetes.io/component=node")
}

func (c cluster) killPlugins() {
	for _, p := range c.nodePlugins() {
		c.kill(p, "nfs-csi")
	}
}

// upgradePlugins replaces all pods, as a new version does.
func (c cluster) upgradePlugins() {
	for _, what := range []string{"restart", "status"} {
		c.must("-n", c.system, "rollout", what, "daemonset", "-l", "app.kubernetes.io/component=node")
	}
}

// restartKubelets ends kubelet; init, or systemd, starts it again. The command that does it goes through kubelet, so it must have ended.
func (c cluster) restartKubelets() {
	const kubelet = "pgrep -f '[k]ubernetes kubelet' || pgrep -x kubelet"
	for _, node := range c.nodes {
		before := c.on(node, kubelet)
		c.on(node, fmt.Sprintf("setsid sh -c 'sleep 1; kill %s' >/dev/null 2>&1 </dev/null &", strings.TrimSpace(before)))
		c.eventually("another kubelet runs on "+node, claimDeadline, func() error {
			now, err := c.tryOn(node, kubelet)
			if err == nil && now == before {
				err = fmt.Errorf("process %s still runs", strings.TrimSpace(now))
			}
			return err
		})
	}
}

// A node loses its power and comes back: the pods of its StatefulSet too, with their data.
func TestFaultNodeReboot(t *testing.T) {
	n := makeNamespace(t, "reboot")
	if len(n.nodes) < 2 {
		t.Fatalf("the cluster has the nodes %v, this test needs two", n.nodes)
	}
	victim := n.nodes[1] // the first has the NFS server
	n.apply("web.yaml", map[string]any{"Replicas": 2, "Node": victim})
	n.rolledOut("sts/web")
	n.writeIndex(0, 1)
	boot := n.bootOf(victim)

	number := strings.TrimLeft(victim, "abcdefghijklmnopqrstuvwxyz-")
	t.Cleanup(func() { n.tool("node-start", number) })
	n.tool("node-stop", number)
	n.tool("node-start", number) // returns when kubelet is ready
	back := time.Now()
	if n.bootOf(victim) == boot {
		t.Fatalf("%s has not booted", victim)
	}
	n.since(back, "node rebooted: the pods of a StatefulSet have their data", 3*time.Minute, func() error {
		for _, pod := range []string{"web-0", "web-1"} {
			got, err := n.tryIn("exec", pod, "--", "cat", "/usr/share/nginx/html/index.html")
			if err != nil {
				return err
			}
			if strings.TrimSpace(got) != pod {
				return fmt.Errorf("%s has the index of %q", pod, got)
			}
		}
		return nil
	})
	n.applyClaim(claim{Claim: "new", Class: "nfs"})
	n.applyPod(pod{Pod: "new", Claim: "new", Node: victim})
	n.ready("new")
	n.sh("new", "echo written > /data/file")
	n.controllersReady()
}

func (c cluster) bootOf(node string) string {
	c.t.Helper()
	return c.must("get", "node", node, "-o", "jsonpath={.status.nodeInfo.bootID}")
}
