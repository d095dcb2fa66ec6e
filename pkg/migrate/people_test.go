package migrate

import (
	"context"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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

// Kubelet never gave the files of an in-tree volume to a pod's fsGroup, and does so to those of a CSI volume where the driver's object
// says File: who plans to move such a volume is told, and how to prevent it.
func TestPlanTellsOfFSGroup(t *testing.T) {
	const told = "a pod with fsGroup 999 uses it"
	file, none := storage.FileFSGroupPolicy, storage.NoneFSGroupPolicy
	group := int64(999)
	uses := func(claim string, group *int64) v1.PodSpec {
		return v1.PodSpec{SecurityContext: &v1.PodSecurityContext{FSGroup: group}, Volumes: []v1.Volume{{VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}}
	}
	objects := slices.Concat(pair("running"), pair("stopped"), pair("groupless"), pair("unused"))
	for name, group := range map[string]*int64{"running": &group, "groupless": nil} {
		objects = append(objects, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}, Spec: uses(name, group)})
	}
	objects = append(objects, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere", Namespace: "other"}, Spec: uses("unused", &group)},
		&apps.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "stopped", Namespace: "shop"}, Spec: apps.DeploymentSpec{Template: v1.PodTemplateSpec{Spec: uses("stopped", &group)}}},
		&storage.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "file.example.com"}, Spec: storage.CSIDriverSpec{FSGroupPolicy: &file}},
		&storage.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "none.example.com"}, Spec: storage.CSIDriverSpec{FSGroupPolicy: &none}})
	w := newWorld(t, objects...)
	tellsOf := func(p Plan) (claims []string) {
		for _, v := range p.Volumes {
			if strings.Contains(v.Reason, told) && strings.Contains(v.Reason, "driver.fsGroupPolicy=None") {
				claims = append(claims, v.Claim)
			}
		}
		return claims
	}
	affected := []string{"shop/running", "shop/stopped"}
	for driver, want := range map[string][]string{"file.example.com": affected, "none.example.com": nil, ours: nil, "absent.example.com": affected} {
		m := w.migration(func(c *Config) { c.DriverName = driver })
		if p := w.plan(m); !slices.Equal(tellsOf(p), want) || p.Count(Convertible) != 4 {
			t.Errorf("%s: told of %v, want %v: %+v", driver, tellsOf(p), want, p.Volumes)
		}
	}
	m := w.migration(func(c *Config) { c.DriverName = "file.example.com" })
	if err := m.Apply(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	if p := w.plan(m); !slices.Equal(tellsOf(p), affected) || p.Count(Converted) != 4 {
		t.Errorf("converted: told of %v: %+v", tellsOf(p), p.Volumes)
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

// What is said of locks, or another version of NFS, lets a volume go: only locks that end at the node unnoticed do not.
func TestLocksThatAreSpokenOf(t *testing.T) {
	var objects []runtime.Object
	for name, options := range map[string][]string{
		"none": nil, "four": {"vers=3", "nfsvers=4.2"}, "four-short": {"v3", "v4.1"}, "nolock": {"nfsvers=3,nolock"}, "lock": {"v3", "lock"}, "local": {"vers=3", "local_lock=flock"},
	} {
		objects = append(objects, pair(name, func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Spec.MountOptions = options })...)
	}
	w := newWorld(t, objects...)
	if p := w.plan(w.migration()); p.Count(Convertible) != 6 {
		t.Errorf("the plan is %+v", p)
	}
}

// A volume of csi-driver-nfs has mount options in its attributes too.
func TestLocksOfCSIVolumes(t *testing.T) {
	const driver = "nfs.csi.k8s.io"
	w := newWorld(t, pair("a", func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
		pv.Spec.PersistentVolumeSource = v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: "free text##",
			VolumeAttributes: map[string]string{"server": "s", "share": "/e", "mountOptions": "hard,nfsvers=3"}}}
	})...)
	p := w.plan(w.migration(func(c *Config) { c.From = []string{driver} }))
	if len(p.Volumes) != 1 || p.Volumes[0].State != Refused || !strings.Contains(p.Volumes[0].Reason, "NFSv3") {
		t.Errorf("the plan is %+v", p)
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
