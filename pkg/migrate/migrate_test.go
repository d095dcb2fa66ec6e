package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
	"github.com/nfs-csi/nfs-csi/test/apiserver"
)

const (
	ours = "nfs-csi.github.io"
	old  = "cluster.local/nfs-subdir-external-provisioner"
)

// world is a cluster with nfs-subdir-external-provisioner in it.
type world struct {
	*testing.T
	*apiserver.Server
}

func newWorld(t *testing.T, more ...runtime.Object) world {
	w := world{t, apiserver.Start(t)}
	w.Add(&v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "nfs-csi"}},
		&storage.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: ours}},
		&storage.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "nfs-client"}, Provisioner: old, Parameters: map[string]string{"archiveOnDelete": "false"}},
		&apps.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "old", Namespace: "old"}, Spec: apps.DeploymentSpec{Template: v1.PodTemplateSpec{Spec: v1.PodSpec{Containers: []v1.Container{{
			Env: []v1.EnvVar{{Name: "PROVISIONER_NAME", Value: old}, {Name: "NFS_SERVER", Value: "10.0.0.1"}, {Name: "NFS_PATH", Value: "/exports/k8s"}}}}}}}})
	w.Add(more...)
	return w
}

// pair is a claim and its volume, bound, as the predecessor leaves them.
func pair(name string, change ...func(*v1.PersistentVolume, *v1.PersistentVolumeClaim)) []runtime.Object {
	uid := types.UID("uid-of-" + name)
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + name, Finalizers: []string{"kubernetes.io/pv-protection"},
			Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": old}, Labels: map[string]string{"team": "shop"}},
		Spec: v1.PersistentVolumeSpec{
			Capacity: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteMany},
			PersistentVolumeReclaimPolicy: v1.PersistentVolumeReclaimDelete, StorageClassName: "nfs-client", MountOptions: []string{"nfsvers=4.1"},
			ClaimRef:               &v1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: "shop", Name: name, UID: uid, ResourceVersion: "7"},
			PersistentVolumeSource: v1.PersistentVolumeSource{NFS: &v1.NFSVolumeSource{Server: "10.0.0.1", Path: "/exports/k8s/shop-" + name + "-pvc-" + name}},
		},
	}
	claim := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: uid},
		Spec:       v1.PersistentVolumeClaimSpec{VolumeName: pv.Name},
		Status:     v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound},
	}
	for _, f := range change {
		f(pv, claim)
	}
	return []runtime.Object{pv, claim}
}

func (w world) migration(change ...func(*Config)) *Migration {
	c := Config{Client: w.Client(), DriverName: ours, Namespace: "nfs-csi", Wait: 10 * time.Second}
	for _, f := range change {
		f(&c)
	}
	return New(c)
}

