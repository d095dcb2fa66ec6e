package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	snapshots "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller/metrics"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Config says what a [Controller] serves and how.
type Config struct {
	DriverName string // of the CSI driver, also the first provisioner name
	Legacy     Legacy // provisioner names that are ours besides DriverName
	Volumes    Volumes
	Client     kubernetes.Interface
	Snapshots  snapshots.Interface // nil: no claim is filled from a VolumeSnapshot
	Defaults   volume.Defaults     // of classes that are silent
	Secrets    Secrets             // that volumes of csi-driver-nfs may name
	Full       func()              // is told, at once from many goroutines, that a share has no room for a volume; may be nil
	Election   *Election           // nil: this process is the only one
	Workers    int                 // claims, and as many volumes, worked on at once; 0: 32
	Log        *slog.Logger
	Metrics    prometheus.Registerer // may be nil
}

const (
	defaultWorkers = 32
	// callTimeout bounds one CreateVolume, DeleteVolume or saving of a PersistentVolume. All are repeated, and until the
	// first has failed nobody is told that the server is silent.
	callTimeout = 20 * time.Second
	// stopGrace is how long running calls may go on after a stop. With what leader election leaves, 5 s between the
	// renewal deadline and the end of the lease, no two processes work at once.
	stopGrace = 5 * time.Second
	// resync is how often everything is looked at again although nothing changed.
	resync = 15 * time.Minute
	// A failure is tried again after backOffFirst, then after twice as long each time up to backOffMost, for ever.
	backOffFirst = 500 * time.Millisecond
	backOffMost  = 5 * time.Minute
)

// Controller provisions the volumes of claims and deletes those of released PersistentVolumes, one process of a
// cluster at a time.
type Controller struct {
	config   Config
	calls    *calls
	caches   caches
	fillings *fillings
	notices  *notices
	library  *controller.ProvisionController
	beside   []func(context.Context)
}

// Informers are the caches of the controller, filled also while it does not lead. Of claims with a volume and of volumes
// of other drivers they hold only parts.
type Informers struct {
	Claims, Volumes, Classes cache.SharedIndexInformer
}

// New prepares a controller; it does nothing before [Controller.Run].
func New(c Config) (*Controller, error) {
	if c.Workers == 0 {
		c.Workers = defaultWorkers
	}
	if c.Full == nil {
		c.Full = func() {}
	}
	running := newCalls(callTimeout)
	k := &Controller{config: c, calls: running, caches: newCaches(c.Client, c.DriverName, c.Legacy), fillings: newFillings(backOff()), notices: newNotices(c.Log)}
	measured, err := registered(c.Metrics)
	if err != nil {
		return nil, err
	}
	k.library = controller.NewProvisionController(k.logger(), savingClient{Interface: c.Client, calls: running, fillings: k.fillings, notices: k.notices}, c.DriverName,
		&provisioner{
			driver: c.DriverName, volumes: c.Volumes, calls: running, client: c.Client,
			sources:  sources{driver: c.DriverName, client: c.Client, snapshots: c.Snapshots},
			fillings: k.fillings, notices: k.notices, defaults: c.Defaults, secrets: c.Secrets, full: c.Full,
			legacy: c.Legacy, known: k.caches.volumes.GetIndexer(), classes: k.caches.classes.GetStore(), log: c.Log,
		}, k.options(measured)...)
	return k, nil
}

// Informers are the controller's, which runs them.
func (k *Controller) Informers() Informers {
	return Informers{Claims: k.caches.claims, Volumes: k.caches.volumes, Classes: k.caches.classes}
}

// Beside adds tasks to what is done while this process leads. They begin when the caches are filled, and each returns
// when its context has ended and all that it started has. It is called before [Controller.Run].
func (k *Controller) Beside(tasks ...func(context.Context)) { k.beside = append(k.beside, tasks...) }

