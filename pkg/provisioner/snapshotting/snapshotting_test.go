package snapshotting

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	snapshotfake "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned/fake"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

const (
	testDriver   = "nfs-csi.example.com"
	beingCreated = "snapshot.storage.kubernetes.io/volumesnapshot-being-created"
	beingDeleted = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted"
)

func TestMain(m *testing.M) {
	if err := KnowKinds(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var created = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// driverFake remembers what it was asked.
type driverFake struct {
	mu       sync.Mutex
	busy     int   // so many times CreateSnapshot answers that it copies
	refusal  error // of every CreateSnapshot
	made     []*csi.CreateSnapshotRequest
	removed  []*csi.DeleteSnapshotRequest
	lookedup []*csi.ListSnapshotsRequest
	there    bool // whether ListSnapshots finds what it is asked for
}

func snapshotOf(id string) *csi.Snapshot {
	return &csi.Snapshot{SnapshotId: id, SizeBytes: 1 << 30, CreationTime: timestamppb.New(created), ReadyToUse: true}
}

func (d *driverFake) CreateSnapshot(_ context.Context, r *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made = append(d.made, r)
	if len(d.made) <= d.busy {
		return nil, status.Error(codes.Aborted, "copying: 43 %")
	}
	if d.refusal != nil {
		return nil, d.refusal
	}
	return &csi.CreateSnapshotResponse{Snapshot: snapshotOf("server#share#" + r.GetName())}, nil
}

func (d *driverFake) DeleteSnapshot(_ context.Context, r *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.removed = append(d.removed, r)
	return &csi.DeleteSnapshotResponse{}, nil
}

func (d *driverFake) ListSnapshots(_ context.Context, r *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lookedup = append(d.lookedup, r)
	if !d.there {
		return &csi.ListSnapshotsResponse{}, nil
	}
	return &csi.ListSnapshotsResponse{Entries: []*csi.ListSnapshotsResponse_Entry{{Snapshot: snapshotOf(r.GetSnapshotId())}}}, nil
}

func (d *driverFake) refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusal = err
}

// asked counts the calls to make and to remove a snapshot.
func (d *driverFake) asked() (made, removed int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.made), len(d.removed)
}

type world struct {
	*testing.T
	core      *fake.Clientset
	snapshots *snapshotfake.Clientset
	there     *atomic.Bool // whether the API server has the kinds
	looked    *atomic.Int32
}

// newWorld runs snapshotting on an API server in memory, with a volume that has mount options.
func newWorld(t *testing.T, d *driverFake, there bool, has ...runtime.Object) world {
	t.Helper()
	w := idleWorld(t, there, has...)
	w.run(d)
	return w
}

// idleWorld is one where snapshotting does not run yet.
func idleWorld(t *testing.T, there bool, has ...runtime.Object) world {
	t.Helper()
	w := world{t, fake.NewClientset(&v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv"},
		Spec: v1.PersistentVolumeSpec{MountOptions: []string{"vers=4.1"},
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: testDriver, VolumeHandle: "server#share#data##"}}},
	}), nil, &atomic.Bool{}, &atomic.Int32{}}
	has = append(has, &snapshotv1.VolumeSnapshotClass{ObjectMeta: metav1.ObjectMeta{Name: "class"}, Driver: testDriver})
	w.snapshots = snapshotfake.NewSimpleClientset(has...) //nolint:staticcheck // the module has no other
	w.there.Store(there)
	w.core.Resources = []*metav1.APIResourceList{{GroupVersion: "snapshot.storage.k8s.io/v1", APIResources: []metav1.APIResource{{Kind: "VolumeSnapshotContent"}}}}
	w.core.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
		w.looked.Add(1)
		if w.there.Load() {
			return false, nil, nil
		}
		return true, nil, errors.NewNotFound(schema.GroupResource{}, "")
	})
	// The API server in memory would never end the list that a watch begins with, and says now that it cannot do that.
	w.snapshots.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		if o := a.(clienttesting.WatchActionImpl).ListOptions; o.SendInitialEvents != nil && *o.SendInitialEvents {
			return true, nil, errors.NewInvalid(schema.GroupKind{}, "", nil)
		}
		return false, nil, nil
	})
	return w
}

