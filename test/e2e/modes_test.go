//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// Two nodes write to one volume and see each other's files.
func TestTwoNodesShareVolume(t *testing.T) {
	n := newNamespace(t, "nodes")
	if len(n.nodes) < 2 {
		t.Fatalf("the cluster has the nodes %v, this test needs two", n.nodes)
	}
	n.applyClaim(claim{Claim: "shared", Class: "nfs"})
	n.applyPod(pod{Pod: "one", Claim: "shared", Node: n.nodes[0]})
	n.applyPod(pod{Pod: "two", Claim: "shared", Node: n.nodes[1]})
	n.ready("one")
	n.ready("two")
	n.sh("one", "echo from one > /data/one; sync")
	n.sh("two", "echo from two > /data/two; sync")
	for pod, file := range map[string]string{"one": "two", "two": "one"} {
		n.eventually("pod "+pod+" reads what the other wrote", claimDeadline, func() error {
			_, err := n.tryIn("exec", pod, "--", "grep", "-qx", "from "+file, "/data/"+file)
			return err
		})
	}
}

// ReadWriteOncePod is for one pod alone; the second runs when the first is gone.
func TestReadWriteOncePod(t *testing.T) {
	n := newNamespace(t, "rwop")
	n.applyClaim(claim{Claim: "alone", Class: "nfs", Mode: "ReadWriteOncePod"})
	n.applyPod(pod{Pod: "first", Claim: "alone"})
	n.ready("first")
	n.applyPod(pod{Pod: "second", Claim: "alone"})
	n.warned("second", "ReadWriteOncePod", claimDeadline)
	n.in("delete", "pod", "first")
	n.ready("second")
	n.sh("second", "echo mine > /data/file")
}

// A read-only claim and a read-only mount of a container: both can read, neither can write.
func TestReadOnlyMounts(t *testing.T) {
	n := newNamespace(t, "readonly")
	n.applyClaim(claim{Claim: "papers", Class: "nfs"})
	v := n.bound("papers")
	n.export().sh("echo printed > " + v.Dir + "/page")
	n.applyPod(pod{Pod: "by-claim", Claim: "papers", ClaimReadOnly: true})
	n.applyPod(pod{Pod: "by-mount", Claim: "papers", MountReadOnly: true})
	for _, name := range []string{"by-claim", "by-mount"} {
		n.ready(name)
		if got := strings.TrimSpace(n.sh(name, "cat /data/page")); got != "printed" {
			t.Errorf("%s reads %q", name, got)
		}
		if out := n.sh(name, "touch /data/new 2>&1 || true"); !strings.Contains(out, "Read-only file system") {
			t.Errorf("%s writes: %q", name, out)
		}
	}
	if n.export().list().has(v.Dir + "/new") {
		t.Error("a read-only pod wrote a file")
	}
}

// A volume that an admin made by hand: free text as its handle, found by its label.
func TestStaticVolume(t *testing.T) {
	n := newNamespace(t, "static")
	dir := n.name + "-by-hand"
	n.export().sh("mkdir -p " + dir + "/inner && chmod 0777 " + dir + "/inner && echo old > " + dir + "/inner/file")
	static := map[string]any{"Volume": n.class("pv"), "Claim": "found", "Mode": "ReadWriteMany", "PVServer": n.server,
		"MountOptions": []string{"vers=4.1"}}
	static["Handle"], static["PVShare"], static["Dir"] = n.server+"/"+n.name+"##", strings.TrimRight(n.share, "/")+"/"+dir, "inner"
	n.apply("static.yaml", static)
	n.applyPod(pod{Pod: "user", Claim: "found"})
	n.ready("user")
	if got := strings.TrimSpace(n.sh("user", "cat /data/file && echo new > /data/file2")); got != "old" {
		t.Errorf("the pod reads %q", got)
	}
	n.in("delete", "pod/user", "pvc/found")
	n.must("delete", "pv", n.class("pv"))
	there := n.export().list()
	for _, file := range []string{"file", "file2"} {
		if !there.has(dir + "/inner/" + file) {
			t.Errorf("%s is gone with the static volume", file)
		}
	}
}
