//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// hammerNamespace has one pod on every node that may do there what root may.
const hammerNamespace = "e2e-hammers"

// hammers starts them, once.
var hammers = sync.OnceValue(func() error {
	e, err := here()
	if err != nil {
		return err
	}
	text, err := filled("hammers.yaml", map[string]any{"Hammers": hammerNamespace, "Mark": ours, "Busybox": e.busybox})
	if err != nil {
		return err
	}
	return e.start(text, hammerNamespace, "rollout", "status", "daemonset/hammer")
})

// tryOn runs a shell script as root of a node, in the node's own namespaces.
func (c cluster) tryOn(node, script string) (string, error) {
	if err := hammers(); err != nil {
		return "", err
	}
	pod, err := c.try("-n", hammerNamespace, "get", "pods", "--field-selector", "spec.nodeName="+node, "-o", "jsonpath={.items[0].metadata.name}")
	if err != nil {
		return "", err
	}
	return c.try("-n", hammerNamespace, "exec", strings.TrimSpace(pod), "--", "nsenter", "-t", "1", "-m", "-u", "-i", "-n", "--", "sh", "-c", script)
}

// readyToStrike starts what strikes, which on an emulated node takes its time from others.
func (c cluster) readyToStrike() {
	c.t.Helper()
	for _, node := range c.nodes {
		c.on(node, "true")
	}
}

// on is tryOn for what must not fail.
func (c cluster) on(node, script string) string {
	c.t.Helper()
	out, err := c.tryOn(node, script)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// kill ends, by SIGKILL, the processes of a pod whose command line contains text.
func (c cluster) kill(p podInfo, text string) {
	c.t.Helper()
	c.on(p.Spec.NodeName, fmt.Sprintf(`for p in $(grep -sl %q /proc/[0-9]*/cmdline | cut -d/ -f3); do
grep -qs -e %s -e %s /proc/$p/cgroup && kill -KILL $p; done; true`, text, p.Metadata.UID, strings.ReplaceAll(p.Metadata.UID, "-", "_")))
}

// podInfo is what the tests ask of a pod.
type podInfo struct {
	Metadata struct {
		Name, UID         string
		DeletionTimestamp string
	}
	Spec   struct{ NodeName string }
	Status struct {
		PodIP             string
		ContainerStatuses []struct {
			RestartCount int
			Ready        bool
		}
	}
}

// ready says whether all containers are, and the pod is not on its way out.
func (p podInfo) ready() bool {
	for _, s := range p.Status.ContainerStatuses {
		if !s.Ready {
			return false
		}
	}
	return len(p.Status.ContainerStatuses) > 0 && p.Metadata.DeletionTimestamp == ""
}

// podsOf are the pods of a namespace with a label.
func (c cluster) podsOf(namespace, label string) []podInfo {
	c.t.Helper()
	var list struct{ Items []podInfo }
	if err := c.get(&list, "-n", namespace, "pods", "-l", label); err != nil {
		c.t.Fatal(err)
	}
	return list.Items
}

// starts is one entry for every container of these pods and every start of it.
func starts(pods []podInfo) (all []string) {
	for _, p := range pods {
		for _, s := range p.Status.ContainerStatuses {
			all = append(all, fmt.Sprintf("%s %s, started %d times", p.Metadata.Name, p.Metadata.UID, s.RestartCount+1))
		}
	}
	return all
}

// podOf is one pod.
func (c cluster) podOf(namespace, name string) podInfo {
	c.t.Helper()
	var p podInfo
	if err := c.get(&p, "-n", namespace, "pod", name); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// tool runs the command of test/cluster, which can do to a machine what nobody in the cluster can.
func (c cluster) tool(args ...string) {
	c.t.Helper()
	path := os.Getenv("E2E_CLUSTER")
	if path == "" {
		c.t.Fatal("E2E_CLUSTER is not set: this test needs a cluster of test/cluster; start it with test/e2e/run faults")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("%s %s: %v\n%s", path, strings.Join(args, " "), err, out)
	}
}
