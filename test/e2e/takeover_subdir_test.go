//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// oldProvisioner is a name that the release of testdata/values.yaml answers to: a class of it names it.
const oldProvisioner = "gxf-nfs-storage"

// subdirClass is a StorageClass of nfs-subdir-external-provisioner.
func (n namespace) subdirClass(suffix string, parameters map[string]string) string {
	n.t.Helper()
	n.apply("subdir-class.yaml", map[string]any{"Class": n.class(suffix), "Provisioner": oldProvisioner, "Parameters": parameters})
	return n.class(suffix)
}

// subdirVolume lays out a directory with a file, and an in-tree volume of it bound to a claim, as that provisioner leaves them. It is
// on the server outside: nodes mount in-tree volumes without the cluster's DNS.
func (n namespace) subdirVolume(claim, class, dir string) (pv string) {
	n.t.Helper()
	pv = n.name + "-" + claim
	n.outSide().sh(fmt.Sprintf("mkdir -p %[1]q && chmod 777 %[1]q && echo %[2]q > %[1]q/old", dir, claim))
	path := strings.TrimSuffix(n.outShare, "/") + "/" + dir
	n.apply("subdir-volume.yaml", map[string]any{"Volume": pv, "Claim": claim, "Class": class, "Provisioner": oldProvisioner, "Path": path, "Server": n.outside})
	n.bound(claim)
	return pv
}

