package driver

import (
	"context"
	"errors"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// ControllerExpandVolume records the volume's new size. Nodes have nothing to do: a directory has no file system of its own.
func (c *Controller) ControllerExpandVolume(ctx context.Context, r *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	id, err := parseExpand(r)
	if err != nil {
		return nil, statusOf(err)
	}
	v, err := c.store.Expand(ctx, id, r.GetCapacityRange().GetRequiredBytes(), r.GetCapacityRange().GetLimitBytes())
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: v.CapacityBytes}, nil
}

// ControllerModifyVolume changes what a VolumeAttributesClass says: see [volume.ParseChanges].
func (c *Controller) ControllerModifyVolume(ctx context.Context, r *csi.ControllerModifyVolumeRequest) (*csi.ControllerModifyVolumeResponse, error) {
	id, changes, err := parseModify(r)
	if err != nil {
		return nil, statusOf(err)
	}
	if err := c.store.Modify(ctx, id, changes); err != nil {
		return nil, statusOf(err)
	}
	return &csi.ControllerModifyVolumeResponse{}, nil
}

// parseExpand reports every mistake in r.
func parseExpand(r *csi.ControllerExpandVolumeRequest) (volume.ID, error) {
	id, err := parseVolumeID("volume ID", r.GetVolumeId())
	mistakes := []error{err, checkRange(r.GetCapacityRange())}
	if r.GetCapacityRange().GetRequiredBytes() == 0 && r.GetCapacityRange().GetLimitBytes() == 0 {
		mistakes = append(mistakes, missing("capacity range"))
	}
	if r.GetVolumeCapability() != nil {
		mistakes = append(mistakes, checkCapability(r.GetVolumeCapability()))
	}
	return id, errors.Join(mistakes...)
}

// parseModify reports every mistake in r.
func parseModify(r *csi.ControllerModifyVolumeRequest) (volume.ID, volume.Changes, error) {
	id, err := parseVolumeID("volume ID", r.GetVolumeId())
	changes, err2 := volume.ParseChanges(r.GetMutableParameters())
	mistakes := []error{err, err2}
	if len(r.GetMutableParameters()) == 0 {
		mistakes = append(mistakes, fmt.Errorf("%w: mutable parameters are missing", volume.ErrInvalid))
	}
	return id, changes, errors.Join(mistakes...)
}
