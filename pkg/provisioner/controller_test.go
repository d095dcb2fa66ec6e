package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

func TestClaimBecomesVolumeAndIsDeleted(t *testing.T) {
	for _, provisioner := range []string{testDriver, "gxf-nfs-storage"} {
		t.Run(provisioner, func(t *testing.T) {
			driver := &driverFake{}
			c := newCluster(newClass("nfs", provisioner))
			run(t, c, driver)
			c.claim(t, newClaim("data", "nfs", provisioner))

			pv := c.volume(t, "pvc-uid-data")
			if got := pv.Annotations["pv.kubernetes.io/provisioned-by"]; got != provisioner {
				t.Errorf("provisioned by %q", got)
			}
			if pv.Spec.CSI.Driver != testDriver || pv.Spec.CSI.VolumeHandle != "server#share#pvc-uid-data##" {
				t.Errorf("source is %v", pv.Spec.CSI)
			}
			if len(pv.Finalizers) != 1 || pv.Finalizers[0] != finalizer || pv.Spec.ClaimRef.Name != "data" || pv.Spec.StorageClassName != "nfs" {
				t.Errorf("finalizers %v, claim %v, class %q", pv.Finalizers, pv.Spec.ClaimRef, pv.Spec.StorageClassName)
			}
			c.event(t, "default", "data", "ProvisioningSucceeded")

			c.released(t, pv.Name)
			c.gone(t, pv.Name)
			wasDeleted(t, driver, pv.Spec.CSI.VolumeHandle)
			if _, deleted := driver.requests(); deleted[0].GetSecrets()["mountOptions"] != "nfsvers=4.1,hard" {
				t.Errorf("deleted %v", deleted)
			}
		})
	}
}

// wasDeleted: this volume and no other; the library may delete one twice where its cache is late.
func wasDeleted(t *testing.T, driver *driverFake, handle string) {
	t.Helper()
	_, deleted := driver.requests()
	if len(deleted) == 0 {
		t.Error("nothing was deleted")
	}
	for _, d := range deleted {
		if d.GetVolumeId() != handle {
			t.Errorf("%s was deleted", d.GetVolumeId())
		}
	}
}

