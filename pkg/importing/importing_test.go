package importing

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
	"github.com/nfs-csi/nfs-csi/test/apiserver"
)

var place = volume.Location{Server: "server", Share: "/exports/k8s"}

// world is an export that has survived, and a cluster that has not.
type world struct {
	*testing.T
	s      *apiserver.Server
	export *memfs.FS
	Config
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, s: apiserver.Start(t), export: memfs.New()}
	w.s.Add(&storage.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "nfs"}, Provisioner: "nfs-csi.github.io", MountOptions: []string{"nfsvers=4.1"}},
		&v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	for _, dir := range []string{".nfs-csi", ".nfs-csi/volumes"} {
		w.mkdir(dir)
	}
	w.Config = Config{Client: w.s.Client(), DriverName: "nfs-csi.github.io", Export: w.export, Location: place, Class: "nfs",
		Capacity: resource.MustParse("1Gi"), ReclaimPolicy: v1.PersistentVolumeReclaimRetain}
	return w
}

func (w *world) mkdir(name string) {
	w.Helper()
	if err := w.export.Mkdir(w.Context(), name, 0o777, -1, -1); err != nil {
		w.Fatal(err)
	}
}

func (w *world) file(name, content string) {
	w.Helper()
	if err := w.export.CreateFile(w.Context(), name, []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
}

// recorded is a volume with its record and, unless change takes it away, its directory.
func (w *world) recorded(name, claim string, change ...func(*volume.Record)) volume.Record {
	w.Helper()
	r := volume.Record{Version: volume.RecordVersion, Name: name, Dir: volume.Dir("dir-" + name), CapacityBytes: 5 << 30, Policy: volume.Archive, Claim: claim,
		Created: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)}
	for _, f := range change {
		f(&r)
	}
	data, err := r.Marshal()
	if err != nil {
		w.Fatal(err)
	}
	w.file(".nfs-csi/volumes/"+volume.Key(name)+".json", string(data))
	return r
}

func (w *world) plan() Plan {
	w.Helper()
	p, err := w.Plan(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func (p Plan) of(name string) Volume {
	i := slices.IndexFunc(p.Volumes, func(v Volume) bool { return v.Name == name })
	if i < 0 {
		return Volume{}
	}
	return p.Volumes[i]
}

func TestVolumesComeBack(t *testing.T) {
	w := newWorld(t)
	w.recorded("pvc-1", "shop/data")
	w.mkdir("dir-pvc-1")
	w.recorded("pvc-2", "gone/data")
	w.mkdir("dir-pvc-2")
	w.Claims = true
	p := w.plan()
	if v := p.of("pvc-1"); v.State != Importable || !v.MakeClaim || v.Handle != "server#exports/k8s#dir-pvc-1#pvc-1#archive" || v.Capacity != "5Gi" || !v.Recorded {
		t.Errorf("%+v", v)
	}
	if v := p.of("pvc-2"); v.State != Importable || v.MakeClaim || !strings.Contains(v.Reason, "namespace gone is not there") {
		t.Errorf("%+v", v)
	}
	var told []string
	w.Progress = func(done, of int, name string, err error) { told = append(told, name) }
	if err := w.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(told, []string{"pvc-2", "pvc-1"}) {
		t.Errorf("told of %v", told)
	}
	pv, err := w.Client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := pv.Spec.CSI
	if c == nil || c.Driver != "nfs-csi.github.io" || c.VolumeAttributes["subDir"] != "dir-pvc-1" || pv.Status.Phase != v1.VolumeBound || pv.Spec.StorageClassName != "nfs" ||
		!slices.Equal(pv.Spec.MountOptions, []string{"nfsvers=4.1"}) || pv.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimRetain ||
		pv.Annotations["pv.kubernetes.io/provisioned-by"] != "nfs-csi.github.io" {
		t.Errorf("the volume is %+v", pv)
	}
	claim, err := w.Client.CoreV1().PersistentVolumeClaims("shop").Get(t.Context(), "data", metav1.GetOptions{})
	if err != nil || claim.Status.Phase != v1.ClaimBound || claim.Spec.VolumeName != "pvc-1" || *claim.Spec.StorageClassName != "nfs" {
		t.Errorf("the claim is %+v, %v", claim, err)
	}
	if p := w.plan(); p.Count(Present) != 2 || p.Count(Importable) != 0 {
		t.Errorf("once more: %+v", p)
	}
}

func TestWhatIsNotImported(t *testing.T) {
	w := newWorld(t)
	cases := map[string]struct {
		change func(*volume.Record)
		words  string
	}{
		"kept":     {func(r *volume.Record) { r.Retained = true }, "onDelete: retain"},
		"unfilled": {func(r *volume.Record) { r.Source = "s#e#x##" }, "never filled completely"},
		"missing":  {nil, "is not there"},
		"file":     {nil, "no directory"},
		"other":    {nil, "another PersistentVolume of this name"},
		"shared":   {nil, "PersistentVolume in-tree has the directory"},
		"Odd_Name": {nil, "no PersistentVolume can have this name"},
	}
	for name, test := range cases {
		if test.change == nil {
			test.change = func(*volume.Record) {}
		}
		w.recorded(name, "shop/"+name, test.change)
		switch name {
		case "missing":
		case "file":
			w.file("dir-file", "x")
		default:
			w.mkdir("dir-" + name)
		}
	}
	w.s.Add(&v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "other"}},
		&v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "in-tree"}, Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: v1.PersistentVolumeSource{
			NFS: &v1.NFSVolumeSource{Server: "[server]", Path: "/exports//k8s/dir-shared/"}}}})
	w.file(".nfs-csi/volumes/torn.json", `{"version":1`)
	w.file(".nfs-csi/volumes/moved.json", `{"version":1,"name":"x","directory":"x","capacityBytes":1,"onDelete":"delete","created":"2026-11-20T00:00:00Z"}`)
	w.file(".nfs-csi/volumes/notes.txt", "")
	p := w.plan()
	if len(p.Volumes) != len(cases) {
		t.Errorf("%d volumes, want %d", len(p.Volumes), len(cases))
	}
	for name, test := range cases {
		if v := p.of(name); v.State != Refused || !strings.Contains(v.Reason, test.words) {
			t.Errorf("%s is %s: %q does not say %q", name, v.State, v.Reason, test.words)
		}
	}
	if err := w.Apply(t.Context(), p); err != nil {
		t.Error(err)
	}
}

