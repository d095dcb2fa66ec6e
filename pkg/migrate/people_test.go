package migrate

import (
	"context"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Who sets Retain on a volume that was moved wants to keep its data: neither another run nor going back takes that away.
func TestReclaimPolicyOfPeopleStays(t *testing.T) {
	w := newWorld(t, pair("a")...)
	m := w.migration()
	if err := m.Apply(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	retain := []byte(`{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}`)
	if _, err := w.Client().CoreV1().PersistentVolumes().Patch(t.Context(), "pvc-a", types.MergePatchType, retain, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if p := w.plan(m); p.Count(Converted) != 1 {
		t.Errorf("the plan is %+v", p)
	}
	for _, do := range []func(*Migration, context.Context, Plan) error{(*Migration).Apply, (*Migration).Undo} {
		if err := do(m, t.Context(), w.plan(m)); err != nil {
			t.Fatal(err)
		}
		if pv := w.volume("pvc-a"); pv.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimRetain {
			t.Errorf("it has %s", pv.Spec.PersistentVolumeReclaimPolicy)
		}
	}
	if pv := w.volume("pvc-a"); pv.Spec.NFS == nil || pv.Status.Phase != v1.VolumeBound {
		t.Errorf("the volume is %+v", pv)
	}
}

// Mount options in the annotation are those of an in-tree volume, and no CSI volume may have it.
func TestMountOptionsOfTheAnnotation(t *testing.T) {
	w := newWorld(t, pair("a", func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
		pv.Annotations[v1.MountOptionAnnotation] = "nfsvers=3,nolock"
	})...)
	m := w.migration()
	if err := m.Apply(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	pv := w.volume("pvc-a")
	if _, there := pv.Annotations[v1.MountOptionAnnotation]; there || !slices.Equal(pv.Spec.MountOptions, []string{"nfsvers=3", "nolock"}) {
		t.Errorf("converted, it has %v and %v", pv.Annotations, pv.Spec.MountOptions)
	}
	if err := m.Undo(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	pv = w.volume("pvc-a")
	if pv.Annotations[v1.MountOptionAnnotation] != "nfsvers=3,nolock" || !slices.Equal(pv.Spec.MountOptions, []string{"nfsvers=4.1"}) {
		t.Errorf("undone, it has %v and %v", pv.Annotations, pv.Spec.MountOptions)
	}
}

// A volume from before classes had a field is moved with the policy of its class.
func TestClassOfTheAnnotation(t *testing.T) {
	w := newWorld(t, pair("a", func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
		pv.Annotations[v1.BetaStorageClassAnnotation], pv.Spec.StorageClassName = "nfs-client", ""
	})...)
	m := w.migration()
	for range 2 {
		if p := w.plan(m); p.Volumes[0].Class != "nfs-client" || p.Volumes[0].OnDelete != "delete" || p.Classes[0].Volumes != 1 {
			t.Errorf("the plan is %+v", p)
		}
		if err := m.Apply(t.Context(), w.plan(m)); err != nil {
			t.Fatal(err)
		}
	}
}

// Who names one provisioner undoes and finishes its volumes and no others.
func TestNotesOfOtherProvisioners(t *testing.T) {
	const other = "fuseim.pri/ifs"
	w := newWorld(t, append(pair("a"), pair("b", func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Annotations[annProvisionedBy] = other })...)...)
	m := w.migration(func(c *Config) {
		c.Exports = map[string]volume.Location{other: {Server: "10.0.0.1", Share: "/exports/k8s"}}
	})
	if err := m.Apply(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	one := w.migration(func(c *Config) { c.From = []string{other} })
	if err := one.Finish(t.Context(), w.plan(one)); err != nil {
		t.Fatal(err)
	}
	if err := m.Undo(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	w.asBefore("a")
	if pv := w.volume("pvc-b"); pv.Spec.CSI == nil {
		t.Error("what was finished was undone")
	}
}