// nfsCSI runs the program beside the tests, as an administrator does.
func (n namespace) nfsCSI(args ...string) string {
	n.t.Helper()
	ctx, cancel := contextFor(commandDeadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, n.program, args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("nfs-csi %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Volumes of nfs-subdir-external-provisioner whose claims are deleted: each as its class says, archives beside what is there.
func TestSubdirVolumesAreDeleted(t *testing.T) {
	n := newNamespace(t, "subdir-delete")
	archive, remove, keep := n.subdirClass("archive", nil), n.subdirClass("remove", map[string]string{"archiveOnDelete": "false"}),
		n.subdirClass("keep", map[string]string{"onDelete": "retain"})
	flat := n.name + "-flat-pvc-1"
	deep := n.name + "/team/" + n.name + "-deep"
	pvs := []string{
		n.subdirVolume("flat", archive, flat), n.subdirVolume("deep", archive, deep),
		n.subdirVolume("remove", remove, n.name+"-remove"), n.subdirVolume("keep", keep, n.name+"-keep"),
	}
	n.outSide().sh(fmt.Sprintf("mkdir archived-%[1]s && echo older > archived-%[1]s/old", flat))
	n.in("delete", "pvc", "--all", "--wait=false")
	for _, pv := range pvs {
		n.eventually("the volume "+pv+" goes away", goneDeadline, n.absent("pv", pv))
	}
	there := n.outSide().list()
	for name, want := range map[string]bool{
		flat: false, deep: false, n.name + "/team": true, n.name + "-remove": false, n.name + "-keep/old": true,
		"archived-" + flat + "/old": true, "archived-" + flat + "-" + pvs[0] + "/old": true, "archived-" + n.name + "-deep/old": true,
	} {
		if there.has(name) != want {
			t.Errorf("%s is there: %t, want %t", name, !want, want)
		}
	}
	if got := strings.TrimSpace(n.outSide().sh("cat archived-" + flat + "/old")); got != "older" {
		t.Errorf("the older archive holds %q", got)
	}
}

// New claims of old classes get the directories that the old provisioner would have made.
func TestSubdirClaims(t *testing.T) {
	n := newNamespace(t, "subdir-claims")
	n.applyClaim(claim{Claim: "plain", Class: n.subdirClass("plain", nil)})
	pattern := n.subdirClass("pattern", map[string]string{"pathPattern": "${.PVC.namespace}/${.PVC.annotations.nfs.io/storage-path}", "onDelete": "delete"})
	n.applyClaim(claim{Claim: "path", Class: pattern, Annotations: map[string]string{"nfs.io/storage-path": "a/b"}})
	n.applyClaim(claim{Claim: "escape", Class: pattern, Annotations: map[string]string{"nfs.io/storage-path": "../../x"}})
	n.applyPod(pod{Pod: "writer", Claim: "path"})
	if v := n.bound("plain"); v.Dir != n.name+"-plain-"+v.Name {
		t.Errorf("the default directory is %q", v.Dir)
	}
	v := n.bound("path")
	if v.Dir != n.name+"/a/b" {
		t.Errorf("the directory is %q", v.Dir)
	}
	n.applyClaim(claim{Claim: "same", Class: pattern, Annotations: map[string]string{"nfs.io/storage-path": "a/b"}})
	n.ready("writer")
	n.sh("writer", "echo hello > /data/file")
	n.warned("escape", `".." is not allowed`, claimDeadline)
	n.warned("same", "give each (claim|volume) a directory of its own", claimDeadline)
	n.in("delete", "pod/writer", "pvc/path", "pvc/same", "pvc/escape")
	n.eventually("the volume goes away", goneDeadline, n.absent("pv", v.Name))
	if n.export().list().has(n.name + "/a/b") {
		t.Error("the directory is still there")
	}
}

// In-tree volumes become CSI volumes and back while a pod writes through.
func TestSubdirMigration(t *testing.T) {
	n := newNamespace(t, "subdir-migrate")
	class := n.subdirClass("old", map[string]string{"archiveOnDelete": "false"})
	pv := n.subdirVolume("data", class, n.name+"-data-pvc-1")
	n.applyPod(pod{Pod: "before", Claim: "data"})
	n.ready("before")
	n.sh("before", "(while :; do date >> /data/ticks; sleep 1; done) >/dev/null 2>&1 &")

	flags := []string{"--from", oldProvisioner, "--export", n.outside + ":" + n.outShare, "--namespace", n.name, pv}
	if out := n.nfsCSI(append([]string{"migrate", "plan"}, flags...)...); !strings.Contains(out, "convertible") || !strings.Contains(out, "before") {
		t.Fatalf("the plan is\n%s", out)
	}
	n.nfsCSI(append([]string{"migrate", "apply", "--yes"}, flags...)...)
	v := n.bound("data")
	if v.Name != pv || v.Dir != n.name+"-data-pvc-1" || v.ReclaimPolicy != "Delete" || v.Phase != "Bound" {
		t.Fatalf("the volume is %+v", v)
	}
	n.goesOn("before")
	n.applyPod(pod{Pod: "after", Claim: "data"})
	n.ready("after")
	if got := strings.TrimSpace(n.sh("after", "cat /data/old")); got != "data" {
		t.Errorf("the new pod reads %q", got)
	}
	n.in("delete", "pod", "after")

	n.nfsCSI(append([]string{"migrate", "undo", "--yes"}, flags...)...)
	if v := n.bound("data"); v.Handle != "" || v.ReclaimPolicy != "Delete" {
		t.Errorf("undone it is %+v", v)
	}
	n.goesOn("before")

	n.nfsCSI(append([]string{"migrate", "apply", "--yes"}, flags...)...)
	n.nfsCSI(append([]string{"migrate", "finish", "--yes"}, flags...)...)
	n.in("delete", "pod/before", "pvc/data")
	n.eventually("the volume goes away", goneDeadline, n.absent("pv", pv))
	n.eventually("its directory goes away", claimDeadline, func() error {
		if left := n.outSide().list().about(n.name + "-data-pvc-1"); len(left) > 0 {
			return fmt.Errorf("there is %v", left)
		}
		return nil
	})
}

// goesOn: what writes in a pod still does, and all of it is on the export.
func (n namespace) goesOn(pod string) {
	n.t.Helper()
	before := strings.TrimSpace(n.sh(pod, "wc -l < /data/ticks"))
	n.eventually("pod "+pod+" goes on writing", claimDeadline, func() error {
		if now := strings.TrimSpace(n.sh(pod, "wc -l < /data/ticks")); now == before {
			return fmt.Errorf("there are still %s lines", now)
		}
		return nil
	})
}

// A cluster that has lost a volume and its claim gets both back from the export.
func TestImport(t *testing.T) {
	n := newNamespace(t, "import")
	class := n.applyClass(class{Class: n.class("kept"), ReclaimPolicy: "Retain", Parameters: map[string]string{"server": n.outside, "share": n.outShare, "onDelete": "delete"}})
	n.applyClaim(claim{Claim: "lost", Class: class})
	n.applyPod(pod{Pod: "writer", Claim: "lost"})
	v := n.bound("lost")
	n.ready("writer")
	n.sh("writer", "echo precious > /data/file")
	n.in("delete", "pod/writer", "pvc/lost")
	n.must("delete", "pv", v.Name)

	// From beside the cluster, where only the server outside has an address.
	out := n.nfsCSI("import", n.outside+":"+n.outShare, "--volume", v.Name, "--class", class, "--claims", "--yes")
	if !strings.Contains(out, "[1/1] "+v.Name+" written") {
		t.Errorf("import says %s", out)
	}
	if now := n.bound("lost"); now.Name != v.Name || now.Handle != v.Handle || now.Dir != v.Dir || now.Capacity != v.Capacity {
		t.Errorf("the volume is %+v, was %+v", now, v)
	}
	n.applyPod(pod{Pod: "reader", Claim: "lost"})
	n.ready("reader")
	if got := strings.TrimSpace(n.sh("reader", "cat /data/file")); got != "precious" {
		t.Errorf("read %q", got)
	}
}
