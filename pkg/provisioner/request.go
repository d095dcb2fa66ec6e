package provisioner

import (
	"maps"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// orchestratorPrefix begins the parameters that are Kubernetes' own: names of secrets, a file system type, and what
// [createRequest] says of the claim. A class cannot speak for a claim.
const orchestratorPrefix = "csi.storage.k8s.io/"

// createRequest asks for the volume of a claim. The library names a PersistentVolume pvc-UID, which is unique and the
// same at every retry, and so is the CSI name.
func createRequest(o controller.ProvisionOptions, defaults volume.Defaults) *csi.CreateVolumeRequest {
	size := o.PVC.Spec.Resources.Requests[v1.ResourceStorage]
	return &csi.CreateVolumeRequest{
		Name:               o.PVName,
		CapacityRange:      &csi.CapacityRange{RequiredBytes: size.Value()},
		VolumeCapabilities: capabilities(o.PVC.Spec.AccessModes, o.StorageClass.MountOptions),
		Parameters:         parameters(o.StorageClass.Parameters, o.PVName, o.PVC, defaults),
	}
}

// parameters are the class's, with what the class's template may use of the claim. Of labels and annotations only those
// that the template names go along, since claims carry much that is nobody's business.
func parameters(class map[string]string, pvName string, claim *v1.PersistentVolumeClaim, defaults volume.Defaults) map[string]string {
	p := maps.Clone(class)
	maps.DeleteFunc(p, func(key, _ string) bool { return strings.HasPrefix(strings.ToLower(key), orchestratorPrefix) })
	if p == nil {
		p = map[string]string{}
	}
	parsed, _ := volume.ParseClass(p, defaults) // mistakes are the CSI service's to report
	labels, annotations := parsed.Template.Keys()
	for _, key := range labels {
		add(p, volume.ParamLabelPrefix, key, claim.Labels)
	}
	for _, key := range annotations {
		add(p, volume.ParamAnnotationPrefix, key, claim.Annotations)
	}
	p[volume.ParamClaimName] = claim.Name
	p[volume.ParamClaimNamespace] = claim.Namespace
	p[volume.ParamVolumeName] = pvName
	return p
}

func add(parameters map[string]string, prefix, key string, from map[string]string) {
	if v, ok := from[key]; ok {
		parameters[prefix+key] = v
	}
}

// capabilities has one entry for each access mode, as external-provisioner asks drivers that know
// SINGLE_NODE_MULTI_WRITER.
func capabilities(modes []v1.PersistentVolumeAccessMode, mountFlags []string) []*csi.VolumeCapability {
	var out []*csi.VolumeCapability
	for _, m := range modes {
		out = append(out, &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{MountFlags: mountFlags}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: accessMode(m)},
		})
	}
	return out
}

// accessMode of a mode that Kubernetes may add one day is UNKNOWN, which the driver refuses by name.
func accessMode(m v1.PersistentVolumeAccessMode) csi.VolumeCapability_AccessMode_Mode {
	switch m {
	case v1.ReadWriteOnce:
		return csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER
	case v1.ReadWriteOncePod:
		return csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER
	case v1.ReadOnlyMany:
		return csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY
	case v1.ReadWriteMany:
		return csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER
	}
	return csi.VolumeCapability_AccessMode_UNKNOWN
}
