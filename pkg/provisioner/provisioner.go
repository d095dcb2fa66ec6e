package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Volumes makes and removes volumes: the two calls of csi.ControllerServer that provisioning needs. Both are safe to
// repeat, obey their context and answer with gRPC status errors whose messages are for people.
type Volumes interface {
	CreateVolume(context.Context, *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error)
	DeleteVolume(context.Context, *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error)
}

// SecretMountOptions is the key under which calls without a capability find how to reach the server, among the secrets, as in
// csi-driver-nfs.
const SecretMountOptions = "mountOptions"

// provisioner is what the library's controller calls. It holds no state but what runs.
type provisioner struct {
	driver   string // the CSI driver's name in every PersistentVolume, whatever the provisioner name of the class
	volumes  Volumes
	calls    *calls
	client   kubernetes.Interface
	sources  sources
	fillings *fillings
	notices  *notices
	defaults volume.Defaults
	secrets  Secrets
	full     func() // is told that a share has no room for a volume
	legacy   Legacy
	known    cache.Indexer // of PersistentVolumes, by [placeIndexes]
	classes  cache.Store
	log      *slog.Logger
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
	pv, state, err := p.provision(ctx, o)
	if err != nil {
		call.end()
		return nil, state, err
	}
	call.endWhenSaved(pv.Name)
	return pv, controller.ProvisioningFinished, nil
}

func (p *provisioner) provision(ctx context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	request, err := p.request(ctx, o)
	if err != nil {
		// NoChange: of an earlier try something may be left.
		p.restFor(o.PVC, err)
		return nil, controller.ProvisioningNoChange, err
	}
	answer, err := p.volumes.CreateVolume(ctx, request)
	if err != nil {
		state := stateNow(err)
		return nil, state, p.failed(o.PVC, request, state, err)
	}
	p.fillings.done(o.PVC.UID)
	if request.GetVolumeContentSource() != nil && answer.GetVolume().GetContentSource() == nil {
		return nil, controller.ProvisioningInBackground, errors.New("the driver answered with an empty volume: this is a mistake in the driver, please report it")
	}
	pv, err := persistentVolume(p.driver, o, request, answer.GetVolume())
	if err == nil && p.legacy.InTree && p.legacy.speaks(o.StorageClass) {
		err = inTree(pv)
	}
	return pv, controller.ProvisioningInBackground, err
}

// request is [createRequest] with what only the API server knows.
func (p *provisioner) request(ctx context.Context, o controller.ProvisionOptions) (*csi.CreateVolumeRequest, error) {
	request := createRequest(o, p.defaults)
	var err error
	if p.legacy.speaks(o.StorageClass) {
		err = p.translate(ctx, o, request)
	} else {
		err = p.free(o, request.GetParameters())
	}
	if err != nil {
		return nil, readable(err)
	}
	before := p.fillings.remembered(o.PVC.UID)
	if request.VolumeContentSource = before.source; request.VolumeContentSource == nil {
		if request.VolumeContentSource, err = p.sources.of(ctx, o.PVC); err != nil {
			return nil, err
		}
	}
	request.MutableParameters, err = p.attributes(ctx, o.PVC, before)
	return request, err
}

// attributes are those of the claim's class of attributes, or what they were when the volume was begun, if the class has gone since.
func (p *provisioner) attributes(ctx context.Context, claim *v1.PersistentVolumeClaim, before begun) (map[string]string, error) {
	parameters, err := attributes(ctx, p.client, p.driver, claim)
	var absent waitError
	if errors.As(err, &absent) && before.class == *attributesClass(claim) {
		return before.changes, nil
	}
	return parameters, err
}

func (p *provisioner) restFor(claim *v1.PersistentVolumeClaim, err error) {
	var later waitError
	if errors.As(err, &later) {
		p.fillings.rest(claim.UID, sourcePause)
		return
	}
	p.fillings.fail(claim.UID)
}

// failed is what a failed CreateVolume is called. Aborted is the answer while the files of a source are copied.
func (p *provisioner) failed(claim *v1.PersistentVolumeClaim, r *csi.CreateVolumeRequest, state controller.ProvisioningState, err error) error {
	switch state {
	case controller.ProvisioningFinished:
		p.fillings.done(claim.UID)
	case controller.ProvisioningInBackground:
		p.fillings.remember(claim, r)
	}
	if r.GetVolumeContentSource() != nil && status.Code(err) == codes.Aborted {
		p.fillings.rest(claim.UID, fillingPause)
		progress := fillingError(readable(err))
		if p.fillings.due(claim.UID) {
			p.notices.filling(claim, progress)
		}
		return progress
	}
	p.fillings.fail(claim.UID)
	if status.Code(err) == codes.ResourceExhausted {
		p.full()
	}
	return readable(err)
}

// refuse finds what no volume of ours can satisfy.
func refuse(claim *v1.PersistentVolumeClaim) error {
	if claim.Spec.Selector != nil {
		return errors.New("the claim has a selector, and a volume that is yet to be made has no labels to select by: " +
			"remove spec.selector, or make a PersistentVolume by hand")
	}
	return nil
}

// Delete removes the volume behind a PersistentVolume of ours or of the predecessor's; others are left alone.
func (p *provisioner) Delete(ctx context.Context, pv *v1.PersistentVolume) error {
	handle, err := p.handleOf(pv)
	if err != nil {
		return err
	}
	ctx, call, err := p.calls.begin(ctx)
	if err != nil {
		return &controller.IgnoredError{Reason: err.Error()}
	}
	defer call.end()
	options, hint, err := p.deletionOptions(ctx, pv)
	if err != nil {
		return err
	}
	request := &csi.DeleteVolumeRequest{VolumeId: handle}
	if len(options) > 0 {
		request.Secrets = map[string]string{SecretMountOptions: strings.Join(options, ",")}
	}
	if _, err := p.volumes.DeleteVolume(ctx, request); err != nil {
		return fmt.Errorf("%w%s", readable(err), hint)
	}
	return nil
}

// handleOf is what a volume is called to the CSI service.
func (p *provisioner) handleOf(pv *v1.PersistentVolume) (string, error) {
	switch {
	case pv.Spec.CSI != nil && pv.Spec.CSI.Driver == p.driver:
		return pv.Spec.CSI.VolumeHandle, nil
	case pv.Spec.NFS != nil:
		return p.handle(pv)
	}
	return "", &controller.IgnoredError{Reason: "it is not a volume of the CSI driver " + p.driver}
}
