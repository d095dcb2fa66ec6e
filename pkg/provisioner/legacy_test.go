package provisioner

import (
	"log/slog"
	"maps"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	oldName   = "k8s-sigs.io/nfs-subdir-external-provisioner"
	otherName = "cluster.local/nfs-two"
)

// subdir is an install that has taken over two of the predecessor's, each with its export.
func subdir(c *Config) {
	c.Legacy = Legacy{
		Names:   []string{oldName, otherName},
		Exports: map[string]volume.Location{otherName: {Server: "two", Share: "/two"}},
		Default: volume.Location{Server: "server", Share: "/exports/k8s"},
	}
}

func oldClass(name string, parameters map[string]string) *storage.StorageClass {
	return newClass(name, oldName, func(s *storage.StorageClass) { s.Parameters = parameters })
}

// oldVolume is a PersistentVolume exactly as nfs-subdir-external-provisioner writes it, bound.
func oldVolume(name, class, path string, change ...func(*v1.PersistentVolume)) *v1.PersistentVolume {
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": oldName}},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: v1.PersistentVolumeReclaimDelete,
			StorageClassName:              class,
			MountOptions:                  []string{"nfsvers=4.1"},
			ClaimRef:                      &v1.ObjectReference{Namespace: "shop", Name: name},
			PersistentVolumeSource:        v1.PersistentVolumeSource{NFS: &v1.NFSVolumeSource{Server: "server", Path: path}},
		},
		Status: v1.PersistentVolumeStatus{Phase: v1.VolumeBound},
	}
	for _, f := range change {
		f(pv)
	}
	return pv
}

