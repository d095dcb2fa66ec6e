//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// contents makes files of the kinds that copies get wrong: several sizes, an empty one, links, modes, owners, holes, and
// names with spaces.
const contents = `cd /data && mkdir -p tree/empty tree/deep/er && head -c 300000 /dev/urandom > tree/big && echo small > 'tree/with space'
: > tree/nothing && ln tree/big tree/deep/hard && ln -s ../big tree/deep/soft && ln -s /nowhere tree/dangling && mkfifo tree/pipe
dd if=/dev/zero of=tree/hole bs=1 count=1 seek=500000 2>/dev/null && chmod 4711 tree/big && chmod 2770 tree/deep && chown 1234:5678 'tree/with space'
touch -d '2001-02-03 04:05:06' tree/nothing tree/deep/er && sync`

// fingerprint is everything about what lies in a directory of the export that a copy must keep; not the times of links, which the
// server in the cluster does not let anybody set.
func (n namespace) fingerprint(dir string) string {
	n.t.Helper()
	return n.export().sh(fmt.Sprintf(`cd %q/tree && find . -type f -exec sha256sum {} + | sort && find . ! -type d ! -type l -exec stat -c '%%n %%f %%u:%%g %%h %%s %%Y' {} + | sort &&
find . -type l -exec stat -c '%%N %%f %%u:%%g %%h %%s' {} + | sort &&
find . -type d -exec stat -c '%%n %%f %%u:%%g %%Y' {} + | sort`, dir))
}

// same fails unless two fingerprints are.
func (n namespace) same(what, got, want string) {
	n.t.Helper()
	if got != want {
		n.t.Errorf("%s differs: it has\n%s\nand should have\n%s", what, got, want)
	}
}

// growsTo asks for more and waits until claim and volume have it.
func (n namespace) growsTo(claim, size string) {
	n.t.Helper()
	n.in("patch", "pvc", claim, "-p", fmt.Sprintf(`{"spec":{"resources":{"requests":{"storage":%q}}}}`, size))
	n.eventually("claim "+claim+" grows to "+size, claimDeadline, func() error {
		got, err := n.tryIn("get", "pvc", claim, "-o", "jsonpath={.status.capacity.storage} {.status.conditions}")
		if err == nil && strings.TrimSpace(got) != size {
			err = fmt.Errorf("it has %s; events: %s", got, n.events(claim))
		}
		return err
	})
	if v := n.volumeOf(claim); v.Capacity != size {
		n.t.Errorf("the volume of %s has %s", claim, v.Capacity)
	}
}

// filled makes the claim first, which the pod writer fills, and answers its volume and the fingerprint of that.
func (n namespace) filled() (first volume, want string) {
	n.applyClaim(claim{Claim: "first", Class: "nfs"})
	n.applyPod(pod{Pod: "writer", Claim: "first"})
	n.ready("writer")
	n.sh("writer", contents)
	first = n.bound("first")
	return first, n.fingerprint(first.Dir)
}