// Of two records that name one directory, as a creation leaves that died when another had taken its reservation, neither can tell whose it is.
func TestTwoRecordsOfOneDirectory(t *testing.T) {
	w := newWorld(t)
	in := func(dir volume.Dir) func(*volume.Record) { return func(r *volume.Record) { r.Dir = dir } }
	w.recorded("a", "shop/a", in("one"))
	w.recorded("b", "shop/b", in("one"))
	w.recorded("c", "shop/c", in("two"))
	w.recorded("d", "shop/d", in("two"), func(r *volume.Record) { r.Retained = true }) // before c was made
	w.recorded("e", "shop/e", in("three"))
	w.recorded("f", "shop/f", in("three"))
	for _, dir := range []string{"one", "two", "three"} {
		w.mkdir(dir)
	}
	p := w.plan()
	for name, rival := range map[string]string{"a": "b", "b": "a", "e": "f", "f": "e"} {
		if v := p.of(name); v.State != Refused || !strings.Contains(v.Reason, "the record of volume "+rival+" names this directory too") {
			t.Errorf("%s is %s: %q", name, v.State, v.Reason)
		}
	}
	if c, d := p.of("c"), p.of("d"); c.State != Importable || d.State != Refused {
		t.Errorf("c is %s: %q, d is %s", c.State, c.Reason, d.State)
	}
	e := p.of("e")
	w.s.Add(w.persistentVolume(e, nil)) // it was there all the time
	p = w.plan()
	if e, f := p.of("e"), p.of("f"); e.State != Present || f.State != Refused {
		t.Errorf("e is %s: %q, f is %s", e.State, e.Reason, f.State)
	}
}

