package driver

import (
	"context"
	"errors"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// reasonSilent is what programs know a volume by whose server does not answer (CSI spec, VolumeHealthEntry.reason).
const reasonSilent = "ServerNotAnswering"

// NodeGetVolumeHealth says whether the volume can be reached through its mounts on this node. A volume that this process
// has not published and that comes without a path is unknown.
func (n *Node) NodeGetVolumeHealth(ctx context.Context, r *csi.NodeGetVolumeHealthRequest) (*csi.NodeGetVolumeHealthResponse, error) {
	if err := required("volume ID", r.GetVolumeId()); err != nil {
		return nil, statusOf(err)
	}
	paths := n.published.targets(r.GetVolumeId())
	if path := r.GetVolumePublishPath(); path != "" {
		paths = []string{path}
	}
	health := &csi.VolumeHealth{VolumeId: r.GetVolumeId()}
	err := n.look(ctx, paths)
	switch {
	case errors.Is(err, volume.ErrUnavailable):
		health.HealthStatuses = []*csi.VolumeHealth_VolumeHealthEntry{{
			Status: csi.VolumeHealthErrorType_INACCESSIBLE, Reason: reasonSilent, Message: oneLine(err),
		}}
	case err != nil:
		return nil, statusOf(err)
	}
	return &csi.NodeGetVolumeHealthResponse{VolumeHealth: health}, nil
}

// look asks the server of each mount in turn, until one has something to complain of.
func (n *Node) look(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return fmt.Errorf("%w: the volume is not published here", volume.ErrNotFound)
	}
	for _, path := range paths {
		if _, err := n.usage(ctx, path); err != nil {
			return err
		}
	}
	return nil
}
