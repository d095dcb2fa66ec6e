//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// The release's namespace enforces Pod Security "restricted": new controllers are admitted and work, and nothing with more rights is.
func TestFaultRestricted(t *testing.T) {
	n := makeNamespace(t, "restricted")
	const label = "pod-security.kubernetes.io/enforce"
	n.must("label", "namespace", n.system, label+"=restricted", "--overwrite")
	t.Cleanup(func() { n.must("label", "namespace", n.system, label+"-") })
	before := n.controllers()
	for _, p := range before {
		n.must("-n", n.system, "delete", "pod", p.Metadata.Name)
		n.controllersReady(p)
	}
	n.applyClaim(claim{Claim: "made", Class: "nfs"})
	n.eventually("a claim is bound", claimDeadline, n.allBound("made"))

	for name, more := range map[string]func(spec, container map[string]any){
		"privileged": func(_, container map[string]any) { container["securityContext"] = map[string]any{"privileged": true} },
		"root":       func(spec, _ map[string]any) { spec["securityContext"] = map[string]any{"runAsUser": 0} },
		"network": func(spec, _ map[string]any) {
			delete(spec["securityContext"].(map[string]any), "sysctls")
			spec["hostNetwork"] = true
		},
		"capability": func(_, container map[string]any) {
			container["securityContext"].(map[string]any)["capabilities"] = map[string]any{"drop": []string{"ALL"}, "add": []string{"SYS_ADMIN"}}
		},
		"node's directory": func(spec, _ map[string]any) {
			spec["volumes"] = append(spec["volumes"].([]any), map[string]any{"name": "host", "hostPath": map[string]any{"path": "/"}})
		},
	} {
		if _, err := n.admit(func(map[string]any, map[string]any) {}); err != nil {
			t.Fatalf("the controller as it is: %v", err)
		}
		if _, err := n.admit(more); err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
			t.Errorf("the controller with %s is admitted: %v", name, err)
		}
	}
}

// admit asks the API server whether a copy of a controller's pod, changed, may be made.
func (c cluster) admit(change func(spec, container map[string]any)) (string, error) {
	c.t.Helper()
	var p struct {
		Metadata struct{ Labels map[string]string }
		Spec     map[string]any
	}
	if err := c.get(&p, "-n", c.system, "pod", c.controllers()[0].Metadata.Name); err != nil {
		c.t.Fatal(err)
	}
	delete(p.Spec, "nodeName")
	change(p.Spec, p.Spec["containers"].([]any)[0].(map[string]any))
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "copy", "namespace": c.system}, "spec": p.Spec})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.pipe(string(text), "create", "--dry-run=server", "-f", "-")
}

// kernelServer makes a node's kernel serve /srv/secure as exports are by default: only to clients that call from low ports.
const kernelServer = `modprobe nfsd; mkdir -p /srv/secure /var/lib/nfs/v4recovery && { grep -q ' /proc/fs/nfsd ' /proc/mounts || mount -t nfsd nfsd /proc/fs/nfsd; } &&
{ pidof rpc.mountd >/dev/null || rpc.mountd; } && rpc.nfsd -G 10 -L 10 4 && exportfs -o rw,no_root_squash,secure,no_subtree_check '*:/srv/secure' && echo Y > /proc/fs/nfsd/v4_end_grace`

const noKernelServer = `exportfs -ua; rpc.nfsd 0; pkill rpc.mountd; umount /proc/fs/nfsd; rm -rf /srv/secure; true`

// A "secure" export of another node's kernel, which sees the controller behind the cluster network's address translation. Without its
// low ports the controller says what would help.
func TestFaultSecureExport(t *testing.T) {
	n := makeNamespace(t, "secure")
	if len(n.nodes) < 2 {
		t.Fatalf("the cluster has the nodes %v, this test needs two", n.nodes)
	}
	leader := n.leader()
	node := n.nodes[0]
	if node == leader.Spec.NodeName {
		node = n.nodes[1]
	}
	t.Cleanup(func() { n.on(node, noKernelServer) })
	n.on(node, kernelServer)
	address := n.must("get", "node", node, "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`)
	storage := n.makeClass("secure", map[string]string{"server": address, "share": "/srv/secure"})
	n.makeClaims(storage, "through")
	n.within("secure export behind address translation: the claim is bound", claimDeadline, n.allBound("through"))
	n.translated(n.on(node, "ss -Htn state established sport = :2049"), leader.Status.PodIP)

	deployment := n.must("-n", n.system, "get", "deployment", "-l", "app.kubernetes.io/component=controller", "-o", "jsonpath={.items[0].metadata.name}")
	before := n.controllers()
	n.must("-n", n.system, "patch", "deployment", deployment, "--type=json", "-p", `[{"op": "replace",
		"path": "/spec/template/spec/securityContext/sysctls", "value": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "1024"}]}]`) // some runtimes allow low ports by themselves
	undone := false
	undo := func() {
		if !undone {
			undone = true
			n.must("-n", n.system, "rollout", "undo", "deployment", deployment)
		}
	}
	t.Cleanup(undo)
	n.controllersReady(before...)
	n.makeClaims(storage, "refused")
	n.within("secure export, controller without low ports: an Event says what helps", claimDeadline, n.said("refused", "insecure.*net.ipv4.ip_unprivileged_port_start"))
	low := n.controllers()
	undo()
	n.controllersReady(low...)
	n.within("secure export, controller with low ports again: the claim is bound", claimDeadline, n.allBound("refused"))
	n.in("delete", "pvc", "through", "refused")
}

// translated wants connections of ss to come from low ports, and not from the pod's own address.
func (n namespace) translated(connections, pod string) {
	n.t.Helper()
	n.t.Logf("the server's connections:\n%s", connections)
	if strings.Contains(connections, pod+":") {
		n.t.Errorf("the server sees the pod's own address %s: nothing is translated, and the test shows nothing", pod)
	}
	seen := 0
	for line := range strings.Lines(connections) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		port, err := strconv.Atoi(f[3][strings.LastIndex(f[3], ":")+1:])
		if err != nil || port >= 1024 {
			n.t.Errorf("a connection comes from %s: %v", f[3], err)
		}
		seen++
	}
	if seen == 0 {
		n.t.Error("the server has no connection")
	}
	n.judge("secure export behind address translation: connections from low ports", "all", fmt.Sprint(seen), seen > 0)
}