// options replace what the library does by default: 4 workers, first retry after 15 s, giving up after 15, at most 10
// retries a second over all claims, deleting the volume when its PersistentVolume cannot be saved.
func (k *Controller) options(m metrics.Metrics) []func(*controller.ProvisionController) error {
	return []func(*controller.ProvisionController) error{
		controller.AdditionalProvisionerNames(k.config.Legacy.Names),
		controller.ClaimsInformer(k.caches.claims),
		controller.VolumesInformer(newLibraryVolumes(k.caches.volumes)),
		controller.ClassesInformer(k.caches.classes),
		controller.NodesLister(anyNode{}),
		controller.Threadiness(k.config.Workers),
		controller.RateLimiter(k.fillings),
		controller.CreateProvisionedPVLimiter(backOff()),
		controller.FailedProvisionThreshold(0),
		controller.FailedDeleteThreshold(0),
		controller.ResyncPeriod(resync),
		controller.AddFinalizer(true),
		controller.LeaderElection(false), // ours gives the lease back, see [Election]
		controller.MetricsInstance(m),
	}
}

func backOff() workqueue.TypedRateLimiter[any] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[any](backOffFirst, backOffMost)
}

func registered(r prometheus.Registerer) (metrics.Metrics, error) {
	m := metrics.New("controller")
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.PersistentVolumeClaimProvisionTotal, m.PersistentVolumeClaimProvisionFailedTotal,
		m.PersistentVolumeClaimProvisionDurationSeconds, m.PersistentVolumeDeleteTotal, m.PersistentVolumeDeleteFailedTotal,
		m.PersistentVolumeDeleteDurationSeconds} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

// logger is the library's: what it tells at level 0 repeats what the calls log, so it is three levels quieter.
func (k *Controller) logger() klog.Logger {
	return logr.FromSlogHandler(onceTold{k.config.Log.Handler()}).V(3)
}

// onceTold drops the library's line of a failed deletion, which the call's own line has told.
type onceTold struct{ slog.Handler }

// Handle passes on a record that says something new.
func (h onceTold) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "Volume deletion failed" {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps dropping.
func (h onceTold) WithAttrs(a []slog.Attr) slog.Handler { return onceTold{h.Handler.WithAttrs(a)} }

// WithGroup keeps dropping.
func (h onceTold) WithGroup(name string) slog.Handler { return onceTold{h.Handler.WithGroup(name)} }

// Run works until ctx ends or leadership is lost ([ErrLeadershipLost]), lets running calls end, gives the lease back and
// returns. It can be called once.
func (k *Controller) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, k.logger())
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var caches sync.WaitGroup
	for _, informer := range k.caches.all() {
		caches.Go(func() { informer.RunWithContext(watching) })
	}
	defer caches.Wait()
	defer stop()
	if k.config.Election == nil {
		k.work(ctx)
		return nil
	}
	return k.config.Election.lead(ctx, k.config.Log, k.work)
}

func (k *Controller) work(ctx context.Context) {
	k.config.Log.Info("provisioning", "driver", k.config.DriverName, "names", k.config.Legacy.Names, "workers", k.config.Workers)
	var beside sync.WaitGroup
	beside.Go(func() { k.workBeside(ctx) })
	defer k.notices.begin(k.config.Client, k.config.DriverName)()
	k.library.Run(ctx)
	k.calls.stop(stopGrace)
	beside.Wait()
	k.config.Log.Info("provisioning has stopped")
}

func (k *Controller) workBeside(ctx context.Context) {
	for _, informer := range k.caches.all() {
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			return // the end came first
		}
	}
	var tasks sync.WaitGroup
	for _, task := range k.beside {
		tasks.Go(func() { task(ctx) })
	}
	tasks.Wait()
}

// Ready says why the controller could not work now, or nil. A process that does not lead is ready when its caches are.
func (k *Controller) Ready() error {
	for name, informer := range k.caches.all() {
		if !informer.HasSynced() {
			return fmt.Errorf("%s are not listed yet: is the API server reachable, and may we list them?", name)
		}
	}
	return nil
}
