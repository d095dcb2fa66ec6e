package provisioner

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
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
	lease, err := c.CoordinationV1().Leases("kube-system").Get(t.Context(), "nfs-csi-example-com", metav1.GetOptions{})
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
