package provisioner

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	coordination "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

func elected(c *cluster, identity string) func(*Config) {
	return func(config *Config) {
		config.Election = &Election{Client: c, Namespace: "kube-system", Lease: LeaseName(testDriver), Identity: identity,
			Duration: 30 * time.Second, Renew: 20 * time.Second, Retry: 50 * time.Millisecond}
	}
}

func (c *cluster) holder(t *testing.T) string {
	t.Helper()
	return c.holderOf(t, "nfs-csi-example-com")
}

func (c *cluster) holderOf(t *testing.T, name string) string {
	t.Helper()
	lease, err := c.CoordinationV1().Leases("kube-system").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func TestLeaseName(t *testing.T) {
	for driver, want := range map[string]string{"nfs.csi.k8s.io": "nfs-csi-k8s-io", "nfs-csi.github.io": "nfs-csi-github-io", "a_b/c": "a-b-c"} {
		if got := LeaseName(driver); got != want {
			t.Errorf("%s: %s", driver, got)
		}
	}
}

func TestStandByTakesOver(t *testing.T) {
	c := newCluster(newClass("nfs", testDriver))
	first, second := &driverFake{}, &driverFake{}
	_, stop := launch(t, c, first, elected(c, "first"))
	await(t, "the first leader", func() bool { return c.holder(t) == "first" })
	run(t, c, second, elected(c, "second"))

	c.claim(t, newClaim("one", "nfs", testDriver))
	c.volume(t, "pvc-uid-one")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	c.claim(t, newClaim("two", "nfs", testDriver))
	c.volume(t, "pvc-uid-two")
	await(t, "the second leader", func() bool { return c.holder(t) == "second" })
	a, _ := first.requests()
	b, _ := second.requests()
	if len(a) != 1 || len(b) != 1 {
		t.Errorf("the first made %d volumes, the second %d", len(a), len(b))
	}
}

func TestLeaseIsHeldUntilRunningCallsEnd(t *testing.T) {
	running, goOn := make(chan struct{}), make(chan struct{})
	driver := &driverFake{create: func(ctx context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
		close(running)
		<-goOn
		return answer(r), ctx.Err()
	}}
	c := newCluster(newClass("nfs", testDriver))
	k, stop := launch(t, c, driver, elected(c, "me"))
	c.claim(t, newClaim("data", "nfs", testDriver))
	<-running
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	await(t, "the stop", k.calls.stopped)
	if holder := c.holder(t); holder != "me" {
		t.Errorf("the lease is held by %q while a call is running", holder)
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := c.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-uid-data", metav1.GetOptions{}); err != nil {
		t.Errorf("the volume was made but is not saved: %v", err)
	}
	if holder := c.holder(t); holder != "" {
		t.Errorf("the lease is still held by %q", holder)
	}
}

func TestLostLeadershipEndsTheProcess(t *testing.T) {
	c := newCluster(newClass("nfs", testDriver))
	var broken atomic.Bool
	c.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return broken.Load(), nil, errors.New("the API server is away")
	})
	config := Config{DriverName: testDriver, Volumes: &driverFake{}, Client: c, Log: quiet()}
	elected(c, "me")(&config)
	config.Election.Duration, config.Election.Renew = 3*time.Second, 2*time.Second
	k, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- k.Run(t.Context()) }()
	await(t, "the leader", func() bool { return c.holder(t) == "me" })
	broken.Store(true)
	if err := <-ended; !errors.Is(err, ErrLeadershipLost) {
		t.Errorf("the controller ended with %v", err)
	}
}

func TestStandByStopsAtOnce(t *testing.T) {
	c := newCluster()
	_, stopLeader := launch(t, c, &driverFake{}, elected(c, "leader"))
	await(t, "the leader", func() bool { return c.holder(t) == "leader" })
	_, stop := launch(t, c, &driverFake{}, elected(c, "stand-by"))
	if err := stop(); err != nil {
		t.Error(err)
	}
	if holder := c.holder(t); holder != "leader" {
		t.Errorf("the lease is held by %q", holder)
	}
	if err := stopLeader(); err != nil {
		t.Error(err)
	}
}

func TestImpossibleElection(t *testing.T) {
	e := Election{Client: newCluster(), Lease: "l", Namespace: "n", Identity: "me", Duration: time.Second, Renew: time.Minute}
	if err := e.lead(t.Context(), quiet(), func(context.Context) {}); err == nil {
		t.Error("a lease that ends before it can be renewed was accepted")
	}
}

