package capacity

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/types/known/wrapperspb"
	apps "k8s.io/api/apps/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
)

const driver = "nfs-csi.example.com"

// sharesFake has so much room on each server; a negative number is a server that does not answer.
type sharesFake struct {
	mu      sync.Mutex
	room    map[string]int64
	maximum *wrapperspb.Int64Value
	asked   []*csi.GetCapacityRequest
}

func (s *sharesFake) GetCapacity(_ context.Context, r *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r)
	n := s.room[r.GetParameters()["server"]]
	if n < 0 {
		return nil, errors.New("away")
	}
	return &csi.GetCapacityResponse{AvailableCapacity: n, MaximumVolumeSize: s.maximum}, nil
}

func (s *sharesFake) set(server string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room[server] = n
}

func class(name, provisioner, server string) *storage.StorageClass {
	return &storage.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, Parameters: map[string]string{"server": server}, MountOptions: []string{"vers=4.1"},
	}
}

type world struct {
	*testing.T
	*fake.Clientset
	publisher *Publisher
}

func newWorld(t *testing.T, shares Shares, owner string, classes ...*storage.StorageClass) world {
	t.Helper()
	client := fake.NewClientset(&apps.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "controller", UID: "uid-7"}})
	for _, c := range classes {
		if err := client.Tracker().Add(c); err != nil {
			t.Fatal(err)
		}
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Storage().V1().StorageClasses().Informer()
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), informer.HasSynced)
	p := New(Config{DriverName: driver, Names: []string{"old-name"}, Shares: shares, Client: client, Classes: informer, Namespace: "system", Owner: owner,
		Every: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; factory.Shutdown() })
	return world{t, client, p}
}

// says waits until the objects are these: bytes by class.
func (w world) says(want map[string]int64) map[string]storage.CSIStorageCapacity {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		list, err := w.StorageV1().CSIStorageCapacities("system").List(w.Context(), metav1.ListOptions{})
		if err != nil {
			w.Fatal(err)
		}
		got := map[string]storage.CSIStorageCapacity{}
		good := len(list.Items) == len(want)
		for _, o := range list.Items {
			got[o.StorageClassName] = o
			good = good && o.Capacity.Value() == want[o.StorageClassName]
		}
		if good {
			return got
		}
		if time.Now().After(deadline) {
			w.Fatalf("there are %v, not %v", list.Items, want)
		}
	}
}

func TestCapacityOfClasses(t *testing.T) {
	shares := &sharesFake{room: map[string]int64{"a": 5<<30 + 7, "b": 1 << 30}, maximum: wrapperspb.Int64(4 << 30)}
	w := newWorld(t, shares, "controller", class("one", driver, "a"), class("two", "old-name", "b"), class("theirs", "other", "a"))
	got := w.says(map[string]int64{"one": 5 << 30, "two": 1 << 30})["one"]
	if got.NodeTopology == nil || len(got.NodeTopology.MatchLabels) != 0 || got.MaximumVolumeSize.Value() != 4<<30 {
		t.Errorf("the object is %v", got)
	}
	if o := got.OwnerReferences; len(o) != 1 || o[0].UID != "uid-7" || o[0].Kind != "Deployment" {
		t.Errorf("its owners are %v", o)
	}
	if flags := shares.asked[0].GetVolumeCapabilities()[0].GetMount().GetMountFlags(); len(flags) != 1 || flags[0] != "vers=4.1" {
		t.Errorf("asked with mount options %v", flags)
	}

	shares.set("a", 2<<30)
	shares.set("b", -1) // keeps what it said
	w.says(map[string]int64{"one": 2 << 30, "two": 1 << 30})

	if err := w.StorageV1().StorageClasses().Delete(t.Context(), "two", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.says(map[string]int64{"one": 2 << 30})
	if _, err := w.StorageV1().StorageClasses().Create(t.Context(), class("three", driver, "a"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.says(map[string]int64{"one": 2 << 30, "three": 2 << 30})
}

func TestUnchangedCapacityIsNotWritten(t *testing.T) {
	shares := &sharesFake{room: map[string]int64{"a": 1 << 30}}
	w := newWorld(t, shares, "", class("one", driver, "a"))
	got := w.says(map[string]int64{"one": 1 << 30})["one"]
	if len(got.OwnerReferences) != 0 || got.MaximumVolumeSize != nil {
		t.Errorf("the object is %v", got)
	}
	shares.mu.Lock()
	looks := len(shares.asked)
	shares.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		w.publisher.Soon()
		shares.mu.Lock()
		enough := len(shares.asked) >= looks+3
		shares.mu.Unlock()
		if enough {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody looks again")
		}
	}
	for _, a := range w.Actions() {
		if a.GetVerb() == "update" {
			t.Errorf("it was written again: %v", a)
		}
	}
}

// Without its owner an object would stay for ever.
func TestNoObjectWithoutItsOwner(t *testing.T) {
	shares := &sharesFake{room: map[string]int64{"a": 1 << 30}}
	w := newWorld(t, shares, "absent", class("one", driver, "a"))
	if err := w.publisher.publish(t.Context()); err == nil {
		t.Error("no error")
	}
	w.says(nil)
}
