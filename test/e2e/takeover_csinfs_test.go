//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// oldVolume is a volume as csi-driver-nfs left it.
type oldVolume struct {
	claim   string
	dir     string // below the share
	handle  string
	policy  string // what becomes of the directory: delete, retain, archive, or never for a static volume
	reclaim string
	extra   map[string]string // attributes besides server and share
}

// old is the name of the PersistentVolume of a claim.
func (n namespace) old(claim string) string { return "pvc-" + n.name + "-" + claim }

// oldVolumes are all forms of handles that csi-driver-nfs ever wrote.
func (n namespace) oldVolumes() []oldVolume {
	share := strings.Trim(n.share, "/")
	handle := func(fields ...string) string { return n.server + "#" + share + "#" + strings.Join(fields, "#") }
	pv, nested := n.old, func(claim string) string { return n.name + "/" + claim }
	return []oldVolume{
		{"plain", pv("plain"), handle(pv("plain"), "", ""), "delete", "Delete", map[string]string{"subdir": pv("plain"), "mountPermissions": "0755"}},
		{"nested", nested("nested"), handle(nested("nested"), pv("nested"), "archive"), "archive", "Delete",
			map[string]string{"SubDir": "${pvc.metadata.namespace}/nested", "csi.storage.k8s.io/pvc/namespace": n.name, "onDelete": "archive"}},
		{"kept", pv("kept"), handle(pv("kept"), "", "retain"), "retain", "Delete", map[string]string{"subdir": pv("kept"), "onDelete": "retain"}},
		{"four", nested("four"), handle(nested("four"), pv("four")), "delete", "Delete", map[string]string{"subDir": nested("four")}},
		{"three", pv("three"), handle(pv("three")), "delete", "Delete", map[string]string{"subDir": pv("three")}},
		{"slashes", pv("slashes"), n.server + "/" + share + "/" + pv("slashes"), "delete", "Delete", map[string]string{"subDir": pv("slashes")}},
		{"static", pv("static"), n.server + n.share + "/" + pv("static") + "##", "never", "Retain", map[string]string{"subDir": pv("static"), "mountOptions": "noatime"}},
	}
}

// layOut makes what lies on the export: the directories, an archive of an earlier volume of the same name, and snapshots of
// both kinds.
func (n namespace) layOut(volumes []oldVolume) {
	n.t.Helper()
	var script strings.Builder
	for _, v := range volumes {
		fmt.Fprintf(&script, "mkdir -p %[1]q && chmod 777 %[1]q && echo precious > %[1]q/file || exit 1\n", v.dir)
	}
	fmt.Fprintf(&script, "mkdir -p archived-%[1]s/nested && echo earlier > archived-%[1]s/nested/file || exit 1\n", n.name)
	fmt.Fprintf(&script, `for kind in tar.gz tar; do d=snapshot-%[1]s-$kind; mkdir $d && tar -c$([ $kind = tar ] || echo z)f $d/pvc-%[1]s-plain.$kind -C pvc-%[1]s-plain . || exit 1; done`, n.name)
	n.export().sh(script.String())
}

