package resizing

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

const driver = "nfs-csi.example.com"

// driverFake remembers what it was asked.
type driverFake struct {
	mu       sync.Mutex
	grown    []*csi.ControllerExpandVolumeRequest
	changed  []*csi.ControllerModifyVolumeRequest
	failures int // so many calls fail first
	code     codes.Code
}

func (d *driverFake) fail() error {
	if d.failures == 0 {
		return nil
	}
	d.failures--
	return status.Error(d.code, "not now")
}

func (d *driverFake) ControllerExpandVolume(_ context.Context, r *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.grown = append(d.grown, r)
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: r.GetCapacityRange().GetRequiredBytes()}, d.fail()
}

func (d *driverFake) ControllerModifyVolume(_ context.Context, r *csi.ControllerModifyVolumeRequest) (*csi.ControllerModifyVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = append(d.changed, r)
	return &csi.ControllerModifyVolumeResponse{}, d.fail()
}

// objects are a claim of 1Gi, bound to a volume of a driver.
func objects(name, driver string) (*v1.PersistentVolumeClaim, *v1.PersistentVolume) {
	size := v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
	claim := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "uid-1"},
		Spec:       v1.PersistentVolumeClaimSpec{VolumeName: "pv-" + name, Resources: v1.VolumeResourceRequirements{Requests: size}},
		Status:     v1.PersistentVolumeClaimStatus{Phase: v1.ClaimBound, Capacity: size},
	}
	return claim, &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv-" + name},
		Spec: v1.PersistentVolumeSpec{
			Capacity: maps.Clone(size), ClaimRef: &v1.ObjectReference{Namespace: "default", Name: name, UID: "uid-1"}, MountOptions: []string{"vers=4.1", "hard"},
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: "handle-" + name}},
		},
	}
}

// run starts resizing on an API server in memory and ends it with the test.
func run(t *testing.T, d *driverFake, attributes bool, has ...runtime.Object) *fake.Clientset {
	t.Helper()
	client := fake.NewClientset(has...)
	runOn(t, d, attributes, client)
	return client
}

// runOn answers the volumes that resizing shares with others.
func runOn(t *testing.T, d *driverFake, attributes bool, client *fake.Clientset) cache.SharedIndexInformer {
	t.Helper()
	if attributes {
		client.Resources = []*metav1.APIResourceList{{GroupVersion: "storage.k8s.io/v1", APIResources: []metav1.APIResource{{Kind: "VolumeAttributesClass"}}}}
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	claims, persistent := factory.Core().V1().PersistentVolumeClaims().Informer(), factory.Core().V1().PersistentVolumes().Informer()
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), claims.HasSynced, persistent.HasSynced)
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Config{DriverName: driver, Volumes: d, Client: client, Claims: claims, Persistent: persistent, SecretsOfMount: "mountOptions",
			Needed: true, Log: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("resizing ended with %v", err)
		}
		factory.Shutdown()
	})
	return persistent
}

func await(t *testing.T, client *fake.Clientset, claim, what string, done func(*v1.PersistentVolumeClaim, *v1.PersistentVolume) bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := client.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), claim, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pv, err := client.CoreV1().PersistentVolumes().Get(t.Context(), c.Spec.VolumeName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if done(c, pv) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no sign of %s: claim %+v, volume %+v", what, c.Status, pv.Spec)
		}
	}
}

func TestVolumeGrows(t *testing.T) {
	for _, failures := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d failures", failures), func(t *testing.T) {
			d := &driverFake{failures: failures, code: codes.Unavailable}
			claim, pv := objects("data", driver)
			theirClaim, theirs := objects("theirs", "other")
			claim.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: resource.MustParse("2Gi")}
			theirClaim.Spec.Resources.Requests = claim.Spec.Resources.Requests
			client := run(t, d, false, claim, pv, theirClaim, theirs)
			await(t, client, "data", "2Gi", func(c *v1.PersistentVolumeClaim, pv *v1.PersistentVolume) bool {
				return c.Status.Capacity.Storage().String() == "2Gi" && pv.Spec.Capacity.Storage().String() == "2Gi" && len(c.Status.Conditions) == 0
			})
			d.mu.Lock()
			defer d.mu.Unlock()
			last := d.grown[len(d.grown)-1]
			if len(d.grown) != failures+1 || last.GetVolumeId() != "handle-data" || last.GetCapacityRange().GetRequiredBytes() != 2<<30 || last.GetSecrets()["mountOptions"] != "vers=4.1,hard" {
				t.Errorf("asked to grow %v", d.grown)
			}
		})
	}
}

