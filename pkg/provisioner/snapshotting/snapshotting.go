// Package snapshotting makes and deletes the snapshots that VolumeSnapshotContents ask for.
//
// The work is done by Kubernetes' own controller ([github.com/kubernetes-csi/external-snapshotter/v8]), which runs in this
// process, and whose three calls to the driver are made here. It needs kinds that a cluster may lack: it runs while they
// are there, and waits for them.
package snapshotting

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	snapshots "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned"
	snapshotscheme "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned/scheme"
	snapshotinformers "github.com/kubernetes-csi/external-snapshotter/client/v8/informers/externalversions"
	"github.com/kubernetes-csi/external-snapshotter/v8/pkg/features"
	controller "github.com/kubernetes-csi/external-snapshotter/v8/pkg/sidecar-controller"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Volumes makes, deletes and finds snapshots: three calls of csi.ControllerServer. All are safe to repeat, obey their
// context and answer with gRPC status errors; CreateSnapshot answers Aborted while a copy is under way.
type Volumes interface {
	CreateSnapshot(context.Context, *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error)
	DeleteSnapshot(context.Context, *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error)
	ListSnapshots(context.Context, *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error)
}

// Config says what is worked on and how.
type Config struct {
	DriverName     string
	Volumes        Volumes
	Client         kubernetes.Interface
	Snapshots      snapshots.Interface
	Persistent     cache.SharedIndexInformer // of PersistentVolumes, run by the caller
	SecretsOfMount string                    // key of a request's secrets under which the driver finds the mount options
	Follows        func([]string) bool       // whether the driver can reach a share by these mount options
	Needed         bool                      // warn while the cluster lacks the kinds
	Log            *slog.Logger
	Look           time.Duration // how often to look whether the kinds are there, and at every content again; 0: a minute
}

const (
	workers    = 8
	namePrefix = "snapshot" // of the names that snapshots have on their share
	// callTimeout bounds one call, which waits for the copy. One that takes longer goes on after it, and the next call joins it.
	callTimeout = 20 * time.Second
	// backOffMost is short because a copy under way counts as a failure. backOffFirst gives the API server time to show what the library
	// has just written: a try that comes before that is dropped, and the content is not looked at until Config.Look has passed.
	backOffFirst, backOffMost = time.Second, 15 * time.Second
)

// KnowKinds makes the kinds of snapshots known to client-go, which the library's Events are about. It is called before
// [Run], and before anything that speaks to an API server begins: client-go's scheme may be read at once by many, but
// not while it is written.
func KnowKinds() error {
	if scheme.Scheme.Recognizes(snapshotv1.SchemeGroupVersion.WithKind("VolumeSnapshotContent")) {
		return nil
	}
	if err := snapshotscheme.AddToScheme(scheme.Scheme); err != nil {
		return fmt.Errorf("making the kinds of snapshots known: %w", err)
	}
	return nil
}

// Run works until ctx ends and everything it started has. It is called once, while this process leads.
func Run(ctx context.Context, c Config) error {
	if c.Look == 0 {
		c.Look = time.Minute
	}
	// Without it the library's workers have nobody who waits for them.
	if err := utilfeature.DefaultMutableFeatureGate.Set(string(features.ReleaseLeaderElectionOnExit) + "=true"); err != nil {
		return fmt.Errorf("asking the snapshotting library to end in order: %w", err)
	}
	level := slog.LevelInfo
	if c.Needed {
		level = slog.LevelWarn
	}
	for said := false; ctx.Err() == nil; c.pause(ctx) {
		switch there, err := c.there(); {
		case err != nil:
			c.Log.Warn("asking whether the API server knows VolumeSnapshots", "err", err)
		case there:
			c.whileThere(ctx)
			said = false
		case !said || c.Needed:
			c.Log.Log(ctx, level, "no snapshots: the cluster has no VolumeSnapshots; install the CRDs and the snapshot controller of kubernetes-csi/external-snapshotter")
			said = true
		}
	}
	return nil
}

func (c Config) pause(ctx context.Context) {
	timer := time.NewTimer(c.Look)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// there says whether the API server has the kinds.
func (c Config) there() (bool, error) {
	list, err := c.Client.Discovery().ServerResourcesForGroupVersion(snapshotv1.SchemeGroupVersion.String())
	switch {
	case errors.IsNotFound(err), discovery.IsGroupDiscoveryFailedError(err):
		return false, nil
	case err != nil:
		return false, err
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == "VolumeSnapshotContent" }), nil
}

// whileThere works until ctx ends or the kinds have gone.
func (c Config) whileThere(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	factory := snapshotinformers.NewSharedInformerFactoryWithOptions(c.Snapshots, c.Look, snapshotinformers.WithTransform(c.slim))
	contents, classes := factory.Snapshot().V1().VolumeSnapshotContents(), factory.Snapshot().V1().VolumeSnapshotClasses()
	known := func() []*snapshotv1.VolumeSnapshotContent {
		all, _ := contents.Lister().List(labels.Everything()) // of what is in memory: it cannot fail
		return all
	}
	d := driver{c, ctx, &begun{contents: known, names: map[string]bool{}}}
	work := controller.NewCSISnapshotSideCarController(c.Snapshots, c.Client, c.DriverName, contents, classes, d, nil,
		callTimeout, c.Look, namePrefix, -1, "groupsnapshot", -1, false, backOff(), false, nil, nil, backOff())
	var running, workersOf sync.WaitGroup
	running.Go(func() { contents.Informer().RunWithContext(ctx) })
	running.Go(func() { classes.Informer().RunWithContext(ctx) })
	running.Go(func() {
		cache.WaitForCacheSync(ctx.Done(), contents.Informer().HasSynced)
		d.begun.recall() // before the library marks those that it begins itself
		work.Run(workers, ctx.Done(), &workersOf)
	})
	c.Log.Info("snapshotting")
	for ctx.Err() == nil {
		c.pause(ctx)
		d.begun.prune()
		if there, err := c.there(); err == nil && !there {
			cancel()
		}
	}
	running.Wait()
	workersOf.Wait()
}