// helm runs Helm on the one release of the test.
func (n namespace) helm(args ...string) error {
	ctx, cancel := contextFor(podDeadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, variable("E2E_HELM", "helm"), append(args, "--namespace", n.name)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("helm %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// install is the guide's `helm install` with the old release's values.
func (n namespace) install() {
	n.t.Helper()
	n.release("--values", n.file("csinfs-values.yaml"), "--set", "driver.defaultSubDir=${pv.metadata.name}")
	n.waits(podDeadline, "rollout", "status", "deployment/"+n.name+"-nfs-csi-controller", "daemonset/"+n.name+"-nfs-csi-node")
}

// uninstall is `helm uninstall` of the old release, and the end of its pods.
func (n namespace) uninstall() {
	n.t.Helper()
	if err := n.helm("uninstall", n.name, "--wait"); err != nil {
		n.t.Fatal(err)
	}
	n.eventually("the old pods are gone", goneDeadline, n.absent("-n", n.name, "pods", "-l", "app.kubernetes.io/instance="+n.name))
}

// file is a manifest of testdata as a file.
func (n namespace) file(name string) string {
	n.t.Helper()
	path := n.t.TempDir() + "/" + name
	if err := os.WriteFile(path, []byte(n.manifest(name, nil)), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// clean leaves nothing in the cluster that waits for a driver which has gone.
func (n namespace) clean(volumes []oldVolume) {
	if kept() {
		return
	}
	for _, v := range volumes {
		_, _ = n.try("patch", "pv", n.old(v.claim), "-p", `{"metadata":{"finalizers":null}}`)
		_, _ = n.try("delete", "pv", n.old(v.claim), "--wait=false", "--ignore-not-found")
	}
	_ = n.helm("uninstall", n.name, "--wait", "--ignore-not-found")
}

// written is the last number that a pod wrote, by what lies on the export.
func (n namespace) written(dir string) int {
	line := strings.Fields(n.export().sh(fmt.Sprintf("tail -n 1 %q/log", dir)))
	if len(line) != 2 {
		return -1
	}
	number, err := strconv.Atoi(line[1])
	if err != nil {
		return -1
	}
	return number
}

// goOn waits until every writer has written more.
func (n namespace) goOn(when string, writers []oldVolume) {
	n.t.Helper()
	for _, v := range writers {
		before := n.written(v.dir)
		n.eventually("pod "+v.claim+" goes on writing "+when, claimDeadline, func() error {
			if now := n.written(v.dir); now < before+3 {
				return fmt.Errorf("it wrote %d, and %d before", now, before)
			}
			return nil
		})
	}
}

// remount puts a mount at the place where kubelet wants a pod's volume that is as mount.nfs makes it, in place of ours. The pod has
// its own, and goes on.
func (n namespace) remount(v oldVolume, node string) (target string) {
	n.t.Helper()
	n.apply("csinfs-node.yaml", map[string]any{"Pod": "node", "Node": node})
	n.ready("node")
	uid := strings.TrimSpace(n.in("get", "pod", v.claim, "-o", "jsonpath={.metadata.uid}"))
	target = fmt.Sprintf("/var/lib/kubelet/pods/%s/volumes/kubernetes.io~csi/%s/mount", uid, n.old(v.claim))
	address := strings.TrimSpace(n.must("-n", "nfs-server", "get", "service", "nfs-server", "-o", "jsonpath={.spec.clusterIP}"))
	// The node knows no names of the cluster; csi-driver-nfs has them of the cluster's DNS.
	n.sh("node", fmt.Sprintf("nsenter -t 1 -m -- sh -c 'grep -qw %[3]s /etc/hosts || echo %[2]s %[3]s >>/etc/hosts; umount %[1]s && mount -i -t nfs4 -o vers=4.1,hard,proto=tcp,timeo=600,retrans=2,sec=sys,addr=%[2]s %[3]s:%[4]s/%[5]s %[1]s'",
		target, address, n.server, n.share, v.dir))
	return target
}

// Volumes, archives and snapshots of csi-driver-nfs, with pods that write: the old release goes, ours comes, and everything goes
// on as it was created.
func TestTakeOverCSIDriverNFS(t *testing.T) {
	n := newNamespace(t, "csinfs")
	volumes := n.oldVolumes()
	t.Cleanup(func() { n.clean(volumes) })
	n.layOut(volumes)
	class := n.class("old")
	n.apply("csinfs-class.yaml", map[string]any{"Class": class})
	for _, v := range volumes {
		attributes := map[string]string{"server": n.server, "share": n.share}
		for key, value := range v.extra {
			attributes[key] = value
		}
		n.apply("csinfs-volume.yaml", map[string]any{"Volume": n.old(v.claim), "Claim": v.claim, "Class": class, "Handle": v.handle,
			"ReclaimPolicy": v.reclaim, "Dynamic": v.policy != "never", "Attributes": attributes})
	}

	n.install()
	writers := []oldVolume{volumes[0], volumes[1], volumes[6]}
	for _, v := range writers {
		n.apply("csinfs-writer.yaml", map[string]any{"Pod": v.claim, "Claim": v.claim, "Node": n.nodes[0]})
	}
	for _, v := range writers {
		n.ready(v.claim)
	}
	target := n.remount(volumes[0], n.nodes[0])
	if mode := strings.TrimSpace(n.export().sh(fmt.Sprintf("stat -c %%a %q", volumes[0].dir))); mode != "755" {
		t.Errorf("the attribute mountPermissions made the directory %s", mode)
	}

	n.uninstall()
	n.goOn("without a driver", writers)
	n.apply("csinfs-lease.yaml", map[string]any{"Now": time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")})
	n.install()
	n.goOn("with the new driver", writers)
	for _, v := range writers {
		if restarts := strings.TrimSpace(n.in("get", "pod", v.claim, "-o", "jsonpath={.status.containerStatuses[0].restartCount}")); restarts != "0" {
			t.Errorf("pod %s was restarted %s times", v.claim, restarts)
		}
	}

	n.waitsForTheOld(class)
	n.reschedule(volumes[0], target)
	n.restoreOld(class)
	n.deleteOld(volumes)
}

// waitsForTheOld: while a sidecar of the old driver is at work ours does nothing; it begins when that has gone.
func (n namespace) waitsForTheOld(class string) {
	n.t.Helper()
	n.applyClaim(claim{Claim: "fresh", Class: class})
	n.eventually("our controller waits for the old one", claimDeadline, func() error {
		out, err := n.tryIn("logs", "deployment/"+n.name+"-nfs-csi-controller")
		if err == nil && !strings.Contains(out, "lease="+n.name+"/external-snapshotter-leader-nfs-csi-k8s-io") {
			err = fmt.Errorf("it says\n%s", tail(out, 10))
		}
		return err
	})
	if phase := n.in("get", "pvc", "fresh", "-o", "jsonpath={.status.phase}"); phase != "Pending" {
		n.t.Errorf("beside the old controller the claim became %s", phase)
	}
	n.in("delete", "lease", "external-snapshotter-leader-nfs-csi-k8s-io")
	v := n.bound("fresh")
	if v.Dir != v.Name {
		n.t.Errorf("the directory of %s is %q", v.Name, v.Dir)
	}
}

// reschedule moves a pod whose volume the old driver mounted to another node, where it reads what it wrote.
func (n namespace) reschedule(v oldVolume, target string) {
	n.t.Helper()
	n.in("delete", "pod", v.claim)
	n.eventually("the old driver's mount is gone", goneDeadline, func() error {
		left := strings.TrimSpace(n.sh("node", fmt.Sprintf("nsenter -t 1 -m -- sh -c 'grep -c %[1]s /proc/1/mountinfo; ls -d %[1]s 2>/dev/null'; true", target)))
		if left != "0" {
			return fmt.Errorf("there is left: %s", left)
		}
		return nil
	})
	before := n.written(v.dir)
	n.apply("csinfs-writer.yaml", map[string]any{"Pod": v.claim, "Claim": v.claim, "Node": n.nodes[len(n.nodes)-1]})
	n.ready(v.claim)
	if got := n.sh(v.claim, "cat /data/file; grep -c . /data/log"); !strings.HasPrefix(got, "precious\n") || before < 3 {
		n.t.Errorf("on the other node the pod reads %q", got)
	}
	n.in("delete", "pod", v.claim)
}

// restoreOld makes claims from snapshots of both kinds, and deletes the snapshots.
func (n namespace) restoreOld(class string) {
	n.t.Helper()
	for _, kind := range []string{"tar.gz", "tar"} {
		name := "snapshot-" + n.name + "-" + kind
		handle := strings.Join([]string{n.server, strings.Trim(n.share, "/"), name, name, n.old("plain")}, "#")
		n.apply("csinfs-snapshot.yaml", map[string]any{"Snapshot": name, "Handle": handle})
		restored := "from-" + strings.ReplaceAll(kind, ".", "-")
		n.applyClaim(claim{Claim: restored, Class: class, Size: "1Gi", Snapshot: name})
		v := n.bound(restored)
		if got := n.export().sh(fmt.Sprintf("cat %q/file", v.Dir)); got != "precious\n" {
			n.t.Errorf("from %s: %q", kind, got)
		}
		n.in("delete", "volumesnapshot", name, "--wait=false")
		n.eventually("snapshot "+kind+" goes away", goneDeadline, n.absent("volumesnapshotcontent", name))
		if left := n.export().list().about(name); len(left) > 0 {
			n.t.Errorf("of the deleted snapshot there is %v", left)
		}
	}
}

// deleteOld deletes all claims, and each directory meets the fate that it was created for.
func (n namespace) deleteOld(volumes []oldVolume) {
	n.t.Helper()
	n.in("delete", "pod", "-l", "!app.kubernetes.io/instance")
	n.in("delete", "pvc", "--all", "--wait=false")
	for _, v := range volumes {
		if v.policy == "never" {
			continue
		}
		n.eventually("the volume of claim "+v.claim+" goes away", goneDeadline, n.absent("pv", n.old(v.claim)))
	}
	there := n.export().list()
	for _, v := range volumes {
		if got, want := there.has(v.dir+"/file"), v.policy == "retain" || v.policy == "never"; got != want {
			n.t.Errorf("%s (%s): its directory is there: %t", v.claim, v.policy, got)
		}
	}
	// The name of the archive was taken by an earlier volume's.
	archived := n.export().sh(fmt.Sprintf("cat archived-%[1]s/nested/file; cat archived-%[1]s/nested?*/file", n.name))
	if archived != "earlier\nprecious\n" {
		n.t.Errorf("the archives hold %q; there is %v", archived, there.about("archived-"))
	}
}
