package provisioner

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	snapshotfake "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned/fake"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

// boundClaim is a claim of 100Mi with its volume.
func boundClaim(name string, change ...func(*v1.PersistentVolumeClaim, *v1.PersistentVolume)) []runtime.Object {
	claim := newClaim(name, "nfs", testDriver)
	claim.Spec.VolumeName, claim.Status.Phase = "pv-"+name, v1.ClaimBound
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv-" + name},
		Spec: v1.PersistentVolumeSpec{
			Capacity:               v1.ResourceList{v1.ResourceStorage: resource.MustParse("100Mi")},
			ClaimRef:               &v1.ObjectReference{Namespace: claim.Namespace, Name: name, UID: claim.UID},
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: testDriver, VolumeHandle: "handle-" + name}},
		},
	}
	for _, f := range change {
		f(claim, pv)
	}
	return []runtime.Object{claim, pv}
}

// readySnapshot is a snapshot of 100Mi with its content.
func readySnapshot(name string, change ...func(*snapshotv1.VolumeSnapshot, *snapshotv1.VolumeSnapshotContent)) []runtime.Object {
	ready, content, handle, size := true, "content-"+name, "handle-"+name, resource.MustParse("100Mi")
	s := &snapshotv1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Status:     &snapshotv1.VolumeSnapshotStatus{BoundVolumeSnapshotContentName: &content, ReadyToUse: &ready, RestoreSize: &size},
	}
	c := &snapshotv1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: content},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			Driver: testDriver, VolumeSnapshotRef: v1.ObjectReference{Namespace: "default", Name: name, UID: s.UID},
		},
		Status: &snapshotv1.VolumeSnapshotContentStatus{SnapshotHandle: &handle},
	}
	for _, f := range change {
		f(s, c)
	}
	return []runtime.Object{s, c}
}

func fromClaim(name string) func(*v1.PersistentVolumeClaim) {
	return func(c *v1.PersistentVolumeClaim) {
		c.Spec.DataSource = &v1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: name}
	}
}

func fromSnapshot(name string) func(*v1.PersistentVolumeClaim) {
	group := snapshotv1.GroupName
	return func(c *v1.PersistentVolumeClaim) {
		c.Spec.DataSourceRef = &v1.TypedObjectReference{APIGroup: &group, Kind: "VolumeSnapshot", Name: name}
	}
}

func TestSourceOfClaim(t *testing.T) {
	deleted, other := metav1.Now(), "other"
	type (
		pvc = v1.PersistentVolumeClaim
		pv  = v1.PersistentVolume
	)
	cases := map[string]struct {
		objects []runtime.Object
		change  func(*pvc)
		words   string // empty: no error
		waits   bool
	}{
		"none":          {nil, func(*pvc) {}, "", false},
		"claim":         {boundClaim("a"), fromClaim("a"), "", false},
		"absent":        {nil, fromClaim("a"), `claim "a", which does not exist`, true},
		"being deleted": {boundClaim("a", func(c *pvc, _ *pv) { c.DeletionTimestamp, c.Finalizers = &deleted, []string{"x"} }), fromClaim("a"), "being deleted", false},
		"pending":       {boundClaim("a", func(c *pvc, _ *pv) { c.Status.Phase = v1.ClaimPending }), fromClaim("a"), "not bound to a volume yet", true},
		"other driver":  {boundClaim("a", func(_ *pvc, p *pv) { p.Spec.CSI.Driver = "other" }), fromClaim("a"), "not one of the driver " + testDriver, false},
		"no CSI":        {boundClaim("a", func(_ *pvc, p *pv) { p.Spec.CSI = nil }), fromClaim("a"), "not one of the driver", false},
		"another's":     {boundClaim("a", func(_ *pvc, p *pv) { p.Spec.ClaimRef.UID = "x" }), fromClaim("a"), "another claim's", false},
		"bigger":        {boundClaim("a", func(_ *pvc, p *pv) { p.Spec.Capacity[v1.ResourceStorage] = resource.MustParse("1Gi") }), fromClaim("a"), "ask for at least as much", false},
		"namespace": {boundClaim("a"), func(c *pvc) {
			c.Spec.DataSourceRef = &v1.TypedObjectReference{Kind: "PersistentVolumeClaim", Name: "a", Namespace: &other}
		}, "within one namespace only", false},
		"own namespace": {boundClaim("a"), func(c *pvc) {
			c.Spec.DataSourceRef = &v1.TypedObjectReference{Kind: "PersistentVolumeClaim", Name: "a", Namespace: &c.Namespace}
		}, "", false},
		"volume is gone": {boundClaim("a")[:1], fromClaim("a"), "looking for the volume of claim", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := sources{driver: testDriver, client: fake.NewClientset(test.objects...)}
			got, err := s.of(t.Context(), newClaim("new", "nfs", testDriver, test.change))
			judgeSource(t, err, test.words, test.waits)
			if want := map[bool]string{true: "handle-a"}[err == nil && name != "none"]; got.GetVolume().GetVolumeId() != want {
				t.Errorf("source is %v, not %q", got, want)
			}
		})
	}
}

