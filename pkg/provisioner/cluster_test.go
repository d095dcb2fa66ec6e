package provisioner

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

const (
	testDriver = "nfs-csi.example.com"
	finalizer  = "external-provisioner.volume.kubernetes.io/finalizer"
)

// cluster is an API server in memory with what the tests need of Kubernetes' own controllers.
type cluster struct {
	*fake.Clientset
	mu      sync.Mutex
	watched map[string]int // watches opened, by resource
}

func newCluster(objects ...runtime.Object) *cluster {
	c := &cluster{Clientset: fake.NewClientset(objects...), watched: map[string]int{}}
	c.PrependWatchReactor("*", c.watch)
	c.PrependReactor("delete", "persistentvolumes", c.deleteVolume)
	return c
}

// watch counts, since what is made after a list and before the watch is lost on the in-memory server.
func (c *cluster) watch(a clienttesting.Action) (bool, watch.Interface, error) {
	w, err := c.Tracker().Watch(a.GetResource(), a.GetNamespace())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched[a.GetResource().Resource]++
	return true, w, err
}

func (c *cluster) watches(resource string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watched[resource]
}

// deleteVolume does with finalizers what an API server does: the object stays until they are gone.
func (c *cluster) deleteVolume(a clienttesting.Action) (bool, runtime.Object, error) {
	name := a.(clienttesting.DeleteAction).GetName()
	object, err := c.Tracker().Get(a.GetResource(), "", name)
	if err != nil {
		return true, nil, err
	}
	pv := object.(*v1.PersistentVolume).DeepCopy()
	if len(pv.Finalizers) == 0 {
		return false, nil, nil
	}
	if pv.DeletionTimestamp == nil {
		now := metav1.Now()
		pv.DeletionTimestamp = &now
	}
	return true, pv, c.Tracker().Update(a.GetResource(), pv, "")
}

// driverFake is a CSI controller that remembers. Each claim's volume may be given an answer of its own.
type driverFake struct {
	mu      sync.Mutex
	created []*csi.CreateVolumeRequest
	deleted []*csi.DeleteVolumeRequest
	create  func(context.Context, *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error)
	remove  func(context.Context, *csi.DeleteVolumeRequest) error
}

func (d *driverFake) CreateVolume(ctx context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	d.mu.Lock()
	d.created = append(d.created, r)
	create := d.create
	d.mu.Unlock()
	if create != nil {
		return create(ctx, r)
	}
	return answer(r), nil
}

func answer(r *csi.CreateVolumeRequest) *csi.CreateVolumeResponse {
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId:      "server#share#" + r.GetName() + "##",
		CapacityBytes: r.GetCapacityRange().GetRequiredBytes(),
		VolumeContext: map[string]string{"server": "server", "share": "/share", "subDir": r.GetName()},
	}}
}

func (d *driverFake) DeleteVolume(ctx context.Context, r *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	d.mu.Lock()
	d.deleted = append(d.deleted, r)
	remove := d.remove
	d.mu.Unlock()
	if remove != nil {
		if err := remove(ctx, r); err != nil {
			return nil, err
		}
	}
	return &csi.DeleteVolumeResponse{}, nil
}

func (d *driverFake) requests() (created []*csi.CreateVolumeRequest, deleted []*csi.DeleteVolumeRequest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.created, d.deleted
}

// run starts a controller and stops it at the end of the test.
func run(t *testing.T, c *cluster, volumes Volumes, change ...func(*Config)) *Controller {
	t.Helper()
	k, stop := launch(t, c, volumes, change...)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("the controller ended with %v", err)
		}
	})
	return k
}

// launch starts a controller and waits until it watches; stop ends it and waits.
func launch(t *testing.T, c *cluster, volumes Volumes, change ...func(*Config)) (k *Controller, stop func() error) {
	t.Helper()
	config := Config{DriverName: testDriver, Legacy: Legacy{Names: []string{"gxf-nfs-storage"}}, Volumes: volumes, Client: c, Log: quiet(), Workers: 4}
	for _, f := range change {
		f(&config)
	}
	k, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	before := c.watches("persistentvolumes")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	await(t, "the caches", func() bool {
		return k.Ready() == nil && c.watches("persistentvolumes") > before && c.watches("persistentvolumeclaims") > before
	})
	return k, func() error { cancel(); return <-done }
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no sign of %s", what)
		}
	}
}

func (c *cluster) claim(t *testing.T, claim *v1.PersistentVolumeClaim) *v1.PersistentVolumeClaim {
	t.Helper()
	made, err := c.CoreV1().PersistentVolumeClaims(claim.Namespace).Create(t.Context(), claim, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (c *cluster) volume(t *testing.T, name string) *v1.PersistentVolume {
	t.Helper()
	var pv *v1.PersistentVolume
	await(t, "PersistentVolume "+name, func() bool {
		var err error
		pv, err = c.CoreV1().PersistentVolumes().Get(t.Context(), name, metav1.GetOptions{})
		return err == nil
	})
	return pv
}

func (c *cluster) gone(t *testing.T, name string) {
	t.Helper()
	await(t, "the end of PersistentVolume "+name, func() bool {
		pv, err := c.CoreV1().PersistentVolumes().Get(t.Context(), name, metav1.GetOptions{})
		return err != nil || pv.DeletionTimestamp != nil && len(pv.Finalizers) == 0
	})
}

// released does what Kubernetes does when the claim of a volume has gone.
func (c *cluster) released(t *testing.T, name string) {
	t.Helper()
	pv := c.volume(t, name).DeepCopy()
	pv.Status.Phase = v1.VolumeReleased
	if _, err := c.CoreV1().PersistentVolumes().Update(t.Context(), pv, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// event waits for an Event on an object and returns its message.
func (c *cluster) event(t *testing.T, namespace, object, reason string) string {
	t.Helper()
	var message string
	await(t, reason+" on "+object, func() bool {
		list, err := c.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.InvolvedObject.Name == object && e.Reason == reason {
				message = e.Message
				return true
			}
		}
		return false
	})
	return message
}

func newClass(name, provisioner string, change ...func(*storage.StorageClass)) *storage.StorageClass {
	reclaim := v1.PersistentVolumeReclaimDelete
	class := &storage.StorageClass{
		ObjectMeta:    metav1.ObjectMeta{Name: name},
		Provisioner:   provisioner,
		ReclaimPolicy: &reclaim,
		Parameters:    map[string]string{"server": "server", "share": "/share"},
		MountOptions:  []string{"nfsvers=4.1", "hard"},
	}
	for _, f := range change {
		f(class)
	}
	return class
}

// newClaim is as Kubernetes hands it to a provisioner: with the annotation that names it.
func newClaim(name, class, provisioner string, change ...func(*v1.PersistentVolumeClaim)) *v1.PersistentVolumeClaim {
	mode := v1.PersistentVolumeFilesystem
	claim := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID("uid-" + name),
			Annotations: map[string]string{"volume.kubernetes.io/storage-provisioner": provisioner},
		},
		Spec: v1.PersistentVolumeClaimSpec{
			StorageClassName: &class,
			AccessModes:      []v1.PersistentVolumeAccessMode{v1.ReadWriteMany},
			VolumeMode:       &mode,
			Resources:        v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("100Mi")}},
		},
	}
	for _, f := range change {
		f(claim)
	}
	return claim
}
