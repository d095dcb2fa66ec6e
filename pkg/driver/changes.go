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
	id, err := parseVolumeID("volume ID", r.GetVolumeId())
	options, err2 := secretOptions(r.GetSecrets())
	if err := errors.Join(err, err2, checkExpand(r)); err != nil {
		return nil, statusOf(err)
	}
	options = append(mountOptions(r.GetVolumeCapability()), options...)
	v, err := c.store.Expand(ctx, id, r.GetCapacityRange().GetRequiredBytes(), r.GetCapacityRange().GetLimitBytes(), options)
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.ControllerExpandVolumeResponse{CapacityBytes: v.CapacityBytes}, nil
}

func checkExpand(r *csi.ControllerExpandVolumeRequest) error {
	mistakes := []error{checkRange(r.GetCapacityRange())}
	if r.GetCapacityRange().GetRequiredBytes() == 0 && r.GetCapacityRange().GetLimitBytes() == 0 {
		mistakes = append(mistakes, missing("capacity range"))
	}
	if r.GetVolumeCapability() != nil {
		mistakes = append(mistakes, checkCapability(r.GetVolumeCapability()))
	}
	return errors.Join(mistakes...)
}

// ControllerModifyVolume changes what a VolumeAttributesClass says: see [volume.ParseChanges].
func (c *Controller) ControllerModifyVolume(ctx context.Context, r *csi.ControllerModifyVolumeRequest) (*csi.ControllerModifyVolumeResponse, error) {
	id, err := parseVolumeID("volume ID", r.GetVolumeId())
	changes, err2 := volume.ParseChanges(r.GetMutableParameters())
	if len(r.GetMutableParameters()) == 0 {
		err2 = fmt.Errorf("%w: mutable parameters are missing", volume.ErrInvalid)
	}
	options, err3 := secretOptions(r.GetSecrets())
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, statusOf(err)
	}
	if err := c.store.Modify(ctx, id, changes, options); err != nil {
		return nil, statusOf(err)
	}
	return &csi.ControllerModifyVolumeResponse{}, nil
}
