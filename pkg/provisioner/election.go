package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ErrLeadershipLost is returned when the lease could not be renewed in time. Another process may be at work: this one
// must end and start anew.
var ErrLeadershipLost = errors.New("leadership is lost: the lease could not be renewed in time")

// Election lets one of several processes work: the one that holds a Lease, and whatever others are asked for.
type Election struct {
	Client    kubernetes.Interface // of its own, so that no renewal waits behind other calls
	Namespace string
	Lease     string   // see [LeaseName]
	Also      []string // more Leases that must be held before work begins, in this order; see [SidecarLeases]
	Identity  string   // of this process, unique

	// 0: 14 s, 9 s and 1 s. The lease is taken by another process when that has not seen it renewed for Duration, at most four
	// Retries later: in under 20 s. Its holder tries every Retry, and gives up after Renew.
	Duration, Renew, Retry time.Duration

	former *former // of the first lease
	other  bool    // this is not the first
}

// LeaseName is the Lease of a driver, named as external-provisioner names it, so that the two exclude each other.
func LeaseName(driver string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, driver)
}

// SidecarLeases are the Leases of the controllers that stand beside external-provisioner in csi-driver-nfs, for the work that
// this process does in their place. Whoever holds them keeps those from a volume that this process works on.
func SidecarLeases(driver string, resizes, snapshots bool) []string {
	var names []string
	if resizes {
		names = append(names, "external-resizer-"+LeaseName(driver))
	}
	if snapshots {
		names = append(names, "external-snapshotter-leader-"+LeaseName(driver))
	}
	return names
}

// lead calls work once this process holds all its leases, with a context that ends with ctx or with any of them. The leases
// are given back after work has returned, so that nobody else begins before. They are taken one after the other, always in the
// same order: a predecessor that is whole holds the first, and is waited for with none in our hands.
func (e Election) lead(ctx context.Context, log *slog.Logger, work func(context.Context)) error {
	var inner error
	e.former = &former{}
	for i := len(e.Also) - 1; i >= 0; i-- {
		one, then := e, work
		one.Lease, one.other = e.Also[i], true
		work = func(ctx context.Context) {
			if err := one.hold(ctx, log, then); err != nil {
				inner = err
			}
		}
	}
	err := e.hold(ctx, log, work)
	return errors.Join(err, inner)
}

// hold calls work while this process holds the one lease.
func (e Election) hold(ctx context.Context, log *slog.Logger, work func(context.Context)) error {
	leading := make(chan context.Context, 1)
	elector, err := e.elector(leading, log)
	if err != nil {
		return err
	}
	holding, release := context.WithCancel(context.WithoutCancel(ctx))
	var election sync.WaitGroup
	election.Go(func() { elector.Run(holding) })
	defer election.Wait()
	defer release()

	log.Info("waiting for leadership", "lease", e.Namespace+"/"+e.Lease, "identity", e.Identity)
	select {
	case <-ctx.Done():
		return nil
	case lease := <-leading:
		working, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(lease, stop)()
		work(working)
		if lease.Err() != nil {
			return ErrLeadershipLost
		}
		return nil
	}
}

func (e Election) elector(leading chan<- context.Context, log *slog.Logger) (*leaderelection.LeaderElector, error) {
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, e.Namespace, e.Lease, e.Client.CoreV1(), e.Client.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: e.Identity})
	if err != nil {
		return nil, fmt.Errorf("making the lock on lease %s/%s: %w", e.Namespace, e.Lease, err)
	}
	if e.other {
		lock = inherited{lock, e.former}
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		Name:            e.Lease,
		LeaseDuration:   or(e.Duration, 14*time.Second),
		RenewDeadline:   or(e.Renew, 9*time.Second),
		RetryPeriod:     or(e.Retry, time.Second),
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(lease context.Context) { leading <- lease },
			OnStoppedLeading: func() { log.Info("not leading any more", "lease", e.Lease) },
			OnNewLeader:      func(identity string) { e.seen(identity, log) },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the election of lease %s/%s: %w", e.Namespace, e.Lease, err)
	}
	return elector, nil
}

// seen is told who holds the lease, or that nobody does.
func (e Election) seen(identity string, log *slog.Logger) {
	log.Info("leader", "lease", e.Lease, "identity", identity)
	if !e.other && identity != "" && identity != e.Identity {
		e.former.add(identity)
	}
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