// A volume of ours is deleted also where the provisioner's name of its class is no more one of ours. In the cluster its name stays.
func TestVolumesOfANameThatWasGivenUpAreDeleted(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(newClass("nfs", "gxf-nfs-storage"))
	_, stop := launch(t, c, driver)
	c.claim(t, newClaim("data", "nfs", "gxf-nfs-storage"))
	pv := c.volume(t, "pvc-uid-data")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	pv = pv.DeepCopy()
	pv.Finalizers, pv.Status.Phase = nil, v1.VolumeBound // so the library has something to patch
	if _, err := c.CoreV1().PersistentVolumes().Update(t.Context(), pv, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	run(t, c, driver, func(config *Config) { config.Legacy.Names = nil })
	await(t, "the finalizer", func() bool { return len(c.volume(t, pv.Name).Finalizers) > 0 })
	if by := c.volume(t, pv.Name).Annotations[annProvisionedBy]; by != "gxf-nfs-storage" {
		t.Errorf("in the cluster the volume is provisioned by %q", by)
	}
	c.released(t, pv.Name)
	c.gone(t, pv.Name)
	wasDeleted(t, driver, pv.Spec.CSI.VolumeHandle)
}

func TestForeignProvisionerIsLeftAlone(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(newClass("other", "other.example.com"), newClass("nfs", testDriver))
	run(t, c, driver)
	c.claim(t, newClaim("theirs", "other", "other.example.com"))
	c.claim(t, newClaim("ours", "nfs", testDriver))
	c.volume(t, "pvc-uid-ours")
	if created, _ := driver.requests(); len(created) != 1 || created[0].GetName() != "pvc-uid-ours" {
		t.Errorf("created %v", created)
	}
}

func TestWaitForFirstConsumer(t *testing.T) {
	driver := &driverFake{}
	late := storage.VolumeBindingWaitForFirstConsumer
	c := newCluster(newClass("late", testDriver, func(s *storage.StorageClass) { s.VolumeBindingMode = &late }), newClass("nfs", testDriver))
	run(t, c, driver)
	claim := c.claim(t, newClaim("waits", "late", testDriver))
	c.claim(t, newClaim("first", "nfs", testDriver))
	c.volume(t, "pvc-uid-first")
	if created, _ := driver.requests(); len(created) != 1 {
		t.Fatalf("%d volumes before a node was selected", len(created))
	}

	claim.Annotations["volume.kubernetes.io/selected-node"] = "a-node-that-no-one-asks-for"
	if _, err := c.CoreV1().PersistentVolumeClaims("default").Update(t.Context(), claim, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if pv := c.volume(t, "pvc-uid-waits"); pv.Spec.NodeAffinity != nil {
		t.Errorf("volume is bound to %v", pv.Spec.NodeAffinity)
	}
}

func TestRefusedClaimsSayWhy(t *testing.T) {
	block, class := v1.PersistentVolumeBlock, "fast"
	cases := map[string]struct {
		change func(*v1.PersistentVolumeClaim)
		words  string
	}{
		"selector":   {func(c *v1.PersistentVolumeClaim) { c.Spec.Selector = &metav1.LabelSelector{} }, "remove spec.selector"},
		"block":      {func(c *v1.PersistentVolumeClaim) { c.Spec.VolumeMode = &block }, "does not support block"},
		"clone":      {fromClaim("source"), `from claim "source", which does not exist`},
		"snapshot":   {fromSnapshot("s"), "snapshots are switched off"},
		"attributes": {func(c *v1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &class }, `volume attributes class "fast", which does not exist`},
	}
	driver := &driverFake{}
	c := newCluster(newClass("nfs", testDriver))
	run(t, c, driver)
	for name, test := range cases {
		c.claim(t, newClaim(name, "nfs", testDriver, test.change))
		if message := c.event(t, "default", name, "ProvisioningFailed"); !strings.Contains(message, test.words) {
			t.Errorf("%s: message %q does not say %q", name, message, test.words)
		}
	}
	if created, _ := driver.requests(); len(created) > 0 {
		t.Errorf("created %v", created)
	}
}

func TestPopulatedClaimIsLeftToItsPopulator(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(newClass("nfs", testDriver))
	run(t, c, driver)
	group := "populators.example.com"
	c.claim(t, newClaim("populated", "nfs", testDriver, func(c *v1.PersistentVolumeClaim) {
		c.Spec.DataSourceRef = &v1.TypedObjectReference{APIGroup: &group, Kind: "Backup", Name: "b"}
	}))
	c.event(t, "default", "populated", "Provisioning")
	c.claim(t, newClaim("plain", "nfs", testDriver))
	c.volume(t, "pvc-uid-plain")
	if created, _ := driver.requests(); len(created) != 1 {
		t.Errorf("created %v", created)
	}
}

func TestFailureIsAnEventAndIsRetried(t *testing.T) {
	var tries atomic.Int32
	driver := &driverFake{create: func(_ context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
		if tries.Add(1) == 1 {
			return nil, status.Error(codes.AlreadyExists, `directory "a" belongs to volume pvc-2: choose another subDir`)
		}
		return answer(r), nil
	}}
	c := newCluster(newClass("nfs", testDriver))
	run(t, c, driver)
	begun := time.Now()
	c.claim(t, newClaim("data", "nfs", testDriver))
	want := `failed to provision volume with StorageClass "nfs": directory "a" belongs to volume pvc-2: choose another subDir`
	if message := c.event(t, "default", "data", "ProvisioningFailed"); message != want {
		t.Errorf("message is %q", message)
	}
	c.volume(t, "pvc-uid-data")
	if waited := time.Since(begun); waited < backOffFirst {
		t.Errorf("tried again after %v", waited)
	}
}

// losing is a driver whose answer to the first request is lost: it is asked, and once lost is closed the server has gone away. The next
// requests fail as said.
func losing(then ...error) (driver *driverFake, asked, lost chan struct{}) {
	asked, lost = make(chan struct{}), make(chan struct{})
	var tries atomic.Int32
	return &driverFake{create: func(_ context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
		switch n := int(tries.Add(1)); {
		case n == 1:
			close(asked)
			<-lost
			return nil, status.Error(codes.Unavailable, "the server went away")
		case n-2 < len(then):
			return nil, then[n-2]
		}
		return answer(r), nil
	}}, asked, lost
}

func TestUnknownOutcomeIsFollowedUpWithoutTheClaim(t *testing.T) {
	driver, asked, lost := losing()
	c := newCluster(newClass("nfs", testDriver))
	k := run(t, c, driver)
	c.claim(t, newClaim("data", "nfs", testDriver))
	<-asked
	if err := c.CoreV1().PersistentVolumeClaims("default").Delete(t.Context(), "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the claim's end", func() bool { return len(k.caches.claims.GetStore().List()) == 0 })
	close(lost)
	c.volume(t, "pvc-uid-data") // which Kubernetes then releases, and which is deleted like any other
}

// A server that refuses us when a claim has gone is no sign that an earlier try has left nothing.
func TestUnknownOutcomeOutlivesARefusal(t *testing.T) {
	for _, refusal := range []codes.Code{codes.PermissionDenied, codes.FailedPrecondition} {
		t.Run(refusal.String(), func(t *testing.T) {
			driver, asked, lost := losing(status.Error(refusal, "the export is read-only"))
			c := newCluster(newClass("nfs", testDriver))
			k := run(t, c, driver)
			c.claim(t, newClaim("data", "nfs", testDriver))
			<-asked
			if err := c.CoreV1().PersistentVolumeClaims("default").Delete(t.Context(), "data", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			await(t, "the claim's end", func() bool { return len(k.caches.claims.GetStore().List()) == 0 })
			close(lost)
			c.volume(t, "pvc-uid-data")
		})
	}
}

func TestVolumeSurvivesThatItCannotBeSaved(t *testing.T) {
	driver := &driverFake{}
	c := newCluster(newClass("nfs", testDriver))
	var tries atomic.Int32
	c.PrependReactor("create", "persistentvolumes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return tries.Add(1) <= 2, nil, errors.New("the API server is away")
	})
	run(t, c, driver)
	c.claim(t, newClaim("data", "nfs", testDriver))
	c.volume(t, "pvc-uid-data")
	if created, deleted := driver.requests(); len(created) != 1 || len(deleted) != 0 {
		t.Errorf("%d created, %d deleted", len(created), len(deleted))
	}
	if said := c.event(t, "default", "data", "ProvisioningFailed"); !strings.Contains(said, "cannot be saved") || !strings.Contains(said, "is away") {
		t.Errorf("the claim's user is told %q", said)
	}
}

func TestFailedDeleteIsAnEventAndIsRetried(t *testing.T) {
	looked := make(chan struct{})
	var tries atomic.Int32
	driver := &driverFake{remove: func(context.Context, *csi.DeleteVolumeRequest) error {
		if tries.Add(1) == 1 {
			return status.Error(codes.PermissionDenied, "the export is squashed: add no_root_squash")
		}
		<-looked
		return nil
	}}
	c := newCluster(newClass("nfs", testDriver))
	var log logged
	run(t, c, driver, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	c.claim(t, newClaim("data", "nfs", testDriver))
	c.released(t, "pvc-uid-data")
	if message := c.event(t, "", "pvc-uid-data", "VolumeFailedDelete"); message != "the export is squashed: add no_root_squash" {
		t.Errorf("message is %q", message)
	}
	if pv := c.volume(t, "pvc-uid-data"); len(pv.Finalizers) != 1 {
		t.Errorf("finalizers %v while the directory is still there", pv.Finalizers)
	}
	close(looked)
	c.gone(t, "pvc-uid-data")
	if text := log.String(); strings.Contains(text, "squashed") || !strings.Contains(text, "provisioning") {
		t.Errorf("the failed call's own line is repeated: %s", text)
	}
}

// logged is a log that many goroutines write.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestRetainedVolumeIsKept(t *testing.T) {
	retain := v1.PersistentVolumeReclaimRetain
	driver := &driverFake{}
	c := newCluster(newClass("keep", testDriver, func(s *storage.StorageClass) { s.ReclaimPolicy = &retain }), newClass("nfs", testDriver))
	run(t, c, driver)
	c.claim(t, newClaim("kept", "keep", testDriver))
	c.claim(t, newClaim("data", "nfs", testDriver))
	c.released(t, "pvc-uid-kept")
	c.released(t, "pvc-uid-data")
	c.gone(t, "pvc-uid-data")
	if pv := c.volume(t, "pvc-uid-kept"); pv.Spec.PersistentVolumeReclaimPolicy != retain {
		t.Errorf("policy is %q", pv.Spec.PersistentVolumeReclaimPolicy)
	}
	wasDeleted(t, driver, "server#share#pvc-uid-data##")
}

// A volume of nfs-subdir-external-provisioner under a name that is ours now.
func TestVolumeOfAPredecessorIsNotTouched(t *testing.T) {
	old := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "old", Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": "gxf-nfs-storage"}},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: v1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource:        v1.PersistentVolumeSource{NFS: &v1.NFSVolumeSource{Server: "server", Path: "/share/old"}},
		},
		Status: v1.PersistentVolumeStatus{Phase: v1.VolumeBound},
	}
	driver := &driverFake{}
	c := newCluster(newClass("nfs", testDriver), old)
	run(t, c, driver)
	c.released(t, "old")
	c.claim(t, newClaim("data", "nfs", testDriver))
	c.released(t, "pvc-uid-data")
	c.gone(t, "pvc-uid-data")
	if pv := c.volume(t, "old"); len(pv.Finalizers) > 0 || pv.DeletionTimestamp != nil {
		t.Errorf("finalizers %v, deleted %v", pv.Finalizers, pv.DeletionTimestamp)
	}
	wasDeleted(t, driver, "server#share#pvc-uid-data##")
}

func TestManyClaimsAreNotHeldUp(t *testing.T) {
	const claims = 200
	driver := &driverFake{create: func(_ context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
		time.Sleep(5 * time.Millisecond) // an NFS server at work
		return answer(r), nil
	}}
	c := newCluster(newClass("nfs", testDriver))
	run(t, c, driver, func(c *Config) { c.Workers = 0 })
	begun := time.Now()
	for i := range claims {
		c.claim(t, newClaim(fmt.Sprintf("data-%d", i), "nfs", testDriver))
	}
	await(t, "all volumes", func() bool {
		list, err := c.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{})
		return err == nil && len(list.Items) == claims
	})
	t.Logf("%d claims in %v", claims, time.Since(begun))
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	registry := prometheus.NewRegistry()
	config := Config{DriverName: testDriver, Volumes: &driverFake{}, Client: newCluster(), Log: quiet(), Metrics: registry}
	if _, err := New(config); err != nil {
		t.Fatal(err)
	}
	if _, err := New(config); err == nil {
		t.Error("the same metrics were registered twice")
	}
}
