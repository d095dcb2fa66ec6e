package provisioner

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// chooses is a class of ours in which an annotation of the claim names the directory, whatever is there.
func chooses(name string) *storage.StorageClass {
	return newClass(name, testDriver, func(s *storage.StorageClass) {
		s.Parameters = map[string]string{"server": "SERVER", "share": "/exports/k8s", "subDir": "${pvc.metadata.annotations.dir}", "onExisting": "adopt"}
	})
}

func inDirectory(dir string) func(*v1.PersistentVolumeClaim) {
	return func(c *v1.PersistentVolumeClaim) { c.Annotations["dir"] = dir }
}

// others makes a volume of csi-driver-nfs that still has its own name.
func others(pv *v1.PersistentVolume) {
	pv.Annotations[annProvisionedBy], pv.Spec.CSI.Driver = "nfs.csi.k8s.io", "nfs.csi.k8s.io"
}

// inCapitals is a volume whose class wrote its parameters so: csi-driver-nfs copies them.
func inCapitals(pv *v1.PersistentVolume) {
	a := pv.Spec.CSI.VolumeAttributes
	pv.Spec.CSI.VolumeAttributes = map[string]string{"Server": a["server"], "SHARE": a["share"], "subdir": a["subdir"]}
}

// retained makes a volume whose directory stays, and released one whose claim is gone.
func retained(pv *v1.PersistentVolume) {
	pv.Spec.PersistentVolumeReclaimPolicy = v1.PersistentVolumeReclaimRetain
}

func released(pv *v1.PersistentVolume) { pv.Status.Phase = v1.VolumeReleased }

// A volume of another provisioner's, before and after it has become ours, has no record on the share: a claim that chooses its directory
// would get its data, and delete them with its own.
func TestClaimsNearVolumesWithoutARecord(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(chooses("nfs"),
		oldVolume("in-tree", "old", "/exports/k8s/in-tree/"), oldVolume("bound", "old", "/exports/k8s//bound", retained), oldVolume("nfs4", "", "/exports/k8s/a/../b"),
		csiVolume("moved", "moved", migrated), csiVolume("taken-over", "shop/taken-over"), csiVolume("others", "others", others),
		csiVolume("case", "case", others, inCapitals), csiVolume("going", "going", others, released), csiVolume("kept", "kept/data", retained, released))
	run(t, c, driver, subdir)
	for dir, words := range map[string]string{
		"in-tree":            "/exports/k8s/in-tree/ is that of claim shop/in-tree (PersistentVolume in-tree): give each claim a directory of its own (subDir)",
		"bound":              "claim shop/bound",
		"moved":              "claim shop/moved",
		"moved/deep/inside":  "/exports/k8s/moved is that of claim shop/moved",
		"shop/taken-over":    `would be "shop/taken-over", and /exports/k8s/shop/taken-over is that of claim shop/taken-over`,
		"shop/taken-over/in": "claim shop/taken-over",
		"shop":               "claim shop/taken-over",
		"others":             "claim shop/others",
		"others/in":          "claim shop/others",
		"case":               "claim shop/case",
		"going":              "claim shop/going",
		"kept":               "claim shop/kept",
		"kept/data/in":       "claim shop/kept",
	} {
		name := strings.ReplaceAll(dir, "/", "-")
		c.claim(t, newClaim(name, "nfs", testDriver, inDirectory(dir)))
		if message := c.event(t, "default", name, "ProvisioningFailed"); !strings.Contains(message, words) {
			t.Errorf("%s: message %q does not say %q", dir, message, words)
		}
	}
	if created, _ := driver.requests(); len(created) > 0 {
		t.Errorf("created %v", created)
	}
}

