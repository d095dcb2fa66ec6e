package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Controller is the CSI controller service over a [Store]. Its methods check what they get and answer gRPC status errors
// even when they are called without a socket, as the provisioner does.
type Controller struct {
	csi.UnimplementedControllerServer
	store    Store
	defaults volume.Defaults
	log      *slog.Logger
}

// NewController makes the controller service; defaults serve where a StorageClass is silent.
func NewController(store Store, defaults volume.Defaults, log *slog.Logger) *Controller {
	return &Controller{store: store, defaults: defaults, log: log}
}

// ControllerGetCapabilities says which of the controller's calls there are.
func (c *Controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	answer := &csi.ControllerGetCapabilitiesResponse{}
	for _, t := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
		csi.ControllerServiceCapability_RPC_GET_VOLUME,
		csi.ControllerServiceCapability_RPC_LIST_VOLUMES,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csi.ControllerServiceCapability_RPC_MODIFY_VOLUME,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_GET_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
		csi.ControllerServiceCapability_RPC_GET_CAPACITY,
		csi.ControllerServiceCapability_RPC_GET_VOLUME_HEALTH,
		csi.ControllerServiceCapability_RPC_LIST_VOLUME_HEALTH,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: t}},
		})
	}
	return answer, nil
}

// remove deletes what has a handle. What has one that does not parse, as static PersistentVolumes have, was not made by this
// driver: it is left alone, and that is no error. One that means a whole share is refused.
func remove[ID any](ctx context.Context, log *slog.Logger, kind, handle string, secrets map[string]string,
	parse func(string) (ID, error), from func(ctx context.Context, id ID, mountOptions []string) error) error {
	if handle == "" {
		return missing(kind + " ID")
	}
	id, err := parse(handle)
	if errors.Is(err, volume.ErrShareItself) {
		return fmt.Errorf("%w: nothing is deleted; set the PersistentVolume's reclaim policy to Retain, which lets it go and keeps the share", err)
	}
	if err != nil {
		log.WarnContext(ctx, "nothing is deleted: the ID names nothing that this driver may delete", kind, shorten(handle), "err", shorten(oneLine(err)))
		return nil
	}
	options, err := secretOptions(secrets)
	if err != nil {
		return err
	}
	return from(ctx, id, options)
}