// Who gets a volume when its claim's name is taken, or wanted twice, or no name.
func TestClaimsOfVolumes(t *testing.T) {
	w := newWorld(t)
	w.s.Add(&v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "taken"}, Spec: v1.PersistentVolumeClaimSpec{VolumeName: "new"}},
		&v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "waits"}})
	cases := map[string]struct{ claim, want, words string }{
		"a": {"shop/taken", "", "has volume new by now"},
		"b": {"shop/waits", "shop/waits", "the claim that is there gets it"},
		"c": {"shop/twice", "", "2 volumes were made for claim shop/twice"},
		"d": {"shop/twice", "", "2 volumes were made for claim shop/twice"},
		"e": {"shop/free", "shop/free", "a claim of this name gets it"},
		"f": {"", "", "its claim is not known"},
		"g": {"../x/y", "", "its claim is not known"},
	}
	for name, test := range cases {
		w.recorded(name, test.claim)
		w.mkdir("dir-" + name)
	}
	p := w.plan()
	for name, test := range cases {
		if v := p.of(name); v.State != Importable || v.Claim != test.want || !strings.Contains(v.Reason, test.words) {
			t.Errorf("%s: claim %q, %q; want %q, %q", name, v.Claim, v.Reason, test.want, test.words)
		}
	}
	if err := w.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if pv, err := w.Client.CoreV1().PersistentVolumes().Get(t.Context(), "f", metav1.GetOptions{}); err != nil || pv.Spec.ClaimRef != nil {
		t.Errorf("%v, %v", pv, err)
	} else if pv.Spec.StorageClassName != "" {
		t.Errorf("any claim of class %s may get what is for none", pv.Spec.StorageClassName)
	}
}

// What claims are there, and what other volumes are kept for them, decides who gets a volume.
func TestClaimsThatAreThere(t *testing.T) {
	w := newWorld(t)
	w.Directories = true
	claim := func(name, size, volume string) {
		w.s.Add(&v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid-of-that"}, Spec: v1.PersistentVolumeClaimSpec{VolumeName: volume,
			Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}}}})
	}
	const plain = "pvc-7d1f6b2a-0000-4000-8000-000000000001"
	claim("plain", "20Gi", "")
	claim("greater", "20Gi", "")
	claim("lost", "1Gi", "lost")
	w.mkdir("shop-plain-" + plain)
	w.s.Add(&v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "first"}, Spec: v1.PersistentVolumeSpec{ClaimRef: &v1.ObjectReference{Namespace: "shop", Name: "kept"}}})
	for _, name := range []string{"greater", "kept", "lost"} {
		w.recorded(name, "shop/"+name)
		w.mkdir("dir-" + name)
	}
	p := w.plan()
	for name, want := range map[string]struct{ claim, capacity, words string }{
		plain:     {"shop/plain", "20Gi", "gets it"},
		"greater": {"", "5Gi", "asks for 20Gi, more than the volume has"},
		"kept":    {"", "5Gi", "PersistentVolume first is kept for claim shop/kept"},
		"lost":    {"shop/lost", "5Gi", "gets it"},
	} {
		if v := p.of(name); v.State != Importable || v.Claim != want.claim || v.Capacity != want.capacity || !strings.Contains(v.Reason, want.words) {
			t.Errorf("%s: %+v, want %v", name, v, want)
		}
	}
	if ref := w.persistentVolume(p.of("lost"), nil).Spec.ClaimRef; ref == nil || ref.UID != "uid-of-that" {
		t.Errorf("a claim that was bound before takes no volume for %+v", ref)
	}
}

// A run that could not write a claim is repeated: the volume is there, its claim is written.
func TestClaimsAreWrittenLater(t *testing.T) {
	w := newWorld(t)
	w.Claims, w.Class = true, ""
	w.recorded("a", "shop/a")
	w.mkdir("dir-a")
	w.recorded("b", "later/b")
	w.mkdir("dir-b")
	w.s.Break(func(method, path string) apiserver.Fault {
		if method == "POST" && strings.HasSuffix(path, "/persistentvolumeclaims") {
			return apiserver.Before
		}
		return apiserver.None
	})
	if err := w.Apply(t.Context(), w.plan()); err == nil || !strings.Contains(err.Error(), "a: writing claim shop/a") {
		t.Errorf("%v", err)
	}
	w.s.Break(nil)
	p := w.plan()
	if a, b := p.of("a"), p.of("b"); a.State != Present || !a.MakeClaim || b.State != Present || b.MakeClaim {
		t.Errorf("%+v, %+v", a, b)
	}
	w.s.Add(&v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "later"}})
	var told []string
	w.Progress = func(done, of int, name string, err error) { told = append(told, fmt.Sprint(done, "/", of, name, err)) }
	if err := w.Apply(t.Context(), w.plan()); err != nil || len(told) != 2 {
		t.Errorf("%v, %v", err, told)
	}
	for _, claim := range []string{"shop/a", "later/b"} {
		namespace, name, _ := strings.Cut(claim, "/")
		if made, err := w.Client.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil || made.Spec.VolumeName != name {
			t.Errorf("%s: %v, %v", claim, made, err)
		}
	}
	if p := w.plan(); p.of("a").MakeClaim || p.of("b").MakeClaim {
		t.Errorf("once more: %+v", p)
	}
	w.Only = []string{"a", "typo", "c"}
	if _, err := w.Plan(t.Context()); err == nil || !strings.Contains(err.Error(), `there is no volume "typo" on server:/exports/k8s`) || !strings.Contains(err.Error(), `"c"`) {
		t.Errorf("of names that nothing has: %v", err)
	}
}