func TestSidecarLeases(t *testing.T) {
	// As external-resizer and external-snapshotter name them beside csi-driver-nfs.
	want := []string{"external-resizer-nfs-csi-k8s-io", "external-snapshotter-leader-nfs-csi-k8s-io"}
	if got := SidecarLeases("nfs.csi.k8s.io", true, true); !slices.Equal(got, want) {
		t.Errorf("they are %q", got)
	}
	if got := SidecarLeases("nfs.csi.k8s.io", false, false); len(got) > 0 {
		t.Errorf("for work that others do: %q", got)
	}
}

// lease is one that a predecessor's controller holds, or held until now.
func lease(name, holder string) *coordination.Lease {
	seconds := int32(3600)
	now := metav1.NowMicro()
	return &coordination.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name},
		Spec: coordination.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now}}
}

// While any controller of csi-driver-nfs still works, nothing is done; once the last has gone, everything is.
func TestNothingIsDoneBesideAPredecessor(t *testing.T) {
	names := append([]string{LeaseName(testDriver)}, SidecarLeases(testDriver, true, true)...)
	for _, held := range names {
		t.Run(held, func(t *testing.T) {
			c := newCluster(newClass("nfs", testDriver))
			old := c.CoordinationV1().Leases("kube-system")
			if _, err := old.Create(t.Context(), lease(held, "csi-driver-nfs"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			var tries atomic.Int32
			c.PrependReactor("get", "leases", func(a clienttesting.Action) (bool, runtime.Object, error) {
				if get, ok := a.(clienttesting.GetAction); ok && get.GetName() == held {
					tries.Add(1)
				}
				return false, nil, nil
			})
			driver := &driverFake{}
			_, stop := launch(t, c, driver, elected(c, "me"), func(config *Config) { config.Election.Also = names[1:] })
			c.claim(t, newClaim("data", "nfs", testDriver))
			await(t, "a few tries for the predecessor's lease", func() bool { return tries.Load() > 3 })
			if made, _ := driver.requests(); len(made) > 0 {
				t.Fatalf("%d volumes were made beside the predecessor", len(made))
			}
			if _, err := old.Update(t.Context(), lease(held, ""), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			c.volume(t, "pvc-uid-data")
			for _, name := range names {
				if got := c.holderOf(t, name); got != "me" {
					t.Errorf("lease %s is held by %q", name, got)
				}
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			for _, name := range names {
				if got := c.holderOf(t, name); got != "" {
					t.Errorf("lease %s is still held by %q", name, got)
				}
			}
		})
	}
}

// A leader that died leaves all its leases behind: when the first has run out, the others are not waited for.
func TestStandByInheritsSidecarLeases(t *testing.T) {
	c := newCluster(newClass("nfs", testDriver))
	also := SidecarLeases(testDriver, true, true)
	for _, name := range append([]string{LeaseName(testDriver)}, also...) {
		left := lease(name, "dead")
		if name == LeaseName(testDriver) {
			*left.Spec.LeaseDurationSeconds = 1
		}
		if _, err := c.CoordinationV1().Leases("kube-system").Create(t.Context(), left, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, c, &driverFake{}, elected(c, "me"), func(config *Config) { config.Election.Also = also })
	c.claim(t, newClaim("data", "nfs", testDriver))
	c.volume(t, "pvc-uid-data")
	for _, name := range also {
		if got := c.holderOf(t, name); got != "me" {
			t.Errorf("lease %s is held by %q", name, got)
		}
	}
}

// leaseOf is the Lease that a request is about.
func leaseOf(a clienttesting.Action) string {
	switch a := a.(type) {
	case interface{ GetName() string }:
		return a.GetName()
	case interface{ GetObject() runtime.Object }:
		if l, ok := a.GetObject().(*coordination.Lease); ok {
			return l.Name
		}
	}
	return ""
}

// Losing any of the leases ends the process, as losing the first does.
func TestLostSidecarLeaseEndsTheProcess(t *testing.T) {
	c := newCluster(newClass("nfs", testDriver))
	var broken atomic.Bool
	c.PrependReactor("*", "leases", func(a clienttesting.Action) (bool, runtime.Object, error) {
		lost := broken.Load() && leaseOf(a) != LeaseName(testDriver)
		return lost, nil, errors.New("the API server is away")
	})
	config := Config{DriverName: testDriver, Volumes: &driverFake{}, Client: c, Log: quiet()}
	elected(c, "me")(&config)
	config.Election.Duration, config.Election.Renew = 3*time.Second, 2*time.Second
	config.Election.Also = SidecarLeases(testDriver, true, false)
	k, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- k.Run(t.Context()) }()
	await(t, "the leader", func() bool { return c.holderOf(t, config.Election.Also[0]) == "me" })
	broken.Store(true)
	if err := <-ended; !errors.Is(err, ErrLeadershipLost) {
		t.Errorf("the controller ended with %v", err)
	}
}
