package provisioner

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// notices are the Events that the library does not send, and those that it would not: after 25 of one claim, two for each look at it, it sends
// one in five minutes, whatever they say. That of a long copy's success was never seen.
type notices struct {
	log      *slog.Logger
	now      func() time.Time
	recorder record.EventRecorder

	mu   sync.Mutex
	told map[string]time.Time // when a class was spoken of, by [classKey]
}

// noticeEvery is how long an API server keeps an Event, by default: a class is spoken of once in that time, however many claims it has.
const noticeEvery = time.Hour

// mostNamed is how many parameters an Event names.
const mostNamed = 5

func newNotices(log *slog.Logger) *notices {
	return &notices{log: log, now: time.Now, told: map[string]time.Time{}}
}

// begin makes it ready; end waits for nothing: Events that are not sent by then are lost.
func (n *notices) begin(client kubernetes.Interface, component string) (end func()) {
	events := record.NewBroadcaster(record.WithCorrelatorOptions(noticed()))
	events.StartRecordingToSink(&corev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	n.recorder = events.NewRecorder(scheme.Scheme, v1.EventSource{Component: component})
	return events.Shutdown
}

// noticed lets pass what comes once in [fillingEvery], for as long as it takes, and keeps each such Event by itself.
func noticed() record.CorrelatorOptions {
	return record.CorrelatorOptions{QPS: float32(2 / fillingEvery.Seconds()), MaxEvents: math.MaxInt32}
}

// filling tells how far a copy is.
func (n *notices) filling(claim *v1.PersistentVolumeClaim, progress error) {
	if n.recorder != nil {
		n.recorder.Event(claim, v1.EventTypeNormal, fillingReason, progress.Error())
	}
}

// saved tells of a volume that is made and has its PersistentVolume.
func (n *notices) saved(pv *v1.PersistentVolume) {
	if claim := pv.Spec.ClaimRef; claim != nil && n.recorder != nil {
		n.recorder.Event(claim, v1.EventTypeNormal, succeededReason, "Successfully provisioned volume "+pv.Name)
	}
}

// unsaved tells of a volume that is made and whose PersistentVolume cannot be saved, which will be tried again.
func (n *notices) unsaved(pv *v1.PersistentVolume, err error) {
	if claim := pv.Spec.ClaimRef; claim != nil && n.recorder != nil {
		n.recorder.Event(claim, v1.EventTypeWarning, "ProvisioningFailed", unsavedText(err))
	}
}

func unsavedText(err error) string {
	return readable(fmt.Errorf("the volume is made, but its PersistentVolume cannot be saved, trying again: %w", err)).Error()
}

// ignored tells of parameters of the predecessor's class that have no effect, on the class and on the claim that met them.
func (n *notices) ignored(ctx context.Context, class *storage.StorageClass, claim *v1.PersistentVolumeClaim, parameters []string) {
	if len(parameters) == 0 || !n.due(classKey(class)) {
		return
	}
	text := ignoredText(class.Name, parameters)
	n.log.WarnContext(ctx, "parameters of a class have no effect", "class", class.Name, "parameters", parameters)
	if n.recorder != nil {
		n.recorder.Event(class, v1.EventTypeWarning, "ParametersIgnored", text)
		n.recorder.Event(claim, v1.EventTypeWarning, "ParametersIgnored", text)
	}
}

// classKey tells a class from one that is made anew: parameters cannot be changed.
func classKey(class *storage.StorageClass) string { return class.Name + "/" + string(class.UID) }

// due says whether it is time to speak of something again.
func (n *notices) due(key string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	for k, at := range n.told {
		if now.Sub(at) >= noticeEvery {
			delete(n.told, k)
		}
	}
	if _, spoken := n.told[key]; spoken {
		return false
	}
	n.told[key] = now
	return true
}

func ignoredText(class string, parameters []string) string {
	var names []string
	for _, p := range parameters[:min(len(parameters), mostNamed)] {
		names = append(names, fmt.Sprintf("%q", p))
	}
	list := strings.Join(names, ", ")
	if more := len(parameters) - mostNamed; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("StorageClass %s: without effect, as with nfs-subdir-external-provisioner: %s. In its classes these count, spelled exactly so: %s, %s, %s; "+
		"a class with %s and %s has all parameters of this driver", class, list, volume.ParamPathPattern, volume.ParamOnDelete, volume.ParamArchiveOnDelete,
		volume.ParamServer, volume.ParamShare)
}