// late makes the API server show each change of a content as a version of its own, and that only after lag.
func (w world) late(lag time.Duration) {
	tracker := w.snapshots.Tracker()
	var mu sync.Mutex
	version := 1
	w.snapshots.PrependReactor("patch", "volumesnapshotcontents", func(a clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		_, patched, err := clienttesting.ObjectReaction(tracker)(a)
		if err != nil {
			return true, nil, err
		}
		version++
		return true, ofVersion(patched, version), nil
	})
	w.snapshots.PrependWatchReactor("volumesnapshotcontents", func(a clienttesting.Action) (bool, watch.Interface, error) {
		if o := a.(clienttesting.WatchActionImpl).ListOptions; o.SendInitialEvents != nil && *o.SendInitialEvents {
			return false, nil, nil
		}
		changes, err := tracker.Watch(a.GetResource(), "")
		if err != nil {
			return true, nil, err
		}
		shown := 1
		return true, watch.Filter(changes, func(e watch.Event) (watch.Event, bool) {
			time.Sleep(lag)
			shown++
			e.Object = ofVersion(e.Object, shown)
			return e, true
		}), nil
	})
}

func ofVersion(o runtime.Object, version int) runtime.Object {
	c := o.(*snapshotv1.VolumeSnapshotContent).DeepCopy()
	c.ResourceVersion = strconv.Itoa(version)
	return c
}

func (w world) run(d *driverFake) {
	factory := informers.NewSharedInformerFactory(w.core, 0)
	persistent := factory.Core().V1().PersistentVolumes().Informer()
	ctx, cancel := context.WithCancel(w.Context())
	factory.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), persistent.HasSynced)
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Config{DriverName: testDriver, Volumes: d, Client: w.core, Snapshots: w.snapshots, Persistent: persistent,
			SecretsOfMount: "mountOptions", Follows: func([]string) bool { return true }, Needed: true, Log: slog.New(slog.DiscardHandler), Look: 10 * time.Millisecond})
	}()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("snapshotting ended with %v", err)
		}
		factory.Shutdown()
	})
}

// content asks for a snapshot of the volume "handle", or stands for one that is there.
func content(name, driver string, change ...func(*snapshotv1.VolumeSnapshotContent)) *snapshotv1.VolumeSnapshotContent {
	handle, class := "server#share#data##", "class"
	c := &snapshotv1.VolumeSnapshotContent{
		// The library compares versions, which the API server in memory does not give.
		ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: "1", Finalizers: []string{"snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"}},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			Driver: driver, DeletionPolicy: snapshotv1.VolumeSnapshotContentDelete, VolumeSnapshotClassName: &class,
			VolumeSnapshotRef: v1.ObjectReference{Namespace: "default", Name: "s", UID: "1234"},
			Source:            snapshotv1.VolumeSnapshotContentSource{VolumeHandle: &handle},
		},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func (w world) await(name, what string, done func(*snapshotv1.VolumeSnapshotContent) bool) {
	w.Helper()
	w.until(what, func() bool {
		c, err := w.snapshots.SnapshotV1().VolumeSnapshotContents().Get(w.Context(), name, metav1.GetOptions{})
		if err != nil {
			w.Fatal(err)
		}
		return done(c)
	})
}

func (w world) until(what string, done func() bool) {
	w.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("no sign of %s", what)
		}
	}
}

func ready(c *snapshotv1.VolumeSnapshotContent) bool {
	s := c.Status
	return s != nil && s.ReadyToUse != nil && *s.ReadyToUse && s.SnapshotHandle != nil && *s.SnapshotHandle == "server#share#snapshot-1234" &&
		s.CreationTime != nil && *s.CreationTime == created.UnixNano() && s.RestoreSize != nil && *s.RestoreSize == 1<<30
}

func TestSnapshotIsMadeOnceItsCopyIsDone(t *testing.T) {
	d := &driverFake{busy: 2}
	w := newWorld(t, d, true, content("ours", testDriver), content("theirs", "other"))
	w.await("ours", "the snapshot", ready)
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.made[len(d.made)-1]
	if len(d.made) != 3 || last.GetSourceVolumeId() != "server#share#data##" || last.GetSecrets()["mountOptions"] != "vers=4.1" {
		t.Errorf("asked to make %v", d.made)
	}
}

