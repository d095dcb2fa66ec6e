package provisioner

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/workqueue"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	// filling begins what an Event says of a claim whose volume is being filled.
	filling = "the volume is being filled, "
	// fillingReason is the reason of such an Event, succeededReason that of the library's about a volume that is saved.
	fillingReason, succeededReason = "Filling", "ProvisioningSucceeded"
	// fillingPause is how long a claim rests between two looks at its copy, each of which lasts as long as a call may.
	fillingPause = time.Second
	// fillingEvery is how often users are told how far a copy is.
	fillingEvery = time.Minute
)

// fillings are the claims whose volumes are being filled. The library takes every answer but success for a failure: it
// would wait longer and longer before it looks again, and warn users.
type fillings struct {
	workqueue.TypedRateLimiter[any] // of all other claims
	now                             func() time.Time

	mu    sync.Mutex
	pause map[types.UID]time.Duration
	told  map[types.UID]time.Time
	begun map[types.UID]begun
}

// begun is what a volume was asked for with that may be there, or on its way.
type begun struct {
	source  *csi.VolumeContentSource // nil: none
	class   string                   // of attributes; "": none
	changes map[string]string        // that class's parameters
}

func newFillings(others workqueue.TypedRateLimiter[any]) *fillings {
	return &fillings{TypedRateLimiter: others, now: time.Now, pause: map[types.UID]time.Duration{},
		told: map[types.UID]time.Time{}, begun: map[types.UID]begun{}}
}

// rest lets a claim be tried again after d, as often as it takes.
func (f *fillings) rest(claim types.UID, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pause[claim] = d
}

// fail lets the next try of a claim wait as those of all others.
func (f *fillings) fail(claim types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.pause, claim)
	delete(f.told, claim)
}

// done forgets a claim.
func (f *fillings) done(claim types.UID) {
	f.fail(claim)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.begun, claim)
}

// remember keeps what a claim's volume was asked for with, so that it is followed to its end when the source's claim or snapshot, or the class of
// attributes, has been deleted meanwhile.
func (f *fillings) remember(claim *v1.PersistentVolumeClaim, r *csi.CreateVolumeRequest) {
	b := begun{source: r.GetVolumeContentSource(), changes: r.GetMutableParameters()}
	if class := attributesClass(claim); class != nil {
		b.class = *class
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun[claim.UID] = b
}

// remembered is what was begun for a claim.
func (f *fillings) remembered(claim types.UID) begun {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun[claim]
}

// When is how long an item of the claims' queue, a UID, is to wait.
func (f *fillings) When(item any) time.Duration {
	if uid, ok := item.(string); ok {
		f.mu.Lock()
		d, ok := f.pause[types.UID(uid)]
		f.mu.Unlock()
		if ok {
			return d
		}
	}
	return f.TypedRateLimiter.When(item)
}

// Forget is told that an item has succeeded, or that its claim has gone and nothing is under way for it.
func (f *fillings) Forget(item any) {
	if uid, ok := item.(string); ok {
		f.done(types.UID(uid))
	}
	f.TypedRateLimiter.Forget(item)
}

// fillingError tells people of a copy under way, without where it runs and that something does.
func fillingError(busy error) error {
	text := busy.Error()
	if _, progress, found := strings.Cut(text, volume.ErrBusy.Error()+": "); found {
		text = progress
	}
	return errors.New(filling + text)
}

// due says whether it is time to tell how far the copy for a claim is.
func (f *fillings) due(claim types.UID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now().Sub(f.told[claim]) < fillingEvery {
		return false
	}
	f.told[claim] = f.now()
	return true
}

// worth says whether an Event of the library's is to be told: how far a copy is, and that a volume is there, [notices] say.
func (f *fillings) worth(e *v1.Event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, copying := f.told[e.InvolvedObject.UID]
	anotherLook := copying && e.Reason == "Provisioning"
	return !anotherLook && e.Reason != succeededReason && !strings.Contains(e.Message, filling)
}

// fillingEvents is where the library's Events go to.
type fillingEvents struct {
	corev1.EventInterface
	fillings *fillings
}

func (s fillingEvents) CreateWithEventNamespace(e *v1.Event) (*v1.Event, error) {
	if !s.fillings.worth(e) {
		return e, nil
	}
	return s.EventInterface.CreateWithEventNamespaceWithContext(context.Background(), e)
}

func (s fillingEvents) PatchWithEventNamespace(e *v1.Event, data []byte) (*v1.Event, error) {
	if !s.fillings.worth(e) {
		return e, nil
	}
	return s.EventInterface.PatchWithEventNamespaceWithContext(context.Background(), e, data)
}
