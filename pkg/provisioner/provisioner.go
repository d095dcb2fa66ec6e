package provisioner

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"
)

// Volumes makes and removes volumes: the two calls of csi.ControllerServer that provisioning needs. Both are safe to
// repeat, obey their context and answer with gRPC status errors whose messages are for people.
type Volumes interface {
	CreateVolume(context.Context, *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error)
	DeleteVolume(context.Context, *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error)
}

// secretMountOptions is the key under which DeleteVolume finds how to reach the server, as in csi-driver-nfs.
const secretMountOptions = "mountOptions"

// provisioner is what the library's controller calls. It holds no state but the calls that are running.
type provisioner struct {
	driver  string // the CSI driver's name in every PersistentVolume, whatever the provisioner name of the class
	volumes Volumes
	calls   *calls
}

var (
	_ controller.Provisioner   = (*provisioner)(nil)
	_ controller.Qualifier     = (*provisioner)(nil)
	_ controller.DeletionGuard = (*provisioner)(nil)
)

// ShouldProvision is no while we are stopping: the library hands out what is left in its queue.
func (p *provisioner) ShouldProvision(context.Context, *v1.PersistentVolumeClaim) bool {
	return !p.calls.stopped()
}

// ShouldDelete is no while we are stopping.
func (p *provisioner) ShouldDelete(context.Context, *v1.PersistentVolume) bool {
	return !p.calls.stopped()
}

// Provision makes the volume of a claim. A call that has begun runs on when the controller stops, see [calls].
func (p *provisioner) Provision(ctx context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	if err := refuse(o.PVC); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	ctx, call, err := p.calls.begin(ctx)
	if err != nil {
		return nil, controller.ProvisioningNoChange, &controller.IgnoredError{Reason: err.Error()}
	}
	request := createRequest(o)
	answer, err := p.volumes.CreateVolume(ctx, request)
	if err != nil {
		call.end()
		return nil, stateOf(err), readable(err)
	}
	pv, err := persistentVolume(p.driver, o, request, answer.GetVolume())
	if err != nil {
		call.end()
		return nil, controller.ProvisioningInBackground, err
	}
	call.endWhenSaved(pv.Name)
	return pv, controller.ProvisioningFinished, nil
}

// refuse finds what no volume of ours can satisfy. An [controller.IgnoredError] leaves the claim to somebody else.
func refuse(claim *v1.PersistentVolumeClaim) error {
	if claim.Spec.Selector != nil {
		return errors.New("the claim has a selector, and a volume that is yet to be made has no labels to select by: " +
			"remove spec.selector, or make a PersistentVolume by hand")
	}
	if name := claim.Spec.VolumeAttributesClassName; name != nil && *name != "" {
		return fmt.Errorf("the claim asks for the volume attributes class %q, and this driver has no attributes to change: "+
			"remove spec.volumeAttributesClassName", *name)
	}
	return refuseSource(claim)
}

// refuseSource: sources of kinds that are not a CSI driver's belong to volume populators, which make the volume
// themselves (KEP-1495).
func refuseSource(claim *v1.PersistentVolumeClaim) error {
	source := claim.Spec.DataSourceRef
	if source == nil && claim.Spec.DataSource != nil {
		source = &v1.TypedObjectReference{Kind: claim.Spec.DataSource.Kind, Name: claim.Spec.DataSource.Name, APIGroup: claim.Spec.DataSource.APIGroup}
	}
	if source == nil {
		return nil
	}
	group := ""
	if source.APIGroup != nil {
		group = *source.APIGroup
	}
	if group == "" && source.Kind == "PersistentVolumeClaim" || group == "snapshot.storage.k8s.io" && source.Kind == "VolumeSnapshot" {
		return fmt.Errorf("the claim is to be filled from %s %q, which this driver cannot do yet: remove spec.dataSource and "+
			"spec.dataSourceRef, and copy the files in a pod", source.Kind, source.Name)
	}
	return &controller.IgnoredError{Reason: fmt.Sprintf("a volume populator makes volumes from %s %q", source.Kind, source.Name)}
}

// Delete removes the volume behind a PersistentVolume of ours; others are left alone.
func (p *provisioner) Delete(ctx context.Context, pv *v1.PersistentVolume) error {
	source := pv.Spec.CSI
	if source == nil || source.Driver != p.driver {
		return &controller.IgnoredError{Reason: "it is not a volume of the CSI driver " + p.driver}
	}
	ctx, call, err := p.calls.begin(ctx)
	if err != nil {
		return &controller.IgnoredError{Reason: err.Error()}
	}
	defer call.end()
	request := &csi.DeleteVolumeRequest{VolumeId: source.VolumeHandle}
	if len(pv.Spec.MountOptions) > 0 {
		request.Secrets = map[string]string{secretMountOptions: strings.Join(pv.Spec.MountOptions, ",")}
	}
	if _, err := p.volumes.DeleteVolume(ctx, request); err != nil {
		return readable(err)
	}
	return nil
}