func (w world) plan(m *Migration) Plan {
	w.Helper()
	p, err := m.Plan(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (w world) volume(name string) *v1.PersistentVolume {
	w.Helper()
	pv, err := w.Client().CoreV1().PersistentVolumes().Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return pv
}

// unharmed: no step has put a directory at risk, and the claim has its volume.
func (w world) unharmed(name string) {
	w.Helper()
	if wrong := w.Wrong(); len(wrong) > 0 {
		w.Errorf("data were at risk: %v", wrong)
	}
	claim, err := w.Client().CoreV1().PersistentVolumeClaims("shop").Get(w.Context(), name, metav1.GetOptions{})
	if err != nil || claim.Status.Phase != v1.ClaimBound || claim.Spec.VolumeName != "pvc-"+name {
		w.Errorf("the claim is %v, %v", claim, err)
	}
	pv := w.volume("pvc-" + name)
	if pv.Status.Phase != v1.VolumeBound || pv.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimDelete || pv.DeletionTimestamp != nil {
		w.Errorf("the volume is %s, %s, deleted %v", pv.Status.Phase, pv.Spec.PersistentVolumeReclaimPolicy, pv.DeletionTimestamp)
	}
}

func (w world) converted(name string) {
	w.Helper()
	w.unharmed(name)
	pv := w.volume("pvc-" + name)
	want := "10.0.0.1#exports/k8s#shop-" + name + "-pvc-" + name + "#pvc-" + name + "#delete"
	if pv.Spec.NFS != nil || pv.Spec.CSI == nil || pv.Spec.CSI.Driver != ours || pv.Spec.CSI.VolumeHandle != want {
		w.Fatalf("the source is %+v", pv.Spec.PersistentVolumeSource)
	}
	if a := pv.Spec.CSI.VolumeAttributes; a["server"] != "10.0.0.1" || a["share"] != "/exports/k8s" || a["subDir"] != "shop-"+name+"-pvc-"+name {
		w.Errorf("the attributes are %v", a)
	}
	if pv.Annotations[annProvisionedBy] != ours || pv.Annotations[volume.AnnMigratedFrom] != old || pv.Labels["team"] != "shop" || pv.Spec.StorageClassName != "nfs-client" ||
		!slices.Equal(pv.Spec.MountOptions, []string{"nfsvers=4.1"}) || pv.Spec.Capacity.Storage().String() != "1Gi" {
		w.Errorf("the volume is %+v", pv)
	}
}

// asBefore: the volume is what it was, and nothing is noted.
func (w world) asBefore(name string) {
	w.Helper()
	w.unharmed(name)
	was := pair(name)[0].(*v1.PersistentVolume)
	pv := w.volume(was.Name)
	was.Spec.ClaimRef.ResourceVersion, pv.Spec.ClaimRef.ResourceVersion = "", ""
	if !equality.Semantic.DeepEqual(pv.Spec, was.Spec) || !equality.Semantic.DeepEqual(pv.Annotations, was.Annotations) || !equality.Semantic.DeepEqual(pv.Labels, was.Labels) ||
		!slices.Equal(pv.Finalizers, was.Finalizers) {
		w.Errorf("the volume is %+v, was %+v", pv, was)
	}
	if list, err := w.Client().CoreV1().ConfigMaps("").List(w.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
		w.Errorf("notes are left: %v, %v", list, err)
	}
}

func TestApplyUndoFinish(t *testing.T) {
	w := newWorld(t, append(pair("a"), pair("b")...)...)
	var told []string
	m := w.migration(func(c *Config) {
		c.Progress = func(done, of int, name string, err error) { told = append(told, fmt.Sprint(done, of, name, err)) }
	})
	if err := m.Apply(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	w.converted("a")
	w.converted("b")
	if want := []string{"1 2pvc-a<nil>", "2 2pvc-b<nil>"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	p := w.plan(m)
	if p.Count(Converted) != 2 || len(p.Volumes) != 2 {
		t.Errorf("the plan is %+v", p)
	}
	if err := m.Apply(t.Context(), p); err != nil {
		t.Errorf("once more: %v", err)
	}
	one := w.migration(func(c *Config) { c.Only = []string{"pvc-a"} })
	if err := one.Undo(t.Context(), w.plan(one)); err != nil {
		t.Fatal(err)
	}
	w.converted("b")
	if err := m.Finish(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	w.asBefore("a")
	w.converted("b")
	if err := m.Undo(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	w.converted("b") // which was finished
}

// A volume that grew as one of ours keeps its size when it goes back, and when it comes again.
func TestSizesAreKept(t *testing.T) {
	w := newWorld(t, pair("a")...)
	m := w.migration()
	size := func() string {
		size := w.volume("pvc-a").Spec.Capacity[v1.ResourceStorage]
		return size.String()
	}
	if err := m.Apply(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	grow := []byte(`{"spec":{"capacity":{"storage":"5Gi"}}}`)
	if _, err := w.Client().CoreV1().PersistentVolumes().Patch(t.Context(), "pvc-a", types.MergePatchType, grow, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if p := w.plan(m); p.Count(Converted) != 1 || p.Volumes[0].Capacity != "5Gi" {
		t.Errorf("the plan is %+v", p)
	}
	if err := m.Undo(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	if got := size(); got != "5Gi" || w.volume("pvc-a").Spec.NFS == nil {
		t.Errorf("undone, it has %s", got)
	}
	if err := m.Apply(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	if got := size(); got != "5Gi" {
		t.Errorf("converted again, it has %s", got)
	}
	w.unharmed("a")
}

// Whatever request fails, with its effect or without, and whoever is killed then: no data are at risk, and the next run goes on
// or goes back.
func TestEveryFailure(t *testing.T) {
	next := map[string]struct {
		begin, end func(m *Migration, ctx context.Context, p Plan) error
		judge      func(w world)
	}{
		"apply, apply": {(*Migration).Apply, (*Migration).Apply, func(w world) { w.converted("a") }},
		"apply, undo":  {(*Migration).Apply, (*Migration).Undo, func(w world) { w.asBefore("a") }},
		"undo, undo":   {(*Migration).Undo, (*Migration).Undo, func(w world) { w.asBefore("a") }},
		"undo, apply":  {(*Migration).Undo, (*Migration).Apply, func(w world) { w.converted("a") }},
	}
	for name, test := range next {
		for _, fault := range []apiserver.Fault{apiserver.Before, apiserver.After} {
			t.Run(fmt.Sprintf("%s fault %d", name, fault), func(t *testing.T) {
				t.Parallel()
				tried := 0
				for n := 1; ; n++ {
					w := newWorld(t, pair("a")...)
					m := w.migration()
					if strings.HasPrefix(name, "undo") {
						if err := m.Apply(t.Context(), w.plan(m)); err != nil {
							t.Fatal(err)
						}
					}
					p := w.plan(m)
					w.Break(killed(n, fault))
					err := test.begin(m, t.Context(), p)
					w.Break(nil)
					if wrong := w.Wrong(); len(wrong) > 0 {
						t.Fatalf("request %d: %v", n, wrong)
					}
					if err == nil {
						break // there are fewer requests
					}
					tried++
					again := w.migration()
					if err := test.end(again, t.Context(), w.plan(again)); err != nil {
						t.Fatalf("request %d failed with %v, then: %v", n, err, err)
					}
					test.judge(w)
				}
				if tried < 8 {
					t.Errorf("only %d failures were tried", tried)
				}
			})
		}
	}
}

// killed lets the n-th request fail, and none after it arrive.
func killed(n int, fault apiserver.Fault) func(string, string) apiserver.Fault {
	count := 0
	return func(string, string) apiserver.Fault {
		count++
		switch {
		case count < n:
			return apiserver.None
		case count == n:
			return fault
		}
		return apiserver.Before
	}
}

// Somebody else changes the volume between our look and our step: we look again.
func TestConflicts(t *testing.T) {
	for _, method := range []string{"PATCH", "DELETE"} {
		w := newWorld(t, pair("a")...)
		m := w.migration()
		p := w.plan(m)
		conflicts := 0
		w.Break(func(verb, path string) apiserver.Fault {
			if verb == method && strings.Contains(path, "/persistentvolumes/") && conflicts < 3 {
				conflicts++
				return apiserver.Conflict
			}
			return apiserver.None
		})
		if err := m.Apply(t.Context(), p); err != nil || conflicts != 3 {
			t.Errorf("%s: %d conflicts, %v", method, conflicts, err)
		}
		w.converted("a")
	}
}

func TestStopLeavesNoClaimAlone(t *testing.T) {
	w := newWorld(t, append(pair("a"), pair("b")...)...)
	m := w.migration()
	p := w.plan(m)
	ctx, cancel := context.WithCancel(t.Context())
	w.Break(func(method, _ string) apiserver.Fault {
		if method == "DELETE" {
			cancel()
		}
		return apiserver.None
	})
	err := m.Apply(ctx, p)
	w.Break(nil)
	if err == nil || !strings.Contains(err.Error(), "stopped after 1 of 2 volumes: run it again") {
		t.Errorf("stopped with %v", err)
	}
	w.converted("a")
	w.asBeforeBut("b")
}

func (w world) asBeforeBut(name string) {
	w.Helper()
	w.unharmed(name)
	if pv := w.volume("pvc-" + name); pv.Spec.NFS == nil {
		w.Errorf("%s was converted", name)
	}
}

func TestRefused(t *testing.T) {
	type change = func(*v1.PersistentVolume, *v1.PersistentVolumeClaim)
	block := v1.PersistentVolumeBlock
	mounted := func(options ...string) change {
		return func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Spec.MountOptions = options }
	}
	cases := map[string]struct {
		change change
		words  string
	}{
		"locks":    {mounted("hard", "nfsvers=3"), "`nolock` where nobody locks"},
		"locks v3": {mounted("vers=4.1,v3"), "NFSv3"},
		"locks beta": {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
			pv.Annotations[v1.MountOptionAnnotation] = "vers=3"
		}, "annotation volume.beta.kubernetes.io/mount-options"},
		"released":  {func(_ *v1.PersistentVolume, c *v1.PersistentVolumeClaim) { c.Name = "another" }, "it is Released"},
		"reclaimed": {func(_ *v1.PersistentVolume, c *v1.PersistentVolumeClaim) { c.UID = "other" }, "it is Released"},
		"root":      {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Spec.NFS.Path = "/exports/k8s" }, "not below"},
		"escape":    {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Spec.NFS.Path = "/exports/k8s/../x" }, `".."`},
		"elsewhere": {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Spec.NFS.Path = "/srv/x" }, "--export NAME=SERVER:/PATH"},
		"unknown": {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
			pv.Annotations[annProvisionedBy] = "fuseim.pri/ifs"
		}, "--export fuseim.pri/ifs=SERVER:/PATH"},
		"finalizer": {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
			pv.Finalizers = append(pv.Finalizers, "backup.example.com/wait")
		}, "backup.example.com/wait"},
		"block":    {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Spec.VolumeMode = &block }, "no file system"},
		"other":    {func(_ *v1.PersistentVolume, c *v1.PersistentVolumeClaim) { c.Spec.VolumeName = "x" }, `bound to volume "x"`},
		"misspelt": {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Spec.StorageClassName = "wrong" }, `archiveOnDelete is "maybe"`},
		"twin": {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
			pv.Spec.NFS.Path = "/exports/k8s/shop-twin2-pvc-twin2/"
		}, "PersistentVolume pvc-twin2"},
		"holds": {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Spec.NFS.Path = "/exports/k8s/deep" }, "PersistentVolume pvc-inside"},
		"spelt": {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
			pv.Spec.NFS.Server, pv.Spec.NFS.Path = "fd00::1", "/exports/k8s/same"
		}, "PersistentVolume pvc-other-spelling"},
		"terminates": {func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
			now := metav1.Now()
			pv.DeletionTimestamp = &now
		}, "it is being deleted"},
		"claim terminates": {func(_ *v1.PersistentVolume, c *v1.PersistentVolumeClaim) {
			now := metav1.Now()
			c.DeletionTimestamp, c.Finalizers = &now, []string{"kubernetes.io/pvc-protection"}
		}, "its claim is being deleted"},
	}
	w := newWorld(t, &storage.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "wrong"}, Provisioner: old, Parameters: map[string]string{"archiveOnDelete": "maybe"}})
	w.Add(pair("twin2", func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Spec.NFS.Path += "/" })...)
	w.Add(pair("other-spelling", func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
		pv.Spec.NFS.Server, pv.Spec.NFS.Path, pv.Annotations = "[fd00::1]", "/exports//k8s/./same/", nil
	})...)
	w.Add(pair("inside", func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
		pv.Spec.NFS.Path = "/exports/k8s/deep/inside"
		pv.Annotations = nil
	})...)
	for name, test := range cases {
		name = strings.ReplaceAll(name, " ", "-")
		w.Add(pair(name, test.change)...)
	}
	var requests []string
	m := w.migration()
	p := w.plan(m)
	w.Break(func(method, path string) apiserver.Fault {
		if method != "GET" {
			requests = append(requests, method+" "+path)
		}
		return apiserver.None
	})
	if err := m.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	err := w.migration(func(c *Config) { c.Only = slices.Collect(refusedNames(p)) }).Apply(t.Context(), p)
	for _, v := range p.Volumes {
		if err == nil || !strings.Contains(err.Error(), v.Name+": "+v.Reason) {
			t.Errorf("asked for by name, %s is refused in silence: %v", v.Name, err)
		}
	}
	if len(requests) > 0 {
		t.Errorf("something was changed: %q", requests)
	}
	for name, test := range cases {
		i := slices.IndexFunc(p.Volumes, func(v Volume) bool { return v.Name == "pvc-"+strings.ReplaceAll(name, " ", "-") })
		if i < 0 {
			t.Errorf("%s is not listed", name)
		} else if v := p.Volumes[i]; v.State != Refused || !strings.Contains(v.Reason, test.words) {
			t.Errorf("%s is %s: %q does not say %q", name, v.State, v.Reason, test.words)
		}
	}
	for _, v := range p.Volumes {
		if v.Name == "pvc-inside" {
			t.Error("a static volume is to be moved")
		}
	}
}