// Directories that nfs-subdir-external-provisioner left behind, in a cluster that has their namespaces and in one that has not.
func TestDirectoriesWithoutARecord(t *testing.T) {
	const uid = "pvc-0f3c6c1e-0d1a-4c53-a2b0-7c5bd1e5c9a1"
	w := newWorld(t)
	w.s.Add(&v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}}, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
	id := func(n string) string { return uid[:len(uid)-1] + n }
	for _, dir := range []string{"shop-data-" + id("1"), "team-a-b-" + id("2"), "lost-data-" + id("3"), "archived-shop-x-" + id("4"), "notes", "shop-" + id("5") + "x"} {
		w.mkdir(dir)
	}
	w.file("shop-file-"+id("6"), "")
	w.recorded("pvc-7", "shop/seven", func(r *volume.Record) { r.Dir = volume.Dir("shop-seven-" + id("7")) })
	w.mkdir("shop-seven-" + id("7"))
	if p := w.plan(); len(p.Volumes) != 1 {
		t.Errorf("unasked: %+v", p)
	}
	w.Directories = true
	w.Only = []string{id("1")}
	if p := w.plan(); len(p.Volumes) != 1 || p.Volumes[0].Name != id("1") {
		t.Errorf("one alone: %+v", p)
	}
	w.Only = nil
	p := w.plan()
	want := map[string]string{id("1"): "shop/data", id("2"): "", id("3"): "lost/data", "pvc-7": "shop/seven"}
	if len(p.Volumes) != len(want) {
		t.Errorf("%+v", p)
	}
	for name, claim := range want {
		if v := p.of(name); v.State != Importable || v.Claim != claim || v.Recorded != (name == "pvc-7") {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := p.of(id("1")); v.Handle != "server#exports/k8s#shop-data-"+id("1")+"#"+id("1")+"#archive" || v.Capacity != "1Gi" {
		t.Errorf("%+v", v)
	}
	if err := w.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{id("1"): "server:/exports/k8s", "pvc-7": ""} {
		pv, err := w.Client.CoreV1().PersistentVolumes().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || pv.Annotations["nfs-csi.github.io/migrated-from"] != from {
			t.Errorf("%s: annotations %v, %v", name, pv.Annotations, err)
		}
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t)
	w.recorded("a", "shop/a")
	w.mkdir("dir-a")
	w.recorded("b", "shop/b")
	w.mkdir("dir-b")
	p := w.plan()
	w.s.Break(func(method, _ string) apiserver.Fault {
		if method == "POST" {
			return apiserver.Before
		}
		return apiserver.None
	})
	if err := w.Apply(t.Context(), p); err == nil || !strings.Contains(err.Error(), "2 volumes failed, the first was a: writing the volume") {
		t.Errorf("%v", err)
	}
	w.s.Break(nil)
	w.Class = "none"
	if err := w.Apply(t.Context(), p); err == nil || !strings.Contains(err.Error(), `no StorageClass "none"`) {
		t.Errorf("%v", err)
	}
	w.Class = ""
	if err := w.Apply(t.Context(), w.plan()); err != nil {
		t.Error(err)
	}
	empty := newWorld(t)
	empty.Export = memfs.New()
	if p, err := empty.Plan(t.Context()); err != nil || len(p.Volumes) > 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if data, err := json.Marshal(p.Volumes[0]); err != nil || !strings.HasPrefix(string(data), `{"name":"a","state":"importable","reason":"a claim of this name gets it","directory":"dir-a","recorded":true,`) {
		t.Errorf("%s, %v", data, err)
	}
}
