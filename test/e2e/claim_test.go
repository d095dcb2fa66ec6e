//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// class is a StorageClass of one test.
type class struct {
	Class         string
	ReclaimPolicy string
	BindingMode   string
	MountOptions  []string
	Parameters    map[string]string
}

// makeClass applies a StorageClass with these parameters, everything else as Kubernetes has it by default.
func (n namespace) makeClass(suffix string, parameters map[string]string) string {
	n.t.Helper()
	return n.applyClass(class{Class: n.class(suffix), Parameters: parameters})
}

func (n namespace) applyClass(c class) string {
	n.t.Helper()
	if c.ReclaimPolicy == "" {
		c.ReclaimPolicy = "Delete"
	}
	if c.BindingMode == "" {
		c.BindingMode = "Immediate"
	}
	n.apply("class.yaml", map[string]any{"Class": c.Class, "ReclaimPolicy": c.ReclaimPolicy, "BindingMode": c.BindingMode,
		"MountOptions": c.MountOptions, "Parameters": c.Parameters})
	return c.Class
}

// claim is a PersistentVolumeClaim of one test; Mode and Size may be left out.
type claim struct {
	Claim, Class, Mode, Size string
	Annotations              map[string]string
	Selector                 string // the label "volume" that its volume must have
	Source, Snapshot         string // the claim, or the VolumeSnapshot, that it is to be filled from
}

func (n namespace) applyClaim(c claim) {
	n.t.Helper()
	n.applyText(n.claimText(c))
}

// makeClaims makes claims of one class with one command.
func (n namespace) makeClaims(class string, names ...string) {
	n.t.Helper()
	var all strings.Builder
	for _, name := range names {
		all.WriteString("---\n" + n.claimText(claim{Claim: name, Class: class}))
	}
	if _, err := n.pipe(all.String(), "create", "-n", n.name, "-f", "-"); err != nil {
		n.t.Fatal(err)
	}
}

func (n namespace) claimText(c claim) string {
	n.t.Helper()
	if c.Mode == "" {
		c.Mode = "ReadWriteMany"
	}
	if c.Size == "" {
		c.Size = "10Mi"
	}
	return n.manifest("claim.yaml", map[string]any{"Claim": c.Claim, "Class": c.Class, "Mode": c.Mode, "Size": c.Size, "Annotations": c.Annotations,
		"Selector": c.Selector, "Source": c.Source, "Snapshot": c.Snapshot})
}

// pod is a shell with a claim at /data.
type pod struct {
	Pod, Claim                   string
	Node                         string
	MountReadOnly, ClaimReadOnly bool
}

func (n namespace) applyPod(p pod) {
	n.t.Helper()
	n.apply("pod.yaml", map[string]any{"Pod": p.Pod, "Claim": p.Claim, "Node": p.Node, "MountReadOnly": p.MountReadOnly, "ClaimReadOnly": p.ClaimReadOnly})
}

// A claim of a class of the old provisioner's, shared by the two pods of a Deployment that are not root; then Retain.
func TestSmokeSharedClaim(t *testing.T) {
	n := newNamespace(t, "shared")
	n.apply("shared-claim.yaml", nil)
	v := n.bound("test-claim")
	if want := n.name + "-test-claim-" + v.Name; v.Dir != want {
		t.Errorf("the directory is %q, want %q", v.Dir, want)
	}
	if v.Capacity != "100Mi" || strings.Join(v.Modes, ",") != "ReadWriteMany" || v.ReclaimPolicy != "Retain" {
		t.Errorf("the volume is %+v", v)
	}
	n.rolledOut("deployment/test-deployment")
	pods := strings.Fields(n.in("get", "pods", "-l", "app=test", "-o", "jsonpath={.items[*].metadata.name}"))
	if len(pods) != 2 {
		t.Fatalf("the Deployment has the pods %v", pods)
	}
	for _, reader := range pods {
		for _, writer := range pods {
			n.eventually("pod "+reader+" reads what "+writer+" wrote", claimDeadline, func() error {
				_, err := n.tryIn("exec", reader, "--", "grep", "-qx", "written by "+writer, "/mnt/"+writer)
				return err
			})
		}
	}
	n.in("delete", "deployment/test-deployment", "pvc/test-claim")
	n.gone("pvc", "test-claim")
	n.eventually("the volume is released", claimDeadline, func() error {
		now, err := n.volume(v.Name)
		if err == nil && now.Phase != "Released" {
			err = fmt.Errorf("it is %s", now.Phase)
		}
		return err
	})
	there := n.export().list()
	for _, name := range pods {
		if !there.has(v.Dir + "/" + name) {
			t.Errorf("Retain lost %s/%s", v.Dir, name)
		}
	}
}

// reclaim is what deleting a claim does to its directory.
type reclaim struct {
	name       string
	parameters map[string]string
	archived   bool
	retained   bool
}

var reclaims = []reclaim{
	{name: "delete", parameters: map[string]string{"onDelete": "delete"}},
	{name: "retain", parameters: map[string]string{"onDelete": "retain"}, retained: true},
	{name: "archive", parameters: map[string]string{"onDelete": "archive"}, archived: true},
	{name: "archive-true", parameters: map[string]string{"archiveOnDelete": "true"}, archived: true},
	{name: "archive-false", parameters: map[string]string{"archiveOnDelete": "false"}},
	{name: "silent", parameters: nil},
}