// A claim may go while its volume grows. What others know of the volume is then not what the patch has answered.
func TestReleasedVolumeIsNotBoundAgain(t *testing.T) {
	claim, pv := objects("data", driver)
	claim.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: resource.MustParse("2Gi")}
	as := func(phase v1.PersistentVolumePhase, version string) *v1.PersistentVolume {
		pv := pv.DeepCopy()
		pv.Status.Phase, pv.ResourceVersion = phase, version
		pv.Spec.Capacity = claim.Spec.Resources.Requests
		return pv
	}
	client := fake.NewClientset(claim, pv)
	var volumes atomic.Pointer[cache.SharedIndexInformer]
	phase := func() v1.PersistentVolumePhase {
		object, _, err := (*volumes.Load()).GetStore().GetByKey(pv.Name)
		if err != nil {
			t.Error(err)
		}
		return object.(*v1.PersistentVolume).Status.Phase
	}
	wait := func(what string, done func() bool) {
		for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("no sign of %s", what)
				return
			}
		}
	}
	client.PrependReactor("patch", "persistentvolumes", func(a clienttesting.Action) (bool, runtime.Object, error) {
		wait("the informer", func() bool { return volumes.Load() != nil })
		if err := client.Tracker().Update(a.GetResource(), as(v1.VolumeReleased, "7"), ""); err != nil {
			t.Error(err)
		}
		wait("the release", func() bool { return phase() == v1.VolumeReleased })
		return true, as(v1.VolumeBound, "6"), nil
	})
	persistent := runOn(t, &driverFake{}, false, client)
	volumes.Store(&persistent)
	await(t, client, "data", "2Gi", func(c *v1.PersistentVolumeClaim, _ *v1.PersistentVolume) bool {
		return c.Status.Capacity.Storage().String() == "2Gi"
	})
	if got := phase(); got != v1.VolumeReleased {
		t.Errorf("a Released volume became %q", got)
	}
}

func TestViewForgets(t *testing.T) {
	informer := cache.NewSharedIndexInformer(nil, &v1.PersistentVolume{}, 0, nil)
	store := viewOf(informer).GetStore()
	pv := func(version string) *v1.PersistentVolume {
		return &v1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv", ResourceVersion: version}}
	}
	sees := func(want string) {
		t.Helper()
		object, exists, err := store.GetByKey("pv")
		if err != nil || exists != (want != "") || exists && object.(*v1.PersistentVolume).ResourceVersion != want {
			t.Errorf("sees %v (%v, %v), not version %q", object, exists, err, want)
		}
	}
	for _, step := range []struct {
		do   func(any) error
		pv   string
		want string
	}{
		{informer.GetStore().Add, "9", "9"}, {store.Update, "10", "10"}, {informer.GetStore().Update, "11", "11"}, {store.Update, "10", "11"},
		{store.Update, "12", "12"}, {informer.GetStore().Delete, "12", ""},
	} {
		if err := step.do(pv(step.pv)); err != nil {
			t.Fatal(err)
		}
		sees(step.want)
	}
	if n := len(store.(*patchedStore).patched); n != 0 {
		t.Errorf("%d objects are kept", n)
	}
}

func TestClassOfAttributesChanges(t *testing.T) {
	d, gold := &driverFake{failures: 1, code: codes.Aborted}, "gold"
	claim, pv := objects("data", driver)
	claim.Spec.VolumeAttributesClassName = &gold
	class := &storage.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: gold}, DriverName: driver, Parameters: map[string]string{"onDelete": "archive"}}
	client := run(t, d, true, claim, pv, class)
	await(t, client, "data", "the class", func(c *v1.PersistentVolumeClaim, pv *v1.PersistentVolume) bool {
		now := c.Status.CurrentVolumeAttributesClassName
		return now != nil && *now == gold && pv.Spec.VolumeAttributesClassName != nil && *pv.Spec.VolumeAttributesClassName == gold
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.changed[len(d.changed)-1]
	if last.GetVolumeId() != "handle-data" || len(last.GetMutableParameters()) != 1 || last.GetMutableParameters()["onDelete"] != "archive" || last.GetSecrets()["mountOptions"] != "vers=4.1,hard" {
		t.Errorf("asked to change %v", d.changed)
	}
}

// A claim may name a class before there is one.
func TestClassOfAttributesComesLater(t *testing.T) {
	d, gold := &driverFake{}, "gold"
	claim, pv := objects("data", driver)
	claim.Spec.VolumeAttributesClassName = &gold
	client := run(t, d, true, claim, pv)
	await(t, client, "data", "waiting for the class", func(c *v1.PersistentVolumeClaim, _ *v1.PersistentVolume) bool {
		return c.Status.ModifyVolumeStatus != nil && c.Status.ModifyVolumeStatus.Status == v1.PersistentVolumeClaimModifyVolumePending
	})
	class := &storage.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: gold}, DriverName: driver, Parameters: map[string]string{"onDelete": "archive"}}
	if _, err := client.StorageV1().VolumeAttributesClasses().Create(t.Context(), class, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, client, "data", "the class", func(c *v1.PersistentVolumeClaim, _ *v1.PersistentVolume) bool {
		return c.Status.CurrentVolumeAttributesClassName != nil && *c.Status.CurrentVolumeAttributesClassName == gold
	})
}

// What cannot be is said on the claim.
func TestInfeasibleGrowthIsTold(t *testing.T) {
	d := &driverFake{failures: 1000, code: codes.OutOfRange}
	claim, pv := objects("data", driver)
	claim.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: resource.MustParse("2Gi")}
	client := run(t, d, false, claim, pv)
	await(t, client, "data", "the mark", func(c *v1.PersistentVolumeClaim, pv *v1.PersistentVolume) bool {
		return c.Status.AllocatedResourceStatuses[v1.ResourceStorage] == v1.PersistentVolumeClaimControllerResizeInfeasible && pv.Spec.Capacity.Storage().String() == "1Gi"
	})
}