func refusedNames(p Plan) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range p.Volumes {
			if !yield(v.Name) {
				return
			}
		}
	}
}

func TestPlanTellsWhatThereIs(t *testing.T) {
	w := newWorld(t, pair("a")...)
	w.Add(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "shop"}, Spec: v1.PodSpec{Volumes: []v1.Volume{{VolumeSource: v1.VolumeSource{
		PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "a"}}}}}, Status: v1.PodStatus{Phase: v1.PodRunning}},
		&v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "done", Namespace: "shop"}, Spec: v1.PodSpec{Volumes: []v1.Volume{{VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "a"}}}}}, Status: v1.PodStatus{Phase: v1.PodSucceeded}})
	got, err := json.Marshal(w.plan(w.migration()))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"classes":[{"name":"nfs-client","provisioner":"` + old + `","onDelete":"delete","volumes":1}],"volumes":[{"name":"pvc-a","state":"convertible",` +
		`"reason":"pods that run keep their mount; pods that start later get it from the driver","claim":"shop/a","class":"nfs-client","provisioner":"` + old +
		`","server":"10.0.0.1","path":"/exports/k8s/shop-a-pvc-a","capacity":"1Gi","reclaimPolicy":"Delete","onDelete":"delete","handle":"10.0.0.1#exports/k8s#shop-a-pvc-a#pvc-a#delete","pods":["web-0"]}]}`
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// The volumes of csi-driver-nfs keep their handles and attributes, also static ones.
func TestFromCSI(t *testing.T) {
	source := &v1.CSIPersistentVolumeSource{Driver: "nfs.csi.k8s.io", VolumeHandle: "free text##", VolumeAttributes: map[string]string{"server": "s", "share": "/e", "subdir": "x"}}
	csi := func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) {
		pv.Spec.PersistentVolumeSource = v1.PersistentVolumeSource{CSI: source}
		pv.Finalizers = append(pv.Finalizers, "external-provisioner.volume.kubernetes.io/finalizer")
		pv.Annotations = nil
	}
	w := newWorld(t, pair("a", csi)...)
	if p := w.plan(w.migration()); len(p.Volumes) != 0 {
		t.Errorf("unasked: %+v", p)
	}
	m := w.migration(func(c *Config) { c.From = []string{"nfs.csi.k8s.io"} })
	if err := m.Apply(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	w.unharmed("a")
	if pv := w.volume("pvc-a"); pv.Spec.CSI.Driver != ours || pv.Spec.CSI.VolumeHandle != "free text##" || pv.Spec.CSI.VolumeAttributes["subdir"] != "x" ||
		pv.Annotations[volume.AnnMigratedFrom] != "nfs.csi.k8s.io" || pv.Annotations[annProvisionedBy] != ours {
		t.Errorf("the volume is %+v", pv)
	}
	if err := m.Undo(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	if pv := w.volume("pvc-a"); !equality.Semantic.DeepEqual(pv.Spec.CSI, source) || len(pv.Annotations) > 0 {
		t.Errorf("the volume is %+v", pv)
	}
}

func TestNamesOfNothing(t *testing.T) {
	w := newWorld(t, pair("a")...)
	_, err := w.migration(func(c *Config) { c.Only = []string{"pvc-a", "pvc-typo"} }).Plan(t.Context())
	if err == nil || !strings.Contains(err.Error(), `PersistentVolume "pvc-typo" is not there`) || strings.Contains(err.Error(), "pvc-a") {
		t.Errorf("%v", err)
	}
}

func TestNothingWithoutTheDriver(t *testing.T) {
	w := newWorld(t, pair("a")...)
	m := w.migration(func(c *Config) { c.DriverName = "other.example.com" })
	if err := m.Apply(t.Context(), w.plan(m)); err == nil || !strings.Contains(err.Error(), `no CSIDriver "other.example.com"`) {
		t.Errorf("%v", err)
	}
	w.asBefore("a")
}

// An API server that would not take the new volume says so before the old one goes.
func TestRehearsal(t *testing.T) {
	w := newWorld(t, pair("a")...)
	m := w.migration()
	p := w.plan(m)
	w.Break(func(method, path string) apiserver.Fault {
		if method == "POST" && strings.HasSuffix(path, "/persistentvolumes") {
			return apiserver.Before
		}
		return apiserver.None
	})
	if err := m.Apply(t.Context(), p); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("%v", err)
	}
	w.Break(nil)
	w.asBefore("a")
}

// A claim that is deleted while its volume is between the two: the directory stays, and people are told.
func TestClaimDeletedMeanwhile(t *testing.T) {
	w := newWorld(t, pair("a")...)
	m := w.migration()
	p := w.plan(m)
	deleted := false
	w.Break(func(method, path string) apiserver.Fault {
		if deleted = deleted || method == "DELETE"; deleted && method == "POST" {
			return apiserver.Before // killed
		}
		return apiserver.None
	})
	if err := m.Apply(t.Context(), p); err == nil {
		t.Fatal("not killed")
	}
	w.Break(nil)
	if err := w.Client().CoreV1().PersistentVolumeClaims("shop").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	stale := Plan{Volumes: []Volume{{Name: "pvc-a", State: Begun, old: p.Volumes[0].old, new: p.Volumes[0].new}}}
	if err := m.Apply(t.Context(), stale); err == nil || !strings.Contains(err.Error(), "claim shop/a was deleted meanwhile: the directory stays") {
		t.Errorf("%v", err)
	}
	p = w.plan(m)
	if p.Count(Gone) != 1 || !strings.Contains(p.Volumes[0].Reason, "finish forgets it") {
		t.Errorf("%+v", p)
	}
	if err := m.Finish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if p = w.plan(m); len(p.Volumes) > 0 || len(w.Wrong()) > 0 {
		t.Errorf("%+v, %v", p, w.Wrong())
	}
	if _, err := w.Client().CoreV1().PersistentVolumes().Get(t.Context(), "pvc-a", metav1.GetOptions{}); !errors.IsNotFound(err) {
		t.Errorf("a volume for nobody: %v", err)
	}
}

func TestNotesOfOthers(t *testing.T) {
	w := newWorld(t, pair("a")...)
	m := w.migration()
	p := w.plan(m)
	w.Add(&v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: noteName("pvc-a"), Namespace: "nfs-csi", Labels: map[string]string{noteLabel: noteValue}}, Data: map[string]string{"old.json": "{"}})
	if err := m.Apply(t.Context(), p); err == nil || !strings.Contains(err.Error(), "another note of it") {
		t.Errorf("%v", err)
	}
	if _, err := m.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("%v", err)
	}
	w.asBeforeBut("a")
	if long := noteName(strings.Repeat("x", 250)); len(long) > 253 || long == noteName(strings.Repeat("x", 251)) {
		t.Errorf("%q", long)
	}
}

func TestExportsAreFoundOrGiven(t *testing.T) {
	given := volume.Location{Server: "x", Share: "/exports"}
	w := newWorld(t, pair("a")...)
	for name, exports := range map[string]map[string]volume.Location{"named": {old: given}, "all": {"": given}} {
		p := w.plan(w.migration(func(c *Config) { c.Exports = exports }))
		want := "10.0.0.1#exports#k8s/shop-a-pvc-a#pvc-a#delete"
		if name == "all" {
			want = "10.0.0.1#exports/k8s#shop-a-pvc-a#pvc-a#delete" // the Deployment says it for its own name
		}
		if got := p.Volumes[0].Handle; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
