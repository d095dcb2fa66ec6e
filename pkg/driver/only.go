package driver

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// only is a store that has nothing but volumes.
type only struct{ Volumes }

var onlyLacks = map[csi.ControllerServiceCapability_RPC_Type]bool{
	csi.ControllerServiceCapability_RPC_CLONE_VOLUME: true, csi.ControllerServiceCapability_RPC_EXPAND_VOLUME: true,
	csi.ControllerServiceCapability_RPC_MODIFY_VOLUME: true, csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT: true,
	csi.ControllerServiceCapability_RPC_GET_SNAPSHOT: true, csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS: true,
}

func (only) Expand(context.Context, volume.ID, int64, int64) (volume.Volume, error) {
	return volume.Volume{}, volume.ErrUnsupported
}
func (only) Modify(context.Context, volume.ID, volume.Changes) error { return volume.ErrUnsupported }
func (only) CreateSnapshot(context.Context, volume.SnapshotRequest) (volume.Snapshot, error) {
	return volume.Snapshot{}, volume.ErrUnsupported
}
func (only) DeleteSnapshot(context.Context, volume.SnapshotID, []string) error {
	return volume.ErrUnsupported
}
func (only) ListSnapshots(context.Context, volume.SnapshotFilter, string, int) ([]volume.Snapshot, string, error) {
	return nil, "", volume.ErrUnsupported
}