func judgeSource(t *testing.T, err error, words string, waits bool) {
	t.Helper()
	if (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
		t.Errorf("error is %v, want %q", err, words)
	}
	if _, ok := err.(waitError); ok != waits {
		t.Errorf("waits: %t, error %v", ok, err)
	}
}

func TestSnapshotOfClaim(t *testing.T) {
	deleted, notReady, bigger, empty := metav1.Now(), false, resource.MustParse("1Gi"), ""
	type (
		vs = snapshotv1.VolumeSnapshot
		vc = snapshotv1.VolumeSnapshotContent
	)
	cases := map[string]struct {
		objects []runtime.Object
		words   string
		waits   bool
	}{
		"ready":         {readySnapshot("s"), "", false},
		"unknown size":  {readySnapshot("s", func(s *vs, _ *vc) { s.Status.RestoreSize = nil }), "", false},
		"absent":        {nil, `VolumeSnapshot "s", which does not exist`, true},
		"being deleted": {readySnapshot("s", func(s *vs, _ *vc) { s.DeletionTimestamp, s.Finalizers = &deleted, []string{"x"} }), "being deleted", false},
		"new":           {readySnapshot("s", func(s *vs, _ *vc) { s.Status = nil }), "not ready to use yet", true},
		"not ready":     {readySnapshot("s", func(s *vs, _ *vc) { s.Status.ReadyToUse = &notReady }), "not ready to use yet", true},
		"bigger":        {readySnapshot("s", func(s *vs, _ *vc) { s.Status.RestoreSize = &bigger }), "ask for at least as much", false},
		"no content":    {readySnapshot("s")[:1], "looking for the content", false},
		"another's":     {readySnapshot("s", func(_ *vs, c *vc) { c.Spec.VolumeSnapshotRef.UID = "x" }), "another snapshot's", false},
		"other driver":  {readySnapshot("s", func(_ *vs, c *vc) { c.Spec.Driver = "other" }), "one of the driver other", false},
		"no handle":     {readySnapshot("s", func(_ *vs, c *vc) { c.Status.SnapshotHandle = &empty }), "not made yet", true},
	}
	claim := newClaim("new", "nfs", testDriver, fromSnapshot("s"))
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			s := sources{driver: testDriver, client: fake.NewClientset(), snapshots: snapshotfake.NewSimpleClientset(test.objects...)} //nolint:staticcheck // the module has no other
			got, err := s.of(t.Context(), claim)
			judgeSource(t, err, test.words, test.waits)
			if want := map[bool]string{true: "handle-s"}[err == nil]; got.GetSnapshot().GetSnapshotId() != want {
				t.Errorf("source is %v, not %q", got, want)
			}
		})
	}
	_, err := sources{driver: testDriver, client: fake.NewClientset()}.of(t.Context(), claim)
	judgeSource(t, err, "switched off", false)
}

// filled answers as the driver does when the volume is made from a source.
func filled(r *csi.CreateVolumeRequest) *csi.CreateVolumeResponse {
	made := answer(r)
	made.Volume.ContentSource = r.GetVolumeContentSource()
	return made
}

func TestCloneIsFollowedUntilItIsDone(t *testing.T) {
	var tries atomic.Int32
	driver := &driverFake{create: func(_ context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
		if tries.Add(1) <= 3 {
			return nil, status.Error(codes.Aborted, "on server:/share: another operation is running: copying: 43 % (1.2 of 2.9 GiB, 12,034 files)")
		}
		return filled(r), nil
	}}
	c := newCluster(append(boundClaim("a"), newClass("nfs", testDriver))...)
	run(t, c, driver)
	c.claim(t, newClaim("copy", "nfs", testDriver, fromClaim("a")))
	if message := c.event(t, "default", "copy", fillingReason); message != "the volume is being filled, copying: 43 % (1.2 of 2.9 GiB, 12,034 files)" {
		t.Errorf("the Event says %q", message)
	}
	c.volume(t, "pvc-uid-copy")
	created, _ := driver.requests()
	if len(created) != 4 || created[3].GetVolumeContentSource().GetVolume().GetVolumeId() != "handle-a" {
		t.Errorf("created %v", created)
	}
	events, err := c.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range events.Items {
		if e.Reason == fillingReason {
			told++
		}
		if e.Type != v1.EventTypeNormal {
			t.Errorf("a warning: %s", e.Message)
		}
	}
	if told != 1 {
		t.Errorf("%d Events within a minute", told)
	}
}

