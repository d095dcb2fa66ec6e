package provisioner

import (
	"errors"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

func TestSlimClaim(t *testing.T) {
	managed := []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	waiting := newClaim("waiting", "nfs", testDriver, func(c *v1.PersistentVolumeClaim) { c.ManagedFields = managed })
	bound := newClaim("bound", "nfs", testDriver, func(c *v1.PersistentVolumeClaim) { c.Spec.VolumeName = "pvc-1" })

	got, _ := slimClaim(waiting)
	if c := got.(*v1.PersistentVolumeClaim); c.ManagedFields != nil || len(c.Annotations) == 0 || c.Spec.StorageClassName == nil {
		t.Errorf("a claim without a volume became %v", c)
	}
	got, _ = slimClaim(bound)
	c := got.(*v1.PersistentVolumeClaim)
	if c.Annotations != nil || c.Spec.VolumeName != "pvc-1" || c.UID != bound.UID || c.Namespace != "default" {
		t.Errorf("a bound claim became %v", c)
	}
	if size := c.Spec.Resources.Requests[v1.ResourceStorage]; size.String() != "100Mi" {
		t.Errorf("a bound claim asks for %s", size.String())
	}
	bound.Annotations = map[string]string{"volume.kubernetes.io/node-expansion-not-required": "true", "other": "x"}
	bound.Status.Phase = v1.ClaimBound
	got, _ = slimClaim(bound)
	if c := got.(*v1.PersistentVolumeClaim); len(c.Annotations) != 1 || c.Status.Phase != v1.ClaimBound {
		t.Errorf("a claim that was resized became %v", c)
	}
	if again, _ := slimClaim(c); again.(*v1.PersistentVolumeClaim).Spec.VolumeName != "pvc-1" {
		t.Error("slimming twice differs")
	}
	if other, _ := slimClaim(cache.DeletedFinalStateUnknown{Key: "k"}); other.(cache.DeletedFinalStateUnknown).Key != "k" {
		t.Error("another object was changed")
	}
}

// TestLibraryOverwritesNothing: what the library puts into the store of volumes is not what the informer knows, and gives way to that.
func TestLibraryOverwritesNothing(t *testing.T) {
	c := newCluster(newClass("nfs", testDriver))
	c.PrependWatchReactor("persistentvolumes", func(a clienttesting.Action) (bool, watch.Interface, error) {
		_, _, err := c.watch(a)
		return true, watch.NewFake(), err // which tells nothing
	})
	k := run(t, c, &driverFake{}, func(c *Config) { c.Workers = 1 })
	for _, name := range []string{"first", "second"} {
		c.claim(t, newClaim(name, "nfs", testDriver))
		c.volume(t, "pvc-uid-"+name) // so the library has nothing more to do with the one before
	}
	if _, exists, err := k.Informers().Volumes.GetStore().GetByKey("pvc-uid-first"); exists || err != nil {
		t.Errorf("the informer knows a volume that it was not told of (%v)", err)
	}

	informer := k.caches.volumes
	view := newLibraryVolumes(informer).GetStore()
	phase := func() v1.PersistentVolumePhase {
		object, exists, err := view.GetByKey("pv")
		if err != nil || !exists {
			return ""
		}
		return object.(*v1.PersistentVolume).Status.Phase
	}
	pv := func(phase v1.PersistentVolumePhase) *v1.PersistentVolume {
		return &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}, Status: v1.PersistentVolumeStatus{Phase: phase}}
	}
	saved := view.Add(pv(v1.VolumePending))
	if phase() != v1.VolumePending {
		t.Error("a volume that is being saved is not there")
	}
	told := informer.GetStore().Add(pv(v1.VolumeReleased))
	late := view.Add(pv(v1.VolumePending))
	if phase() != v1.VolumeReleased {
		t.Errorf("a Released volume became %q", phase())
	}
	gone := informer.GetStore().Delete(pv(v1.VolumeReleased))
	if err := errors.Join(saved, told, late, gone); err != nil || phase() != "" {
		t.Errorf("a deleted volume is there again: %q, %v", phase(), err)
	}
}

func TestSlimVolume(t *testing.T) {
	volume := func(source v1.PersistentVolumeSource) *v1.PersistentVolume {
		return &v1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pv", UID: "u", ResourceVersion: "7", Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": testDriver},
				ManagedFields: []metav1.ManagedFieldsEntry{{}}},
			Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: source},
		}
	}
	ours := slimVolume(volume(v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: testDriver}}), testDriver, Legacy{}).(*v1.PersistentVolume)
	if ours.Spec.CSI == nil || len(ours.Annotations) == 0 || ours.ManagedFields != nil {
		t.Errorf("ours became %v", ours)
	}
	for _, source := range []v1.PersistentVolumeSource{{NFS: &v1.NFSVolumeSource{}}, {CSI: &v1.CSIPersistentVolumeSource{Driver: "other"}}} {
		theirs := slimVolume(volume(source), testDriver, Legacy{Names: []string{testDriver}}).(*v1.PersistentVolume)
		if theirs.Name != "pv" || theirs.UID != "u" || theirs.ResourceVersion != "7" || theirs.Annotations != nil || theirs.Spec.CSI != nil || theirs.Spec.NFS != nil {
			t.Errorf("theirs became %v", theirs)
		}
	}
}

// A volume of our driver is ours whoever's name its class had, and no other driver's is.
func TestSlimVolumeOfAnotherName(t *testing.T) {
	for name, test := range map[string]struct{ driver, by, want string }{
		"ours":        {testDriver, testDriver, testDriver},
		"of a class":  {testDriver, oldName, oldName},
		"given up":    {testDriver, "given/up", testDriver},
		"static":      {testDriver, "", ""},
		"other's":     {"other.example.com", "other.example.com", ""},
		"other's too": {"other.example.com", "given/up", ""},
	} {
		pv := csiVolume("pv", "pv", func(pv *v1.PersistentVolume) {
			pv.Spec.CSI.Driver, pv.Annotations[annProvisionedBy] = test.driver, test.by
		})
		if test.by == "" {
			delete(pv.Annotations, annProvisionedBy)
		}
		before := pv.DeepCopy().Annotations
		slim := slimVolume(pv, testDriver, Legacy{Names: []string{oldName}}).(*v1.PersistentVolume)
		if got, there := slim.Annotations[annProvisionedBy]; got != test.want || there != (test.want != "") {
			t.Errorf("%s: provisioned by %q", name, got)
		}
		if test.driver != testDriver && slim.Annotations[annMadeBy] != before[annProvisionedBy] {
			t.Errorf("%s: made by %v", name, slim.Annotations)
		}
	}
}
