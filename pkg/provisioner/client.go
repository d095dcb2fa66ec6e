package provisioner

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// savingClient is a client whose saving of PersistentVolumes ends in time and is told to calls and to notices, and to which one
// that has gone is deleted. Its Events pass through fillings. The library saves without a deadline, and deletes twice where its
// cache is late.
type savingClient struct {
	kubernetes.Interface
	calls    *calls
	fillings *fillings
	notices  *notices
}

func (c savingClient) CoreV1() corev1.CoreV1Interface {
	return savingCore{CoreV1Interface: c.Interface.CoreV1(), calls: c.calls, fillings: c.fillings, notices: c.notices}
}

type savingCore struct {
	corev1.CoreV1Interface
	calls    *calls
	fillings *fillings
	notices  *notices
}

func (c savingCore) Events(namespace string) corev1.EventInterface {
	return fillingEvents{EventInterface: c.CoreV1Interface.Events(namespace), fillings: c.fillings}
}

func (c savingCore) PersistentVolumes() corev1.PersistentVolumeInterface {
	return savingVolumes{PersistentVolumeInterface: c.CoreV1Interface.PersistentVolumes(), calls: c.calls, notices: c.notices}
}

type savingVolumes struct {
	corev1.PersistentVolumeInterface
	calls   *calls
	notices *notices
}

func (s savingVolumes) Create(ctx context.Context, pv *v1.PersistentVolume, o metav1.CreateOptions) (*v1.PersistentVolume, error) {
	defer s.calls.saved(pv.Name)
	if pv.Spec.NFS != nil {
		pv = pv.DeepCopy()
		pv.Finalizers = nil // as the predecessor's are: who goes back to it has nobody to take ours off
	}
	ctx, cancel := context.WithTimeout(ctx, s.calls.timeout)
	defer cancel()
	defer context.AfterFunc(s.calls.ctx, cancel)()
	made, err := s.PersistentVolumeInterface.Create(ctx, pv, o)
	if err == nil || errors.IsAlreadyExists(err) {
		s.notices.saved(pv)
	} else {
		s.notices.unsaved(pv, err)
	}
	return made, err
}

func (s savingVolumes) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	err := s.PersistentVolumeInterface.Delete(ctx, name, o)
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}