// Each in-tree volume is deleted once its claim is gone, as its class says at that moment.
func TestVolumesOfThePredecessorAreDeleted(t *testing.T) {
	cases := map[string]struct {
		class, path, want string
		change            func(*v1.PersistentVolume)
	}{
		"archived":  {"silent", "/exports/k8s/shop-a-pvc-1", "server#exports/k8s#shop-a-pvc-1#archived#archive-flat", nil},
		"deleted":   {"delete", "/exports/k8s/shop/a/b", "server#exports/k8s#shop/a/b#deleted#delete", nil},
		"retained":  {"retain", "/exports/k8s/kept", "server#exports/k8s#kept#retained#retain", nil},
		"classless": {"gone", "/exports/k8s/classless", "server#exports/k8s#classless##archive-flat", nil},
		"foreign":   {"foreign", "/exports/k8s/f", "server#exports/k8s#f#foreign#archive-flat", nil},
		"beta": {"", "/exports/k8s/beta-dir", "server#exports/k8s#beta-dir#beta#delete", func(pv *v1.PersistentVolume) {
			pv.Annotations[v1.BetaStorageClassAnnotation] = "delete"
		}},
		"second": {"silent", "/two/x", "two#two#x#second#archive-flat", func(pv *v1.PersistentVolume) {
			pv.Annotations["pv.kubernetes.io/provisioned-by"], pv.Spec.NFS.Server = otherName, "two"
		}},
		"address": {"silent", "/exports/k8s/y", "10.0.0.1#exports/k8s#y#address#archive-flat", func(pv *v1.PersistentVolume) { pv.Spec.NFS.Server = "10.0.0.1" }},
	}
	driver := &driverFake{}
	c := newCluster(oldClass("silent", nil), oldClass("delete", map[string]string{"onDelete": "delete"}), oldClass("retain", map[string]string{"onDelete": "retain"}),
		newClass("foreign", "other.example.com", func(s *storage.StorageClass) { s.Parameters = map[string]string{"onDelete": "delete"} }))
	for name, test := range cases {
		pv := oldVolume(name, test.class, test.path)
		if test.change != nil {
			test.change(pv)
		}
		if err := c.Tracker().Add(pv); err != nil {
			t.Fatal(err)
		}
	}
	run(t, c, driver, subdir)
	for name := range cases {
		if pv := c.volume(t, name); len(pv.Finalizers) > 0 {
			t.Errorf("%s got the finalizers %v", name, pv.Finalizers)
		}
		c.released(t, name)
	}
	want := map[string]bool{}
	for name, test := range cases {
		c.gone(t, name)
		want[test.want] = true
	}
	got := map[string]bool{}
	_, deleted := driver.requests()
	for _, r := range deleted {
		got[r.GetVolumeId()] = true
		if r.GetSecrets()["mountOptions"] != "nfsvers=4.1" {
			t.Errorf("deleted with %v", r.GetSecrets())
		}
		if _, err := volume.ParseID(r.GetVolumeId()); err != nil {
			t.Error(err)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("deleted %v, want %v", got, want)
	}
}

// What would take more than the volume's own directory is refused, in words, and nothing is deleted.
func TestVolumesOfThePredecessorThatEscape(t *testing.T) {
	cases := map[string]struct{ path, words string }{
		"root":     {"/exports/k8s", "not below"},
		"slash":    {"/exports/k8s/", "is the share itself"},
		"up":       {"/exports/k8s/../other", `".." is not allowed`},
		"elswhere": {"/other/a", "name that with --provisioner-name=NAME=SERVER:/PATH"},
		"ours":     {"/exports/k8s/.nfs-csi/volumes", "reserved"},
		"another":  {"/exports/k8s/team/.nfs-csi/volumes", "reserved"},
		"parent":   {"/exports/k8s/shop", "claim shop/child (PersistentVolume child)"},
		"twin":     {"/exports/k8s/same", "claim shop/other (PersistentVolume other)"},
		"csi":      {"/exports/k8s/csi", "PersistentVolume csi-child"},
	}
	driver := &driverFake{}
	c := newCluster(oldClass("delete", map[string]string{"onDelete": "delete"}), oldClass("wrong", map[string]string{"archiveOnDelete": "maybe"}),
		oldVolume("child", "delete", "/exports/k8s/shop/child"), oldVolume("other", "delete", "/exports/k8s/same"),
		&v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "csi-child"}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: v1.PersistentVolumeSource{
			CSI: &v1.CSIPersistentVolumeSource{Driver: "nfs.csi.k8s.io", VolumeAttributes: map[string]string{"server": "SERVER", "share": "/exports/k8s", "subdir": "csi/x"}}}}})
	for name, test := range cases {
		if err := c.Tracker().Add(oldVolume(name, "delete", test.path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Tracker().Add(oldVolume("misspelt", "wrong", "/exports/k8s/m")); err != nil {
		t.Fatal(err)
	}
	run(t, c, driver, subdir)
	for name, test := range cases {
		c.released(t, name)
		if message := c.event(t, "", name, "VolumeFailedDelete"); !strings.Contains(message, test.words) || !strings.Contains(message, "nothing is deleted") {
			t.Errorf("%s: message %q does not say %q", name, message, test.words)
		}
	}
	c.released(t, "misspelt")
	if message := c.event(t, "", "misspelt", "VolumeFailedDelete"); !strings.Contains(message, `archiveOnDelete is "maybe"`) {
		t.Errorf("message %q", message)
	}
	if _, deleted := driver.requests(); len(deleted) > 0 {
		t.Errorf("deleted %v", deleted)
	}
}

// An in-tree volume may have its server's address in brackets, and is nonetheless inside the other.
func TestDirectoryThatHoldsAnothersOfTheSameAddress(t *testing.T) {
	driver := &driverFake{}
	at := func(pv *v1.PersistentVolume) { pv.Spec.NFS.Server = "[fd00::1]" }
	c := newCluster(oldClass("delete", map[string]string{"onDelete": "delete"}),
		oldVolume("above", "delete", "/exports/k8s/deep", at), oldVolume("inside", "delete", "/exports/k8s/deep/x", at))
	run(t, c, driver, subdir)
	c.released(t, "above")
	c.event(t, "", "above", "VolumeFailedDelete")
	if _, deleted := driver.requests(); len(deleted) > 0 {
		t.Errorf("deleted %v", deleted)
	}
}

// With the predecessor two claims could share a directory. It goes when both have gone.
func TestSharedDirectoryGoesWithTheLastClaim(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(oldClass("delete", map[string]string{"onDelete": "delete"}), oldClass("archive", nil),
		oldVolume("one", "delete", "/exports/k8s/same"), oldVolume("two", "delete", "/exports/k8s/same"),
		oldVolume("first", "delete", "/exports/k8s/mixed"), oldVolume("second", "archive", "/exports/k8s/mixed"))
	run(t, c, driver, subdir)
	c.released(t, "first")
	c.event(t, "", "first", "VolumeFailedDelete")
	c.released(t, "second") // which keeps more, and so goes first
	c.gone(t, "second")
	c.gone(t, "first")
	if _, deleted := driver.requests(); deleted[0].GetVolumeId() != "server#exports/k8s#mixed#second#archive-flat" {
		t.Errorf("deleted %v", deleted)
	}
	driver.mu.Lock()
	driver.deleted = nil
	driver.mu.Unlock()
	c.released(t, "one")
	c.event(t, "", "one", "VolumeFailedDelete")
	if _, deleted := driver.requests(); len(deleted) > 0 {
		t.Fatalf("deleted %v", deleted)
	}
	c.released(t, "two")
	c.gone(t, "one")
	c.gone(t, "two")
	if _, deleted := driver.requests(); len(deleted) < 2 {
		t.Errorf("deleted %v", deleted)
	}
}

// What is not ours to delete stays: Retain, another provisioner's, a bound one.
func TestVolumesOfThePredecessorThatStay(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(oldClass("delete", map[string]string{"onDelete": "delete"}),
		oldVolume("kept", "delete", "/exports/k8s/kept", func(pv *v1.PersistentVolume) {
			pv.Spec.PersistentVolumeReclaimPolicy = v1.PersistentVolumeReclaimRetain
		}),
		oldVolume("theirs", "delete", "/exports/k8s/theirs", func(pv *v1.PersistentVolume) { pv.Annotations["pv.kubernetes.io/provisioned-by"] = "other" }),
		oldVolume("bound", "delete", "/exports/k8s/bound"), oldVolume("last", "delete", "/exports/k8s/last"))
	run(t, c, driver, subdir)
	c.released(t, "kept")
	c.released(t, "theirs")
	c.released(t, "last")
	c.gone(t, "last")
	wasDeleted(t, driver, "server#exports/k8s#last##delete")
	for _, name := range []string{"kept", "theirs", "bound"} {
		if pv := c.volume(t, name); pv.DeletionTimestamp != nil || len(pv.Finalizers) > 0 {
			t.Errorf("%s: deleted %v, finalizers %v", name, pv.DeletionTimestamp, pv.Finalizers)
		}
	}
}

// New claims of the predecessor's classes get its directories, its policy, and nothing that its grammar does not know.
func TestClaimsOfLegacyClasses(t *testing.T) {
	cases := map[string]struct {
		parameters map[string]string
		want       map[string]string
	}{
		"plain": {nil, map[string]string{"server": "server", "share": "/exports/k8s", "subDir": "default-plain-pvc-uid-plain", "onDelete": "archive-flat", "onExisting": "adopt"}},
		"path": {map[string]string{"pathPattern": "${.PVC.namespace}/${.PVC.annotations.nfs.io/storage-path}", "onDelete": "delete", "bogus": "x"},
			map[string]string{"server": "server", "share": "/exports/k8s", "subDir": "default/a/b", "onDelete": "delete", "onExisting": "adopt"}},
		"label": {map[string]string{"pathPattern": "${.PVC.labels.app}", "archiveOnDelete": "false"},
			map[string]string{"server": "server", "share": "/exports/k8s", "subDir": "db", "onDelete": "delete"}},
		"ours": {map[string]string{"server": "s", "share": "/x", "archiveOnDelete": "true"},
			map[string]string{"server": "s", "share": "/x", "archiveOnDelete": "true"}},
	}
	driver := &driverFake{}
	c := newCluster()
	var log logged
	run(t, c, driver, subdir, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	for name, test := range cases {
		if err := c.Tracker().Add(oldClass(name, test.parameters)); err != nil {
			t.Fatal(err)
		}
		c.claim(t, newClaim(name, name, oldName, func(c *v1.PersistentVolumeClaim) {
			c.Annotations["nfs.io/storage-path"], c.Labels = "a/b", map[string]string{"app": "db"}
		}))
	}
	for name, test := range cases {
		pv := c.volume(t, "pvc-uid-"+name)
		if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != testDriver {
			t.Errorf("%s became %+v", name, pv.Spec.PersistentVolumeSource)
		}
		maps.Copy(test.want, map[string]string{"csi.storage.k8s.io/pvc/name": name, "csi.storage.k8s.io/pvc/namespace": "default", "csi.storage.k8s.io/pv/name": pv.Name})
		created, _ := driver.requests()
		for _, r := range created {
			if r.GetName() == pv.Name && !maps.Equal(r.GetParameters(), test.want) {
				t.Errorf("%s was asked for with %v, want %v", name, r.GetParameters(), test.want)
			}
		}
	}
	if text := log.String(); !strings.Contains(text, "bogus") || !strings.Contains(text, "class=path") {
		t.Errorf("nobody is told of the parameter that is passed over: %s", text)
	}
}

func TestClaimsOfLegacyClassesRefused(t *testing.T) {
	cases := map[string]struct {
		parameters  map[string]string
		provisioner string
		words       string
	}{
		"escape":    {map[string]string{"pathPattern": "../${.PVC.name}"}, oldName, `".." is not allowed`},
		"root":      {map[string]string{"pathPattern": "/"}, oldName, "is the share itself"},
		"ancestor":  {map[string]string{"pathPattern": "shop"}, oldName, "claim shop/old (PersistentVolume old)"},
		"same":      {map[string]string{"pathPattern": "shop/old"}, oldName, "give each claim a directory of its own"},
		"inside":    {map[string]string{"pathPattern": "shop/old/deep"}, oldName, "claim shop/old"},
		"wrong":     {map[string]string{"archiveOnDelete": "maybe"}, oldName, `archiveOnDelete is "maybe"`},
		"long":      {map[string]string{"pathPattern": strings.Repeat("x/", 2000)}, oldName, "bytes long"},
		"uppercase": {map[string]string{"pathPattern": "a${pvc.metadata.name}"}, oldName, "known are ${.PVC.name}"},
	}
	driver := &driverFake{}
	c := newCluster(oldVolume("old", "any", "/exports/k8s/shop/old"))
	run(t, c, driver, subdir)
	for name, test := range cases {
		if err := c.Tracker().Add(oldClass(name, test.parameters)); err != nil {
			t.Fatal(err)
		}
		c.claim(t, newClaim(name, name, test.provisioner))
		if message := c.event(t, "default", name, "ProvisioningFailed"); !strings.Contains(message, test.words) {
			t.Errorf("%s: message %q does not say %q", name, message, test.words)
		}
	}
	if created, _ := driver.requests(); len(created) > 0 {
		t.Errorf("created %v", created)
	}
}

// csiVolume is a bound CSI volume with a directory below server:/exports/k8s and no record on the share: as csi-driver-nfs writes it, under
// the name that is ours now.
func csiVolume(name, dir string, change ...func(*v1.PersistentVolume)) *v1.PersistentVolume {
	return oldVolume(name, "", "", append([]func(*v1.PersistentVolume){func(pv *v1.PersistentVolume) {
		pv.Annotations[annProvisionedBy] = testDriver
		pv.Spec.PersistentVolumeSource = v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{
			Driver: testDriver, VolumeHandle: "server#exports/k8s#" + dir + "#" + name + "#",
			VolumeAttributes: map[string]string{"server": "server", "share": "/exports/k8s", "subdir": dir, "storage.kubernetes.io/csiProvisionerIdentity": "x"},
		}}
	}}, change...)...)
}

// migrated is what `nfs-csi migrate apply` makes of an in-tree volume.
func migrated(pv *v1.PersistentVolume) {
	pv.Annotations["nfs-csi.github.io/migrated-from"] = oldName
	a := pv.Spec.CSI.VolumeAttributes
	pv.Spec.CSI.VolumeAttributes = map[string]string{"server": a["server"], "share": a["share"], "subDir": a["subdir"]}
}

// static is a volume that an administrator wrote.
func static(pv *v1.PersistentVolume) { delete(pv.Annotations, annProvisionedBy) }

// A directory in that of a volume without a record would be deleted with it, whoever made it. One that an administrator described is
// around whatever they like.
func TestClaimsOfLegacyClassesInVolumes(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(oldClass("old", map[string]string{"pathPattern": "${.PVC.annotations.dir}/${.PVC.name}"}),
		oldVolume("in-tree", "old", "/exports/k8s/in-tree"), csiVolume("moved", "moved", migrated), csiVolume("taken-over", "taken-over"),
		csiVolume("others", "others", func(pv *v1.PersistentVolume) { pv.Spec.CSI.Driver = "other.example.com" }),
		oldVolume("static", "", "/exports/k8s/static", static), csiVolume("csi-static", "csi-static", static))
	run(t, c, driver, subdir)
	for _, name := range []string{"in-tree", "moved", "taken-over", "others", "static", "csi-static"} {
		c.claim(t, newClaim(name, "old", oldName, func(c *v1.PersistentVolumeClaim) { c.Annotations["dir"] = name }))
	}
	for _, name := range []string{"in-tree", "moved", "taken-over", "others"} {
		want := "/exports/k8s/" + name + " is that of claim shop/" + name
		if message := c.event(t, "default", name, "ProvisioningFailed"); !strings.Contains(message, want) {
			t.Errorf("%s: message %q does not say %q", name, message, want)
		}
	}
	c.volume(t, "pvc-uid-static")
	c.volume(t, "pvc-uid-csi-static")
	if created, _ := driver.requests(); len(created) != 2 {
		t.Errorf("created %v", created)
	}
}

// With volumeSource nfs a volume is as the predecessor would have written it, and is deleted as such.
func TestInTreeVolumes(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(oldClass("old", map[string]string{"onDelete": "delete"}), newClass("own", testDriver))
	run(t, c, driver, subdir, func(c *Config) { c.Legacy.InTree = true; c.Legacy.Default.Share = "/share" })
	c.claim(t, newClaim("data", "old", oldName))
	c.claim(t, newClaim("ours", "own", testDriver))
	pv := c.volume(t, "pvc-uid-data")
	if pv.Spec.NFS == nil || *pv.Spec.NFS != (v1.NFSVolumeSource{Server: "server", Path: "/share/pvc-uid-data"}) || pv.Spec.CSI != nil {
		t.Errorf("the source is %+v", pv.Spec.PersistentVolumeSource)
	}
	if len(pv.Finalizers) > 0 || pv.Annotations["pv.kubernetes.io/provisioned-by"] != oldName || pv.Spec.StorageClassName != "old" {
		t.Errorf("the volume is %+v", pv)
	}
	if own := c.volume(t, "pvc-uid-ours"); own.Spec.CSI == nil || len(own.Finalizers) != 1 {
		t.Errorf("a volume of our own class is %+v", own)
	}
	c.released(t, pv.Name)
	c.gone(t, pv.Name)
	wasDeleted(t, driver, "server#share#pvc-uid-data##delete")
}

// The API server takes a class of attributes for CSI volumes only: an in-tree one would be made and never saved.
func TestInTreeVolumesHaveNoAttributesClass(t *testing.T) {
	gold, none := "gold", ""
	driver := &driverFake{}
	c := newCluster(oldClass("old", nil), newClass("own", testDriver),
		&storage.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: gold}, DriverName: testDriver, Parameters: map[string]string{"onDelete": "retain"}})
	run(t, c, driver, subdir, func(c *Config) { c.Legacy.InTree = true; c.Legacy.Default.Share = "/share" })
	c.claim(t, newClaim("refused", "old", oldName, func(c *v1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &gold }))
	if message := c.event(t, "default", "refused", "ProvisioningFailed"); !strings.Contains(message, `class "gold"`) || !strings.Contains(message, "make the claim anew without it") {
		t.Errorf("message %q", message)
	}
	if created, _ := driver.requests(); len(created) > 0 {
		t.Errorf("created %v", created)
	}
	c.claim(t, newClaim("empty", "old", oldName, func(c *v1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &none }))
	c.claim(t, newClaim("own", "own", testDriver, func(c *v1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &gold }))
	if pv := c.volume(t, "pvc-uid-empty"); pv.Spec.NFS == nil {
		t.Errorf("the source is %+v", pv.Spec.PersistentVolumeSource)
	}
	if pv := c.volume(t, "pvc-uid-own"); pv.Spec.CSI == nil || *pv.Spec.VolumeAttributesClassName != gold {
		t.Errorf("a volume of our own class is %+v", pv.Spec)
	}
}

func TestLegacyParametersOfAClass(t *testing.T) {
	var config Config
	subdir(&config)
	if got := config.Legacy.Parameters(oldClass("a", map[string]string{"bogus": "x"})); !maps.Equal(got, map[string]string{"server": "server", "share": "/exports/k8s"}) {
		t.Errorf("%v", got)
	}
	own := map[string]string{"subDir": "x"}
	if got := config.Legacy.Parameters(oldClass("a", own)); !maps.Equal(got, own) {
		t.Errorf("%v", got)
	}
	if got := (Legacy{Names: []string{oldName}}).Parameters(oldClass("a", nil)); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
