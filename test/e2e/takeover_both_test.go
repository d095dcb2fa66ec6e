//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// image is that of the release under test.
func (n namespace) image() string {
	n.t.Helper()
	return strings.TrimSpace(n.must("-n", n.system, "get", "deployment", "nfs-csi-controller", "-o", "jsonpath={.spec.template.spec.containers[0].image}"))
}

// release installs this tree's chart with this tree's image as a release of the test's namespace, and of its name.
func (n namespace) release(args ...string) {
	n.t.Helper()
	image := n.image()
	colon := strings.LastIndex(image, ":")
	args = append([]string{"install", n.name, variable("E2E_CHART", "../../deploy/charts/nfs-csi"), "--set", "image.repository=" + image[:colon] + ",image.tag=" + image[colon+1:]}, args...)
	if err := n.helm(args...); err != nil {
		n.t.Fatal(err)
	}
}

// nodePod is the release's pod on a node.
func (n namespace) nodePod(node string) string {
	n.t.Helper()
	var name string
	n.eventually("our node's pod on "+node, podDeadline, func() error {
		out, err := n.tryIn("get", "pods", "-l", "app.kubernetes.io/instance="+n.name+",app.kubernetes.io/component=node", "--field-selector", "spec.nodeName="+node,
			"-o", "jsonpath={.items[0].metadata.name}")
		if name = strings.TrimSpace(out); err == nil && name == "" {
			err = fmt.Errorf("there is none")
		}
		return err
	})
	return name
}

// mountsOf are the mounts of pods of this node that have text in their line.
func (n namespace) mountsOf(node, text string) []string {
	n.t.Helper()
	return strings.Fields(n.on(node, fmt.Sprintf("grep -F %q /proc/1/mountinfo | cut -d' ' -f5; true", text)))
}

// The old driver's node part and ours are on one node at once: ours waits for the place at kubelet, nobody's mount is touched, and each pod
// has its volume mounted once. When the old one goes, ours unmounts what the old one mounted.
func TestBothDriversOnOneNode(t *testing.T) {
	n := newNamespace(t, "both")
	node := n.nodes[0]
	n.driver = n.name + ".nfs-csi.test"
	t.Cleanup(func() {
		if kept() {
			return
		}
		_, _ = n.tryIn("delete", "pod", "first", "second", "third", "--ignore-not-found")
		_, _ = n.tryIn("delete", "pvc", "--all")
		_ = n.helm("uninstall", n.name, "--wait", "--ignore-not-found")
		_, _ = n.tryIn("delete", "pod", "old-node", "--ignore-not-found")
		_, _ = n.try("delete", "csidriver", n.driver, "--ignore-not-found")
		_, _ = n.try("delete", "pv", n.class("first"), "--ignore-not-found")
	})
	n.export().sh(fmt.Sprintf("mkdir %[1]s && chmod 777 %[1]s", n.name))

	// The old one alone.
	n.apply("old-node.yaml", map[string]any{"Node": node, "Image": n.image()})
	n.ready("old-node")
	n.apply("static.yaml", map[string]any{"Volume": n.class("first"), "Claim": "first", "Mode": "ReadWriteMany", "PVServer": n.server, "PVShare": n.share,
		"Handle": "of " + n.name, "Dir": n.name, "MountOptions": nil})
	n.apply("csinfs-writer.yaml", map[string]any{"Pod": "first", "Claim": "first", "Node": node})
	n.ready("first")
	writers := []oldVolume{{claim: "first", dir: n.name}}

	// Both.
	n.release("--set", "driver.name="+n.driver+",controller.replicas=1,metrics.nodePort=29752", "--set-json", "storageClasses=[]")
	n.waits(podDeadline, "rollout", "status", "deployment/"+n.name+"-nfs-csi-controller")
	ours := n.nodePod(node)
	n.eventually("our node part says who is in the way", podDeadline, func() error {
		out, err := n.tryIn("logs", ours)
		if err == nil && !strings.Contains(out, "another process answers") {
			err = fmt.Errorf("it says\n%s", tail(out, 10))
		}
		return err
	})
	n.goOn("beside both drivers", writers)
	class := n.makeClass("both", map[string]string{"server": n.server, "share": n.share})
	n.applyClaim(claim{Claim: "second", Class: class})
	n.bound("second")
	n.applyPod(pod{Pod: "second", Claim: "second", Node: node})
	n.ready("second")
	for _, dir := range []string{n.name, n.volumeOf("second").Dir} {
		if mounts := n.mountsOf(node, "/"+dir+" "); len(mounts) != 1 {
			t.Errorf("%s is mounted %d times: %v", dir, len(mounts), mounts)
		}
	}
	if status := n.in("get", "pod", ours, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); status != "False" {
		t.Errorf("our node part, which kubelet does not know, is ready: %s", status)
	}
	if status := n.in("get", "pod", "old-node", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); status != "True" {
		t.Errorf("the old node part has lost its place: %s", status)
	}

	// The old one goes.
	n.in("delete", "pod", "old-node")
	n.waits(podDeadline, "rollout", "status", "daemonset/"+n.name+"-nfs-csi-node")
	n.goOn("with our driver alone", writers)
	if restarts := strings.TrimSpace(n.in("get", "pod", "first", "-o", "jsonpath={.status.containerStatuses[0].restartCount}")); restarts != "0" {
		t.Errorf("the pod was restarted %s times", restarts)
	}
	n.applyPod(pod{Pod: "third", Claim: "second", Node: node})
	n.ready("third")
	n.sh("third", "echo seen >/data/by-the-third")
	if got := strings.TrimSpace(n.sh("second", "cat /data/by-the-third")); got != "seen" {
		t.Errorf("two pods with one volume, mounted by two drivers: %q", got)
	}
	var targets []string
	for _, p := range []string{"first", "second"} {
		targets = append(targets, "/var/lib/kubelet/pods/"+strings.TrimSpace(n.in("get", "pod", p, "-o", "jsonpath={.metadata.uid}"))+"/volumes/kubernetes.io~csi")
	}
	n.in("delete", "pod", "first", "second")
	for _, target := range targets {
		n.eventually("what the old one mounted is unmounted by ours", goneDeadline, func() error {
			if left := n.mountsOf(node, target+"/"); len(left) > 0 {
				return fmt.Errorf("there is %v", left)
			}
			return nil
		})
	}
	n.in("delete", "pod", "third")
	v := n.volumeOf("second")
	n.in("delete", "pvc", "second")
	n.eventually("the volume goes away", goneDeadline, n.absent("pv", v.Name))
}