// The copy of a claim that is deleted meanwhile is followed to its end.
func TestCloneOutlivesItsSource(t *testing.T) {
	asked, deleted := make(chan struct{}), make(chan struct{})
	var tries atomic.Int32
	driver := &driverFake{create: func(_ context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
		switch tries.Add(1) {
		case 1:
			close(asked)
			<-deleted
			return nil, status.Error(codes.Aborted, "copying: 43 %")
		case 2:
			return nil, status.Error(codes.Unavailable, "the server restarts")
		}
		return filled(r), nil
	}}
	c := newCluster(append(boundClaim("a"), newClass("nfs", testDriver))...)
	run(t, c, driver)
	c.claim(t, newClaim("copy", "nfs", testDriver, fromClaim("a")))
	<-asked
	if err := c.CoreV1().PersistentVolumeClaims("default").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	close(deleted)
	c.volume(t, "pvc-uid-copy")
	if created, _ := driver.requests(); len(created) != 3 || created[2].GetVolumeContentSource().GetVolume().GetVolumeId() != "handle-a" {
		t.Errorf("created %v", created)
	}
}

// What became of a claim's volume is found out also when its class of attributes has gone with the claim. Another class does not take its place.
func TestUnknownOutcomeOutlivesItsAttributesClass(t *testing.T) {
	driver, asked, lost := losing()
	gold := "gold"
	c := newCluster(newClass("nfs", testDriver),
		&storage.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: gold}, DriverName: testDriver, Parameters: map[string]string{"onDelete": "retain"}})
	k := run(t, c, driver)
	c.claim(t, newClaim("data", "nfs", testDriver, func(c *v1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &gold }))
	<-asked
	if err := errors.Join(c.CoreV1().PersistentVolumeClaims("default").Delete(t.Context(), "data", metav1.DeleteOptions{}),
		c.StorageV1().VolumeAttributesClasses().Delete(t.Context(), gold, metav1.DeleteOptions{})); err != nil {
		t.Fatal(err)
	}
	await(t, "the claim's end", func() bool { return len(k.caches.claims.GetStore().List()) == 0 })
	close(lost)
	c.volume(t, "pvc-uid-data")
	if created, _ := driver.requests(); len(created) != 2 || created[1].GetMutableParameters()["onDelete"] != "retain" {
		t.Errorf("created %v", created)
	}
}

func TestRestoreWaitsForItsSnapshot(t *testing.T) {
	snapshots := snapshotfake.NewSimpleClientset() //nolint:staticcheck // the module has no other
	driver := &driverFake{create: func(_ context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
		return filled(r), nil
	}}
	c := newCluster(newClass("nfs", testDriver))
	run(t, c, driver, func(c *Config) { c.Snapshots = snapshots })
	c.claim(t, newClaim("restored", "nfs", testDriver, fromSnapshot("s")))
	c.event(t, "default", "restored", "ProvisioningFailed")
	for _, object := range readySnapshot("s") {
		if err := snapshots.Tracker().Add(object); err != nil {
			t.Fatal(err)
		}
	}
	c.volume(t, "pvc-uid-restored")
	if created, _ := driver.requests(); len(created) != 1 || created[0].GetVolumeContentSource().GetSnapshot().GetSnapshotId() != "handle-s" {
		t.Errorf("created %v", created)
	}
}

// A driver that ignores the source would hand out an empty volume.
func TestEmptyCopyIsNoVolume(t *testing.T) {
	c := newCluster(append(boundClaim("a"), newClass("nfs", testDriver))...)
	run(t, c, &driverFake{})
	c.claim(t, newClaim("copy", "nfs", testDriver, fromClaim("a")))
	if message := c.event(t, "default", "copy", "ProvisioningFailed"); !strings.Contains(message, "empty volume") {
		t.Errorf("message is %q", message)
	}
}

func TestAttributesOfClaim(t *testing.T) {
	gold := "gold"
	class := &storage.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: gold}, DriverName: testDriver, Parameters: map[string]string{"onDelete": "archive"}}
	driver := &driverFake{}
	c := newCluster(newClass("nfs", testDriver), class)
	run(t, c, driver)
	c.claim(t, newClaim("data", "nfs", testDriver, func(c *v1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &gold }))
	if pv := c.volume(t, "pvc-uid-data"); pv.Spec.VolumeAttributesClassName == nil || *pv.Spec.VolumeAttributesClassName != gold {
		t.Errorf("the volume's class of attributes is %v", pv.Spec.VolumeAttributesClassName)
	}
	if created, _ := driver.requests(); created[0].GetMutableParameters()["onDelete"] != "archive" {
		t.Errorf("created %v", created)
	}
	claim := newClaim("x", "nfs", testDriver, func(c *v1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &gold })
	p := &provisioner{driver: testDriver, client: fake.NewClientset()}
	_, err := p.attributes(t.Context(), claim, begun{class: "silver", changes: class.Parameters})
	judgeSource(t, err, "does not exist", true)
	class = class.DeepCopy()
	class.DriverName = "other"
	_, err = attributes(t.Context(), fake.NewClientset(class), testDriver, claim)
	judgeSource(t, err, "one of the driver other", false)
	_, err = attributes(t.Context(), fake.NewClientset(), testDriver, claim)
	judgeSource(t, err, "does not exist", true)
}
