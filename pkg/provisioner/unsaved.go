package provisioner

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// unsaved tells users of volumes that are made and whose PersistentVolume cannot be saved. The library tells only the log.
type unsaved struct{ recorder record.EventRecorder }

// begin makes it ready; end waits for nothing: Events that are not sent by then are lost.
func (u *unsaved) begin(client kubernetes.Interface, component string) (end func()) {
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&corev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	u.recorder = events.NewRecorder(scheme.Scheme, v1.EventSource{Component: component})
	return events.Shutdown
}

// tell is told that saving has failed, and will be tried again.
func (u *unsaved) tell(pv *v1.PersistentVolume, err error) {
	if claim := pv.Spec.ClaimRef; claim != nil && u.recorder != nil {
		u.recorder.Event(claim, v1.EventTypeWarning, "ProvisioningFailed", unsavedText(err))
	}
}

func unsavedText(err error) string {
	return readable(fmt.Errorf("the volume is made, but its PersistentVolume cannot be saved, trying again: %w", err)).Error()
}
