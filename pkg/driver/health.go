package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// What programs know the ailments of volumes and servers by (CSI spec, VolumeHealthEntry.reason).
const (
	reasonSilent  = "ServerNotAnswering"
	reasonRefused = "ServerRefuses"    // the export was withdrawn from us
	reasonLost    = "DirectoryLost"    // removed on the server, or no longer exported
	reasonMissing = "DirectoryMissing" // the record is there, the directory is not
	reasonSlow    = "ServerSlow"
	reasonFull    = "ShareFull"
)

// slow is from when on an answer that healthy servers give in milliseconds counts as late.
const slow = time.Second

// ailment is one thing that is wrong with a volume.
type ailment struct {
	status  csi.VolumeHealthErrorType
	reason  string
	message string
}

// diagnose reads off an answer, or the error instead of one, what is wrong. The error it passes on says nothing about health.
func diagnose(u volume.Usage, err error) ([]ailment, error) {
	switch {
	case errors.Is(err, syscall.ESTALE):
		return []ailment{{csi.VolumeHealthErrorType_INACCESSIBLE, reasonLost, oneLine(err)}}, nil
	case errors.Is(err, volume.ErrUnavailable):
		return []ailment{{csi.VolumeHealthErrorType_INACCESSIBLE, reasonSilent, oneLine(err)}}, nil
	case errors.Is(err, volume.ErrRefused):
		return []ailment{{csi.VolumeHealthErrorType_INACCESSIBLE, reasonRefused, oneLine(err)}}, nil
	case err != nil:
		return nil, err
	}
	var found []ailment
	if u.Took > slow {
		found = append(found, ailment{csi.VolumeHealthErrorType_DEGRADED, reasonSlow,
			fmt.Sprintf("the server takes %v to answer: look at its load and at the network", u.Took.Round(100*time.Millisecond))})
	}
	if u.TotalBytes > 0 && u.AvailableBytes == 0 || u.TotalInodes > 0 && u.AvailableInodes == 0 {
		found = append(found, ailment{csi.VolumeHealthErrorType_DEGRADED, reasonFull,
			"the share has no space or no inodes left, so nothing can be written: free some, or grow it"})
	}
	return found, nil
}

// describeHealth answers each (status, reason) once, as the spec wants.
func describeHealth(id string, found []ailment) *csi.VolumeHealth {
	health := &csi.VolumeHealth{VolumeId: id}
	slices.SortStableFunc(found, func(a, b ailment) int {
		return cmp.Or(cmp.Compare(b.status, a.status), strings.Compare(a.reason, b.reason))
	})
	found = slices.CompactFunc(found, func(a, b ailment) bool { return a.status == b.status && a.reason == b.reason })
	for _, a := range found {
		health.HealthStatuses = append(health.HealthStatuses, &csi.VolumeHealth_VolumeHealthEntry{Status: a.status, Reason: a.reason, Message: a.message})
	}
	return health
}

// NodeGetVolumeHealth says whether the volume can be reached through its mounts on this node. A volume that this process
// has not published and that comes without a path is unknown. Whether the server has made an export read-only cannot be told
// without writing to it.
func (n *Node) NodeGetVolumeHealth(ctx context.Context, r *csi.NodeGetVolumeHealthRequest) (*csi.NodeGetVolumeHealthResponse, error) {
	if err := required("volume ID", r.GetVolumeId()); err != nil {
		return nil, statusOf(err)
	}
	paths := n.published.targets(r.GetVolumeId())
	if path := r.GetVolumePublishPath(); path != "" {
		paths = []string{path}
	}
	found, err := n.look(ctx, paths)
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.NodeGetVolumeHealthResponse{VolumeHealth: describeHealth(r.GetVolumeId(), found)}, nil
}

// look asks the server of each mount, all at once: a dead one lets each wait for seconds.
func (n *Node) look(ctx context.Context, paths []string) ([]ailment, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("%w: the volume is not published here", volume.ErrNotFound)
	}
	found, errs := make([][]ailment, len(paths)), make([]error, len(paths))
	var asking sync.WaitGroup
	for i, path := range paths {
		asking.Go(func() { found[i], errs[i] = diagnose(n.usage(ctx, path)) })
	}
	asking.Wait()
	return slices.Concat(found...), errors.Join(errs...)
}

// NodeGetStorageHealth says which of the servers that this node has mounts of do not answer, or late.
func (n *Node) NodeGetStorageHealth(ctx context.Context, _ *csi.NodeGetStorageHealthRequest) (*csi.NodeGetStorageHealthResponse, error) {
	mounts, err := n.mounter.ByServer()
	if err != nil {
		return nil, statusOf(err)
	}
	silent, late := make(chan string, len(mounts)), make(chan string, len(mounts))
	var asking sync.WaitGroup
	for server, targets := range mounts {
		asking.Go(func() {
			found, _ := diagnose(n.mounter.Usage(ctx, targets[0])) // a mount that is gone meanwhile says nothing
			for _, a := range found {
				switch a.reason {
				case reasonSilent:
					silent <- server
				case reasonSlow:
					late <- server
				}
			}
		})
	}
	asking.Wait()
	answer := &csi.NodeGetStorageHealthResponse{}
	add := func(servers chan string, status csi.StorageHealthErrorType, reason, says string) {
		close(servers)
		names := map[string]bool{}
		for s := range servers {
			names[s] = true
		}
		if len(names) > 0 {
			answer.BackendHealth = append(answer.BackendHealth, &csi.NodeGetStorageHealthResponse_StorageBackendHealth{
				Status: status, Reason: reason, Message: says + strings.Join(slices.Sorted(maps.Keys(names)), ", "),
			})
		}
	}
	add(silent, csi.StorageHealthErrorType_STORAGE_UNREACHABLE, reasonSilent, "these servers do not answer this node: ")
	add(late, csi.StorageHealthErrorType_STORAGE_DEGRADED, reasonSlow, "these servers answer this node late: ")
	return answer, nil
}
