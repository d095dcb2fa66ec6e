package provisioner

import (
	"errors"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"
)

// persistentVolume describes the volume to Kubernetes. The library adds the claim, the class's name, the finalizer and
// the annotation that says who made it. A volume has no node affinity: every node reaches the server.
//
// It is never marked read-only, not even for ReadOnlyMany: access modes do not write-protect in Kubernetes, and nothing
// could ever fill such a volume.
func persistentVolume(driver string, o controller.ProvisionOptions, asked *csi.CreateVolumeRequest, made *csi.Volume) (*v1.PersistentVolume, error) {
	if made.GetVolumeId() == "" {
		return nil, errors.New("the driver answered without a volume ID: this is a mistake in the driver, please report it")
	}
	capacity, err := capacityOf(o.PVC, asked.GetCapacityRange().GetRequiredBytes(), made.GetCapacityBytes())
	if err != nil {
		return nil, err
	}
	reclaim := v1.PersistentVolumeReclaimDelete
	if o.StorageClass.ReclaimPolicy != nil {
		reclaim = *o.StorageClass.ReclaimPolicy
	}
	mode := v1.PersistentVolumeFilesystem
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: reclaim,
			AccessModes:                   o.PVC.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: capacity},
			MountOptions:                  o.StorageClass.MountOptions,
			VolumeMode:                    &mode,
			VolumeAttributesClassName:     attributesClass(o.PVC),
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{
				Driver:           driver,
				VolumeHandle:     made.GetVolumeId(),
				VolumeAttributes: made.GetVolumeContext(),
			}},
		},
	}, nil
}

// attributesClass is that which the volume was made with: Kubernetes counts an empty name as none.
func attributesClass(claim *v1.PersistentVolumeClaim) *string {
	if name := claim.Spec.VolumeAttributesClassName; name != nil && *name != "" {
		return name
	}
	return nil
}

// capacityOf is what the driver answered, in the claim's own words where that is the same. A driver may answer 0: not
// known (CSI, Volume.capacity_bytes).
func capacityOf(claim *v1.PersistentVolumeClaim, asked, made int64) (resource.Quantity, error) {
	switch {
	case made == 0 || made == asked:
		return claim.Spec.Resources.Requests[v1.ResourceStorage].DeepCopy(), nil
	case made < asked:
		return resource.Quantity{}, fmt.Errorf("the volume has %d bytes, the claim asks for %d", made, asked)
	}
	return *resource.NewQuantity(made, resource.BinarySI), nil
}
