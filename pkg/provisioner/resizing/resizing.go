// Package resizing grows the volumes of claims that ask for more, and changes those of claims that name another class of
// attributes.
//
// The work is done by Kubernetes' own controllers ([github.com/kubernetes-csi/external-resizer/v2]), which know every
// state of a claim that was ever half resized. They run in this process, on the caches of the provisioner, and their two
// calls to the driver are made here.
package resizing

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/kubernetes-csi/external-resizer/v2/pkg/controller"
	"github.com/kubernetes-csi/external-resizer/v2/pkg/features"
	"github.com/kubernetes-csi/external-resizer/v2/pkg/modifycontroller"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Volumes grows and changes volumes: two calls of csi.ControllerServer. Both are safe to repeat, obey their context and
// answer with gRPC status errors.
type Volumes interface {
	ControllerExpandVolume(context.Context, *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error)
	ControllerModifyVolume(context.Context, *csi.ControllerModifyVolumeRequest) (*csi.ControllerModifyVolumeResponse, error)
}

// Config says what is resized and how.
type Config struct {
	DriverName     string
	Volumes        Volumes
	Client         kubernetes.Interface
	Claims         cache.SharedIndexInformer // run by the caller
	Persistent     cache.SharedIndexInformer // of PersistentVolumes, run by the caller
	SecretsOfMount string                    // key of a request's secrets under which the driver finds the mount options
	Needed         bool                      // warn where the API server knows no VolumeAttributesClasses
	Log            *slog.Logger
	Look           time.Duration // how often to look whether there are VolumeAttributesClasses; 0: a minute
}

const (
	workers = 8
	// callTimeout bounds one call: both write a record and no more.
	callTimeout = 20 * time.Second
	// resync is how often every claim is looked at again although nothing changed.
	resync = 15 * time.Minute
	// A failure is tried again after backOffFirst, then after twice as long each time up to backOffMost; one that no
	// repetition can mend is tried every backOffMost.
	backOffFirst = time.Second
	backOffMost  = 5 * time.Minute
)

// Run works until ctx ends and everything it started has. It is called once, while this process leads.
func Run(ctx context.Context, c Config) error {
	// Without it the libraries' workers have nobody who waits for them.
	if err := utilfeature.DefaultMutableFeatureGate.Set(string(features.ReleaseLeaderElectionOnExit) + "=true"); err != nil {
		return fmt.Errorf("asking the resizing library to end in order: %w", err)
	}
	factory := informers.NewSharedInformerFactory(c.Client, resync)
	claims := viewOf(c.Claims)
	factory.InformerFor(&v1.PersistentVolumeClaim{}, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer { return claims })
	factory.InformerFor(&v1.PersistentVolume{}, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer { return viewOf(c.Persistent) })
	v := volumes{Config: c, ctx: ctx}
	var running, workersOf sync.WaitGroup
	defer workersOf.Wait()
	defer running.Wait()
	grow := controller.NewResizeController(c.DriverName, v, c.Client, resync, factory, backOff(), false, backOffMost)
	running.Go(func() { grow.Run(workers, ctx, &workersOf) })
	c.Log.Info("resizing")
	if !c.awaitAttributes(ctx) {
		return nil
	}
	change := modifycontroller.NewModifyController(c.DriverName, v, c.Client, resync, backOffMost, false, factory, backOff())
	classes := factory.Storage().V1().VolumeAttributesClasses().Informer()
	if _, err := classes.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(class any) { claims.classCame(class) }}); err != nil {
		return fmt.Errorf("watching VolumeAttributesClasses: %w", err)
	}
	running.Go(func() { classes.RunWithContext(ctx) })
	running.Go(func() { change.Run(workers, ctx, &workersOf) })
	return nil
}

// awaitAttributes waits until the API server knows VolumeAttributesClasses; false: ctx came first.
func (c Config) awaitAttributes(ctx context.Context) bool {
	if c.Look == 0 {
		c.Look = time.Minute
	}
	for said := false; ; said = true {
		known, err := features.IsVolumeAttributesClassV1Enabled(c.Client.Discovery())
		switch {
		case err != nil:
			c.Log.Warn("asking whether the API server knows VolumeAttributesClasses", "err", err)
		case known:
			return true
		case c.Needed && !said:
			c.Log.Warn("volumes grow but are not changed: this API server has no VolumeAttributesClasses, which come with Kubernetes 1.34")
		}
		timer := time.NewTimer(c.Look)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// classCame has the claims be looked at that name a class which has just come: a claim may be known before its class, also where both are
// applied at once, and the library would look at it again after [resync] only.
func (v *view) classCame(object any) {
	class, ok := object.(*storage.VolumeAttributesClass)
	if !ok {
		return
	}
	for _, object := range v.GetStore().List() {
		claim, ok := object.(*v1.PersistentVolumeClaim)
		if !ok {
			continue
		}
		wants, has := claim.Spec.VolumeAttributesClassName, claim.Status.CurrentVolumeAttributesClassName
		if wants != nil && *wants == class.Name && (has == nil || *has != class.Name) {
			v.again(claim)
		}
	}
}

func backOff() workqueue.TypedRateLimiter[string] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[string](backOffFirst, backOffMost)
}

// volumes is the driver as the library sees it.
type volumes struct {
	Config
	ctx context.Context // the library's calls bring none that ends with it
}

// Name is the driver's.
func (v volumes) Name() string { return v.DriverName }

// DriverSupportsControlPlaneExpansion is true: growing a volume is a line in its record.
func (v volumes) DriverSupportsControlPlaneExpansion() bool { return true }

// CanSupport is true of volumes of this driver.
func (v volumes) CanSupport(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) bool {
	return pv.Spec.CSI != nil && pv.Spec.CSI.Driver == v.DriverName
}

// Resize grows a volume to at least size and returns what it has then. Nothing is left to do on a node.
func (v volumes) Resize(pv *v1.PersistentVolume, size resource.Quantity) (resource.Quantity, bool, error) {
	ctx, cancel := context.WithTimeout(v.ctx, callTimeout)
	defer cancel()
	answer, err := v.Volumes.ControllerExpandVolume(ctx, &csi.ControllerExpandVolumeRequest{
		VolumeId:      pv.Spec.CSI.VolumeHandle,
		CapacityRange: &csi.CapacityRange{RequiredBytes: size.Value()},
		Secrets:       v.secrets(pv),
	})
	if err != nil {
		return pv.Spec.Capacity[v1.ResourceStorage], false, err
	}
	if answer.GetCapacityBytes() == size.Value() {
		return size, answer.GetNodeExpansionRequired(), nil // in the claim's own words
	}
	return *resource.NewQuantity(answer.GetCapacityBytes(), resource.BinarySI), answer.GetNodeExpansionRequired(), nil
}

// Modify changes what a volume is told by a VolumeAttributesClass.
func (v volumes) Modify(ctx context.Context, pv *v1.PersistentVolume, parameters map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	defer context.AfterFunc(v.ctx, cancel)()
	_, err := v.Volumes.ControllerModifyVolume(ctx, &csi.ControllerModifyVolumeRequest{
		VolumeId: pv.Spec.CSI.VolumeHandle, MutableParameters: parameters, Secrets: v.secrets(pv),
	})
	return err
}

func (v volumes) secrets(pv *v1.PersistentVolume) map[string]string {
	if len(pv.Spec.MountOptions) == 0 {
		return nil
	}
	return map[string]string{v.SecretsOfMount: strings.Join(pv.Spec.MountOptions, ",")}
}