// A copy of a claim has all of its files, is a volume of its own, and outlives the first. Both grow and change.
func TestSmokeCloneGrowsAndChanges(t *testing.T) {
	n := newNamespace(t, "clone")
	first, want := n.filled()

	n.applyClaim(claim{Claim: "small", Class: "nfs", Size: "1Mi", Source: "first"})
	n.warned("small", "ask for at least as much", claimDeadline)
	n.applyClaim(claim{Claim: "copy", Class: "nfs", Source: "first"})
	copied := n.bound("copy")
	n.same("the copy", n.fingerprint(copied.Dir), want)
	n.sh("writer", "echo more >> '/data/tree/with space'; rm /data/tree/deep/hard")
	n.same("the copy of a volume that goes on", n.fingerprint(copied.Dir), want)

	n.growsTo("copy", "50Mi")
	record := n.export().sh("cat .nfs-csi/volumes/" + copied.Name + ".json")
	if !strings.Contains(record, fmt.Sprint(50<<20)) {
		t.Errorf("the record says %s", record)
	}
	n.in("delete", "pod/writer", "pvc/first", "pvc/small")
	n.eventually("the first volume goes away", goneDeadline, n.absent("pv", first.Name))
	n.same("the copy of a volume that is gone", n.fingerprint(copied.Dir), want)

	attributes := n.class("kept")
	n.apply("attributes.yaml", map[string]any{"Attributes": attributes, "Parameters": map[string]string{"onDelete": "archive", "mountPermissions": "0751"}})
	n.in("patch", "pvc", "copy", "-p", fmt.Sprintf(`{"spec":{"volumeAttributesClassName":%q}}`, attributes))
	n.eventually("the copy has its new attributes", claimDeadline, func() error {
		got, err := n.tryIn("get", "pvc", "copy", "-o", "jsonpath={.status.currentVolumeAttributesClassName}")
		if err == nil && got != attributes {
			err = fmt.Errorf("they are %q; events: %s", got, n.events("copy"))
		}
		return err
	})
	if mode := strings.TrimSpace(n.export().sh(fmt.Sprintf("stat -c %%a %q", copied.Dir))); mode != "751" {
		t.Errorf("the mode of the copy is %s", mode)
	}
	n.in("delete", "pvc/copy")
	n.eventually("the copy goes away", goneDeadline, n.absent("pv", copied.Name))
	n.same("the archive", n.fingerprint("archived-"+copied.Dir), want)
}

// A snapshot keeps what was there, is restored twice, once when its source is gone, and is removed.
func TestSnapshotIsRestored(t *testing.T) {
	n := newNamespace(t, "snapshot")
	first, want := n.filled()

	n.applyClaim(claim{Claim: "early", Class: "nfs", Snapshot: "snap"})
	n.warned("early", "does not exist", claimDeadline)
	n.apply("snapshot.yaml", map[string]any{"SnapshotClass": n.class("snapshots"), "Snapshot": "snap", "Claim": "first"})
	n.eventually("the snapshot is ready", goneDeadline, func() error {
		got, err := n.tryIn("get", "volumesnapshot", "snap", "-o", "jsonpath={.status.readyToUse} {.status.error.message}")
		if err == nil && strings.TrimSpace(got) != "true" {
			err = fmt.Errorf("it is %q; events: %s", got, n.events("snap"))
		}
		return err
	})
	content := n.in("get", "volumesnapshot", "snap", "-o", "jsonpath={.status.boundVolumeSnapshotContentName}")
	n.sh("writer", "rm -r /data/tree && echo other > /data/file")

	early := n.bound("early")
	n.same("the first restored volume", n.fingerprint(early.Dir), want)
	n.in("delete", "pod/writer", "pvc/first")
	n.eventually("the first volume goes away", goneDeadline, n.absent("pv", first.Name))
	n.applyClaim(claim{Claim: "late", Class: "nfs", Size: "20Mi", Snapshot: "snap"})
	n.applyPod(pod{Pod: "reader", Claim: "late"})
	late := n.bound("late")
	n.ready("reader")
	n.same("the volume restored when its source is gone", n.fingerprint(late.Dir), want)
	if got := strings.TrimSpace(n.sh("reader", "cat '/data/tree/with space'")); got != "small" {
		t.Errorf("a pod reads %q", got)
	}

	n.in("delete", "volumesnapshot/snap")
	n.eventually("the snapshot goes away", goneDeadline, n.absent("volumesnapshotcontent", content))
	n.eventually("nothing is left of it", claimDeadline, func() error {
		if left := strings.TrimSpace(n.export().sh("find .nfs-csi/snapshots -mindepth 1 -name 'snapshot-*' 2>/dev/null | head")); left != "" {
			return fmt.Errorf("there is %s", left)
		}
		return nil
	})
	n.same("the volume whose snapshot is gone", n.fingerprint(late.Dir), want)
}