// slim keeps of other drivers' contents what says whose they are.
func (c Config) slim(object any) (any, error) {
	switch o := object.(type) {
	case *snapshotv1.VolumeSnapshotContent:
		o.ManagedFields = nil
		if o.Spec.Driver != c.DriverName {
			o.Annotations, o.Status = nil, nil
		}
	case *snapshotv1.VolumeSnapshotClass:
		o.ManagedFields = nil
	}
	return object, nil
}

func backOff() workqueue.TypedRateLimiter[string] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[string](backOffFirst, backOffMost)
}

// driver is the driver as the library sees it. Its contexts do not end with us, so we end with ours.
type driver struct {
	Config
	ctx   context.Context
	begun *begun
}

// CreateSnapshot makes a snapshot of the volume handle, or finds it made, and says what it is called, when it was begun,
// how many bytes a volume needs to hold it, and that it is complete.
func (d driver) CreateSnapshot(ctx context.Context, name, handle string, parameters, secrets map[string]string) (string, string, time.Time, int64, bool, error) {
	ctx, cancel := d.ending(ctx)
	defer cancel()
	if parameters[d.SecretsOfMount] == "" { // what a class says counts
		secrets = d.withMount(secrets, handle)
	}
	answer, err := d.Volumes.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{Name: name, SourceVolumeId: handle, Parameters: parameters, Secrets: secrets})
	if err = d.begun.outcome(name, err); err != nil {
		return "", "", time.Time{}, 0, false, err
	}
	s := answer.GetSnapshot()
	return d.DriverName, s.GetSnapshotId(), s.GetCreationTime().AsTime(), s.GetSizeBytes(), s.GetReadyToUse(), nil
}

// DeleteSnapshot removes a snapshot; one that does not exist is no error.
func (d driver) DeleteSnapshot(ctx context.Context, id string, secrets map[string]string) error {
	ctx, cancel := d.ending(ctx)
	defer cancel()
	_, err := d.Volumes.DeleteSnapshot(ctx, &csi.DeleteSnapshotRequest{SnapshotId: id, Secrets: d.withMount(secrets, id)})
	return err
}

// GetSnapshotStatus looks for a snapshot that a VolumeSnapshotContent names by its handle.
func (d driver) GetSnapshotStatus(ctx context.Context, id string, secrets map[string]string) (bool, time.Time, int64, string, error) {
	ctx, cancel := d.ending(ctx)
	defer cancel()
	answer, err := d.Volumes.ListSnapshots(ctx, &csi.ListSnapshotsRequest{SnapshotId: id, Secrets: d.withMount(secrets, id)})
	if err != nil {
		return false, time.Time{}, 0, "", err
	}
	if len(answer.GetEntries()) == 0 {
		return false, time.Time{}, 0, "", status.Errorf(codes.NotFound, "there is no snapshot %q", id)
	}
	s := answer.GetEntries()[0].GetSnapshot()
	return s.GetReadyToUse(), s.GetCreationTime().AsTime(), s.GetSizeBytes(), "", nil
}

func (d driver) ending(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	undo := context.AfterFunc(d.ctx, cancel)
	return ctx, func() { undo(); cancel() }
}

// withMount adds how to reach the share of handle, a volume's or a snapshot's.
func (d driver) withMount(secrets map[string]string, handle string) map[string]string {
	options := d.mountOptions(handle)
	if len(options) == 0 {
		return secrets
	}
	with := map[string]string{d.SecretsOfMount: strings.Join(options, ",")}
	for key, value := range secrets {
		with[key] = value
	}
	return with
}

// mountOptions are those of the volume with the given handle, also where it has none. If there is no such volume they are those of
// another one on the same share, the first by its name of those that the driver can follow: nodes mount in more ways than it knows.
func (d driver) mountOptions(handle string) []string {
	share := shareOf(handle)
	var chosen, beside []*v1.PersistentVolume
	for _, object := range d.Persistent.GetStore().List() {
		pv, ok := object.(*v1.PersistentVolume)
		switch {
		case !ok || pv.Spec.CSI == nil || pv.Spec.CSI.Driver != d.DriverName:
		case pv.Spec.CSI.VolumeHandle == handle:
			chosen = append(chosen, pv)
		case share != "" && shareOf(pv.Spec.CSI.VolumeHandle) == share:
			beside = append(beside, pv)
		}
	}
	if len(chosen) == 0 {
		chosen = slices.DeleteFunc(beside, func(pv *v1.PersistentVolume) bool { return !d.Follows(pv.Spec.MountOptions) })
	}
	if len(chosen) == 0 {
		return nil
	}
	return slices.MinFunc(chosen, func(a, b *v1.PersistentVolume) int { return strings.Compare(a.Name, b.Name) }).Spec.MountOptions
}

// shareOf is what two handles of one share begin with: volumes' and snapshots' are server#share#….
func shareOf(handle string) string {
	f := strings.SplitN(handle, "#", 3)
	if len(f) < 3 {
		return ""
	}
	return f[0] + "#" + strings.Trim(f[1], "/")
}
