package driver

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
)

// Controller passes calls within the process through c, as a socket would.
func (c Calls) Controller(next csi.ControllerServer) csi.ControllerServer {
	return &calledController{ControllerServer: next, calls: c}
}

// calledController measures every call that [Controller] has.
type calledController struct {
	csi.ControllerServer
	calls Calls
}

// CreateVolume passes on a measured call.
func (c *calledController) CreateVolume(ctx context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	return through(ctx, c.calls, csi.Controller_CreateVolume_FullMethodName, r, c.ControllerServer.CreateVolume)
}

// DeleteVolume passes on a measured call.
func (c *calledController) DeleteVolume(ctx context.Context, r *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	return through(ctx, c.calls, csi.Controller_DeleteVolume_FullMethodName, r, c.ControllerServer.DeleteVolume)
}

// ValidateVolumeCapabilities passes on a measured call.
func (c *calledController) ValidateVolumeCapabilities(ctx context.Context, r *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	return through(ctx, c.calls, csi.Controller_ValidateVolumeCapabilities_FullMethodName, r, c.ControllerServer.ValidateVolumeCapabilities)
}

// ControllerGetVolume passes on a measured call.
func (c *calledController) ControllerGetVolume(ctx context.Context, r *csi.ControllerGetVolumeRequest) (*csi.ControllerGetVolumeResponse, error) {
	return through(ctx, c.calls, csi.Controller_ControllerGetVolume_FullMethodName, r, c.ControllerServer.ControllerGetVolume)
}

// ListVolumes passes on a measured call.
func (c *calledController) ListVolumes(ctx context.Context, r *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	return through(ctx, c.calls, csi.Controller_ListVolumes_FullMethodName, r, c.ControllerServer.ListVolumes)
}

// ControllerExpandVolume passes on a measured call.
func (c *calledController) ControllerExpandVolume(ctx context.Context, r *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	return through(ctx, c.calls, csi.Controller_ControllerExpandVolume_FullMethodName, r, c.ControllerServer.ControllerExpandVolume)
}

// ControllerModifyVolume passes on a measured call.
func (c *calledController) ControllerModifyVolume(ctx context.Context, r *csi.ControllerModifyVolumeRequest) (*csi.ControllerModifyVolumeResponse, error) {
	return through(ctx, c.calls, csi.Controller_ControllerModifyVolume_FullMethodName, r, c.ControllerServer.ControllerModifyVolume)
}

// CreateSnapshot passes on a measured call.
func (c *calledController) CreateSnapshot(ctx context.Context, r *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	return through(ctx, c.calls, csi.Controller_CreateSnapshot_FullMethodName, r, c.ControllerServer.CreateSnapshot)
}

// DeleteSnapshot passes on a measured call.
func (c *calledController) DeleteSnapshot(ctx context.Context, r *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	return through(ctx, c.calls, csi.Controller_DeleteSnapshot_FullMethodName, r, c.ControllerServer.DeleteSnapshot)
}

// GetSnapshot passes on a measured call.
func (c *calledController) GetSnapshot(ctx context.Context, r *csi.GetSnapshotRequest) (*csi.GetSnapshotResponse, error) {
	return through(ctx, c.calls, csi.Controller_GetSnapshot_FullMethodName, r, c.ControllerServer.GetSnapshot)
}

// ListSnapshots passes on a measured call.
func (c *calledController) ListSnapshots(ctx context.Context, r *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	return through(ctx, c.calls, csi.Controller_ListSnapshots_FullMethodName, r, c.ControllerServer.ListSnapshots)
}

// GetCapacity passes on a measured call.
func (c *calledController) GetCapacity(ctx context.Context, r *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	return through(ctx, c.calls, csi.Controller_GetCapacity_FullMethodName, r, c.ControllerServer.GetCapacity)
}

// ControllerGetVolumeHealth passes on a measured call.
func (c *calledController) ControllerGetVolumeHealth(ctx context.Context, r *csi.ControllerGetVolumeHealthRequest) (*csi.ControllerGetVolumeHealthResponse, error) {
	return through(ctx, c.calls, csi.Controller_ControllerGetVolumeHealth_FullMethodName, r, c.ControllerServer.ControllerGetVolumeHealth)
}

// ControllerListVolumeHealth passes on a measured call.
func (c *calledController) ControllerListVolumeHealth(ctx context.Context, r *csi.ControllerListVolumeHealthRequest) (*csi.ControllerListVolumeHealthResponse, error) {
	return through(ctx, c.calls, csi.Controller_ControllerListVolumeHealth_FullMethodName, r, c.ControllerServer.ControllerListVolumeHealth)
}

// ControllerGetCapabilities passes on a measured call.
func (c *calledController) ControllerGetCapabilities(ctx context.Context, r *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	return through(ctx, c.calls, csi.Controller_ControllerGetCapabilities_FullMethodName, r, c.ControllerServer.ControllerGetCapabilities)
}