// The library drops a try whose content it knows in a newer version than the API server has shown, and nothing else wakes it.
func TestLateAPIServerHoldsUpNoSnapshot(t *testing.T) {
	d := &driverFake{busy: 1}
	w := idleWorld(t, true, content("ours", testDriver))
	w.late(2 * backOffFirst)
	w.run(d)
	w.await("ours", "the snapshot", ready)
}

func TestSnapshotIsDeleted(t *testing.T) {
	d, now, handle := &driverFake{}, metav1.Now(), "server#share#s#s#data"
	w := newWorld(t, d, true, content("ours", testDriver, func(c *snapshotv1.VolumeSnapshotContent) {
		c.DeletionTimestamp, c.Annotations = &now, map[string]string{beingDeleted: "yes"}
		c.Status = &snapshotv1.VolumeSnapshotContentStatus{SnapshotHandle: &handle}
	}))
	w.await("ours", "the end", func(c *snapshotv1.VolumeSnapshotContent) bool { return len(c.Finalizers) == 0 })
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.removed) == 0 || d.removed[0].GetSnapshotId() != handle || d.removed[0].GetSecrets()["mountOptions"] != "vers=4.1" {
		t.Errorf("asked to remove %v", d.removed)
	}
}

// A snapshot that a full share has no room for can be deleted, which may be done to make room.
func TestSnapshotWithoutRoomIsDeleted(t *testing.T) {
	d, now := &driverFake{refusal: status.Error(codes.ResourceExhausted, "no space left")}, metav1.Now()
	w := newWorld(t, d, true, content("ours", testDriver, func(c *snapshotv1.VolumeSnapshotContent) {
		c.DeletionTimestamp, c.Annotations = &now, map[string]string{beingCreated: "yes", beingDeleted: "yes"}
	}))
	w.await("ours", "the end", func(c *snapshotv1.VolumeSnapshotContent) bool { return len(c.Finalizers) == 0 })
}

// A snapshot that an earlier process has begun is not let go because the server refuses us when it is deleted: what is on its share would
// be nobody's.
func TestBegunSnapshotOutlivesARefusal(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.FailedPrecondition, codes.InvalidArgument} {
		t.Run(code.String(), func(t *testing.T) {
			d, now := &driverFake{refusal: status.Error(code, "the server refuses us")}, metav1.Now()
			w := newWorld(t, d, true, content("ours", testDriver, func(c *snapshotv1.VolumeSnapshotContent) {
				c.DeletionTimestamp, c.Annotations = &now, map[string]string{beingCreated: "yes", beingDeleted: "yes"}
			}))
			w.until("a second try", func() bool { tries, _ := d.asked(); return tries > 1 })
			d.refuse(nil)
			w.await("ours", "the end", func(c *snapshotv1.VolumeSnapshotContent) bool { return len(c.Finalizers) == 0 })
			if _, removed := d.asked(); removed == 0 {
				t.Error("what was begun has stayed on the share")
			}
		})
	}
}