// What the share knows better, what an administrator described, and what was kept for whoever wants it is left to the CSI service.
func TestClaimsNearOtherVolumes(t *testing.T) {
	ours := func(pv *v1.PersistentVolume) { migrated(pv); delete(pv.Annotations, volume.AnnMigratedFrom) }
	objects := map[string]*v1.PersistentVolume{
		"ours":           csiVolume("ours", "ours", ours),
		"ours/inside":    csiVolume("ours", "ours", ours),
		"static":         oldVolume("static", "", "/exports/k8s/static", static),
		"static-csi":     csiVolume("static-csi", "static-csi", static),
		"static-other":   csiVolume("static-other", "static-other", others, static),
		"kept":           csiVolume("kept", "kept", retained, released),
		"kept-other":     csiVolume("kept-other", "kept-other", others, retained, released),
		"kept-in-tree":   oldVolume("kept-in-tree", "old", "/exports/k8s/kept-in-tree", retained, released),
		"kept-of-nobody": oldVolume("kept-of-nobody", "old", "/exports/k8s/kept-of-nobody", func(pv *v1.PersistentVolume) { pv.Annotations[annProvisionedBy] = "nobody" }, retained, released),
		"elsewhere":      oldVolume("elsewhere", "old", "/exports/elsewhere"),
		"server":         csiVolume("server", "server", func(pv *v1.PersistentVolume) { pv.Spec.CSI.VolumeAttributes["server"] = "other" }),
		"beside":         csiVolume("beside", "besides"),
		"":               csiVolume("share", "mistake"), // the claim has no such annotation, which is not ours to say
	}
	driver := &driverFake{}
	c := newCluster(chooses("nfs"), oldVolume("whole", "", "/exports/k8s"))
	for _, pv := range objects {
		_ = c.Tracker().Add(pv)
	}
	run(t, c, driver, subdir)
	for dir := range objects {
		name := "claim-" + strings.ReplaceAll(dir, "/", "-")
		c.claim(t, newClaim(name, "nfs", testDriver, inDirectory(dir)))
		c.volume(t, "pvc-uid-"+name)
	}
}

// A claim is no neighbour of its own volume, and one of another class in our language is looked at in the same way.
func TestFree(t *testing.T) {
	taken, err := volume.ParseTemplate("${pvc.metadata.namespace}/${pvc.metadata.name}")
	if err != nil {
		t.Fatal(err)
	}
	p := &provisioner{driver: testDriver, known: newIndexer(t, csiVolume("pvc-1", "default/data")),
		defaults: volume.Defaults{Server: "server", Share: "/exports/k8s", Template: taken}}
	cases := map[string]struct {
		parameters map[string]string
		pvName     string
		refused    bool
	}{
		"default":     {nil, "pvc-2", true},
		"itself":      {nil, "pvc-1", false},
		"predecessor": {map[string]string{"pathPattern": "${.PVC.namespace}/${.PVC.name}"}, "pvc-2", true},
		"capitals":    {map[string]string{"SUBDIR": "default"}, "pvc-2", true},
		"own":         {map[string]string{"subDir": "${pvc.metadata.namespace}/${pv.metadata.name}"}, "pvc-2", false},
		"wrong":       {map[string]string{"bogus": "x"}, "pvc-2", false},
	}
	for name, test := range cases {
		claim := newClaim("data", "nfs", testDriver)
		o := optionsFor(claim, test.parameters, test.pvName)
		if err := p.free(o, createRequest(o, p.defaults).GetParameters()); (err != nil) != test.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func newIndexer(t *testing.T, volumes ...*v1.PersistentVolume) cache.Indexer {
	t.Helper()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, placeIndexes())
	for _, pv := range volumes {
		if err := indexer.Add(pv); err != nil {
			t.Fatal(err)
		}
	}
	return indexer
}

func optionsFor(claim *v1.PersistentVolumeClaim, parameters map[string]string, pvName string) controller.ProvisionOptions {
	class := newClass("nfs", testDriver, func(s *storage.StorageClass) { s.Parameters = parameters })
	return controller.ProvisionOptions{PVC: claim, StorageClass: class, PVName: pvName}
}