func TestSmokeReclaim(t *testing.T) {
	n := newNamespace(t, "reclaim")
	volumes := map[string]volume{}
	for _, r := range reclaims {
		n.applyClaim(claim{Claim: r.name, Class: n.makeClass(r.name, r.parameters)})
	}
	var fill strings.Builder
	for _, r := range reclaims {
		v := n.bound(r.name)
		volumes[r.name] = v
		fmt.Fprintf(&fill, "mkdir %[1]q/deep && echo precious > %[1]q/deep/file || exit 1\n", v.Dir)
	}
	n.export().sh(fill.String())
	n.in("delete", "pvc", "--all", "--wait=false")
	for _, r := range reclaims {
		n.eventually("the volume of claim "+r.name+" goes away", goneDeadline, n.absent("pv", volumes[r.name].Name))
	}
	// What is removed leaves its name at once, and its bytes soon after.
	there := n.export().list()
	for _, r := range reclaims {
		dir := volumes[r.name].Dir
		for name, want := range map[string]bool{dir: r.retained, "archived-" + dir: r.archived} {
			if got := there.has(name + "/deep/file"); got != want {
				t.Errorf("%s: %s is there: %t, want %t", r.name, name, got, want)
			}
		}
	}
	n.eventually("nothing is left of what is removed", claimDeadline, func() error {
		there := n.export().list()
		for _, r := range reclaims {
			if left := there.about(volumes[r.name].Name); !r.retained && !r.archived && len(left) > 0 {
				return fmt.Errorf("of %s there is %v", r.name, left)
			}
		}
		return nil
	})
}

// nothing is an error if the export has anything whose path contains text.
func (n namespace) nothing(text string) error {
	if left := n.export().list().about(text); len(left) > 0 {
		return fmt.Errorf("on the export there is %v", left)
	}
	return nil
}

// A claim that is deleted while a pod uses it stays until the pod is gone.
func TestDeleteClaimInUse(t *testing.T) {
	n := newNamespace(t, "inuse")
	n.applyClaim(claim{Claim: "used", Class: "nfs"})
	n.applyPod(pod{Pod: "user", Claim: "used"})
	v := n.bound("used")
	n.ready("user")
	n.in("delete", "pvc", "used", "--wait=false")
	n.sh("user", "echo still writing > /data/file")
	if !n.export().list().has(v.Dir + "/file") {
		t.Error("the directory went although a pod uses it")
	}
	if out := n.in("get", "pvc", "used", "-o", "jsonpath={.metadata.deletionTimestamp}"); out == "" {
		t.Error("the claim does not know that it was deleted")
	}
	n.in("delete", "pod", "user")
	n.gone("pvc", "used")
	n.eventually("the volume goes away", goneDeadline, n.absent("pv", v.Name))
	n.eventually("the directory goes away", claimDeadline, func() error { return n.nothing(v.Name) })
}

// A class that waits for its first pod, with mount options: none before, and the mount has them.
func TestWaitForFirstConsumer(t *testing.T) {
	n := newNamespace(t, "wait")
	name := n.applyClass(class{Class: n.class("wait"), BindingMode: "WaitForFirstConsumer", MountOptions: []string{"vers=4.1", "noatime"}})
	n.applyClaim(claim{Claim: "later", Class: name, Mode: "ReadWriteOnce"})
	n.eventually("the claim waits for a pod", claimDeadline, func() error {
		if got := n.events("later"); !strings.Contains(got, "WaitForFirstConsumer") {
			return fmt.Errorf("events: %s", got)
		}
		return nil
	})
	n.applyPod(pod{Pod: "first", Claim: "later"})
	n.ready("first")
	if v := n.bound("later"); strings.Join(v.MountOptions, ",") != "vers=4.1,noatime" {
		t.Errorf("the volume has the mount options %q", v.MountOptions)
	}
	mounted := n.sh("first", "grep ' /data ' /proc/mounts")
	for _, want := range []string{"vers=4.1", "noatime"} {
		if !strings.Contains(mounted, want) {
			t.Errorf("the mount lacks %s: %s", want, mounted)
		}
	}
}

// An NFS server that is no part of the cluster.
func TestServerOutsideCluster(t *testing.T) {
	n := newNamespace(t, "outside")
	if n.outside == "" {
		t.Fatal("E2E_OUTSIDE_SERVER is not set")
	}
	name := n.makeClass("outside", map[string]string{"server": n.outside, "share": n.outShare, "subDir": "${pvc.metadata.namespace}/${pvc.metadata.name}"})
	n.applyClaim(claim{Claim: "far", Class: name})
	n.applyPod(pod{Pod: "user", Claim: "far"})
	v := n.bound("far")
	n.ready("user")
	n.sh("user", "echo hello > /data/file")
	if v.Dir != n.name+"/far" || !n.outSide().list().has(v.Dir+"/file") {
		t.Errorf("the file is not in %s of the server outside", v.Dir)
	}
	n.in("delete", "pod/user", "pvc/far")
	n.eventually("the volume goes away", goneDeadline, n.absent("pv", v.Name))
	if n.outSide().list().has(v.Dir) {
		t.Errorf("%s is still there", v.Dir)
	}
}