// A snapshot that was refused before anything was made of it can be deleted at once.
func TestRefusedSnapshotIsDeleted(t *testing.T) {
	d, now := &driverFake{refusal: status.Error(codes.PermissionDenied, "the server refuses us")}, metav1.Now()
	w := newWorld(t, d, true, content("ours", testDriver))
	w.await("ours", "the refusal", func(c *snapshotv1.VolumeSnapshotContent) bool {
		return c.Status != nil && c.Status.Error != nil && c.Annotations[beingCreated] == ""
	})
	w.await("ours", "the end", func(c *snapshotv1.VolumeSnapshotContent) bool {
		if c.Annotations[beingDeleted] == "" { // a try that has just begun may write the annotations that it saw before
			c.DeletionTimestamp, c.Annotations = &now, map[string]string{beingDeleted: "yes"}
			if _, err := w.snapshots.SnapshotV1().VolumeSnapshotContents().Update(t.Context(), c, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		return len(c.Finalizers) == 0
	})
}

// A snapshot that is there already, as one of csi-driver-nfs, is found by its handle.
func TestSnapshotIsFoundByItsHandle(t *testing.T) {
	d, handle := &driverFake{there: true}, "server#share#snapshot-1234"
	w := newWorld(t, d, true, content("ours", testDriver, func(c *snapshotv1.VolumeSnapshotContent) {
		c.Spec.Source = snapshotv1.VolumeSnapshotContentSource{SnapshotHandle: &handle}
		c.Spec.VolumeSnapshotClassName = nil
	}))
	w.await("ours", "the snapshot", ready)
	_, _, _, _, err := driver{Config{Volumes: &driverFake{}, Persistent: cache.NewSharedIndexInformer(nil, &v1.PersistentVolume{}, 0, nil)}, t.Context(), nil}.
		GetSnapshotStatus(t.Context(), "x", nil)
	if status.Code(err) != codes.NotFound {
		t.Errorf("a snapshot that is not there: %v", err)
	}
}

// A share is reached as the volume says it, or as a neighbour that the driver can follow, and each time in the same way.
func TestWayToTheShare(t *testing.T) {
	volumes := cache.NewSharedIndexInformer(nil, &v1.PersistentVolume{}, 0, nil)
	d := driver{Config{DriverName: testDriver, Persistent: volumes, SecretsOfMount: "mountOptions",
		Follows: func(options []string) bool { return !slices.Contains(options, "sec=krb5p") }}, t.Context(), nil}
	for name, v := range map[string]struct {
		driver, handle string
		options        []string
	}{
		"a": {testDriver, "server#share#secret##", []string{"sec=krb5p"}},
		"b": {"other", "server#share#b##", []string{"vers=3"}},
		"c": {testDriver, "server#share#plain##", nil},
		"d": {testDriver, "server#share#four##", []string{"vers=4.2", "hard"}},
		"e": {testDriver, "server#locked#e##", []string{"sec=krb5p"}},
		"f": {testDriver, "server#one#f##", []string{"sec=krb5p"}},
		"g": {testDriver, "server#one#g##", []string{"vers=4.1"}},
		"h": {testDriver, "server#one#h##", []string{"vers=3"}},
	} {
		err := volumes.GetStore().Add(&v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PersistentVolumeSpec{MountOptions: v.options,
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: v.driver, VolumeHandle: v.handle}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for handle, want := range map[string]string{
		"server#share#plain##":     "",              // its own: none
		"server#share#four##":      "vers=4.2,hard", // its own
		"server#share#secret##":    "sec=krb5p",     // its own: the driver says why it cannot
		"server#share#s#s#plain":   "",              // of c, the first that can be followed
		"server#locked#s#s#e":      "",              // nobody's
		"server#one#s#s#f":         "vers=4.1",      // of g
		"server#elsewhere#s#s#x":   "",
		"free text, not a handle":  "",
		"server#/one/#s#s#deleted": "vers=4.1",
	} {
		for range 20 { // the store has no order
			if got := d.withMount(map[string]string{"user": "u"}, handle); got["mountOptions"] != want || got["user"] != "u" {
				t.Fatalf("%s is reached with %v, want %q", handle, got, want)
			}
		}
	}
}

// The kinds may be installed later, removed, and installed again.
func TestKindsComeAndGo(t *testing.T) {
	w := newWorld(t, &driverFake{}, false, content("first", testDriver))
	w.looks()
	if n := w.watches(); n != 0 {
		t.Errorf("%d watches before the kinds are there", n)
	}
	w.there.Store(true)
	w.await("first", "the snapshot", ready)
	before := w.watches()
	w.there.Store(false)
	w.looks()
	w.there.Store(true)
	w.until("a new watch", func() bool { return w.watches() > before })
}

// looks waits until the kinds were looked for, twice from begin to end.
func (w world) looks() {
	w.Helper()
	seen := w.looked.Load()
	w.until("a look for the kinds", func() bool { return w.looked.Load() > seen+2 })
}

// watches counts those of VolumeSnapshotContents that were ever opened.
func (w world) watches() (n int) {
	for _, a := range w.snapshots.Actions() {
		if a.Matches("watch", "volumesnapshotcontents") {
			n++
		}
	}
	return n
}
