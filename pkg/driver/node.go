package driver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// maxNodeID bounds a node ID in bytes (CSI spec, NodeGetInfoResponse).
const maxNodeID = 256

// lookTimeout bounds the look at another target of a volume that may be published once only.
const lookTimeout = 2 * time.Second

// Node is the CSI node service over a [Mounter]. It publishes straight at the target, without staging: the kernel shares
// the connection to a server by itself.
type Node struct {
	csi.UnimplementedNodeServer
	id        string
	mounter   Mounter
	inline    Inline
	published publications
}

// NewNode makes the node service of the node called id, in Kubernetes the Node's name, where pods may mount what inline lists;
// [volume.ErrInvalid] if that cannot be a node ID.
func NewNode(mounter Mounter, id string, inline Inline) (*Node, error) {
	if id == "" || len(id) > maxNodeID {
		return nil, fmt.Errorf("%w: node ID %q: it must have 1 to %d bytes", volume.ErrInvalid, id, maxNodeID)
	}
	return &Node{id: id, mounter: mounter, inline: inline}, nil
}

// NodePublishVolume mounts the volume that the volume context names; the handle is never read, since that of a static
// PersistentVolume is free text.
func (n *Node) NodePublishVolume(ctx context.Context, r *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	p, err := n.parsePublish(r)
	if err != nil {
		return nil, statusOf(err)
	}
	if err := n.publish(ctx, p); err != nil {
		return nil, statusOf(err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// NodeUnpublishVolume unmounts whatever is at the target and removes the target.
func (n *Node) NodeUnpublishVolume(ctx context.Context, r *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	target, err := parseTarget(r.GetTargetPath())
	if err := errors.Join(required("volume ID", r.GetVolumeId()), err); err != nil {
		return nil, statusOf(err)
	}
	if err := n.unpublish(ctx, target); err != nil {
		return nil, statusOf(err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// NodeGetVolumeStats says how full the volume's file system is. A server that does not answer is the error Unavailable:
// CSI v1.13 has the condition of a volume in NodeGetVolumeHealth and no longer here.
func (n *Node) NodeGetVolumeStats(ctx context.Context, r *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	err := errors.Join(required("volume ID", r.GetVolumeId()), required("volume path", r.GetVolumePath()))
	if err != nil {
		return nil, statusOf(err)
	}
	usage, err := n.usage(ctx, r.GetVolumePath())
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.NodeGetVolumeStatsResponse{Usage: usages(usage)}, nil
}

// usage is how full the file system at path is.
func (n *Node) usage(ctx context.Context, path string) (volume.Usage, error) {
	if !filepath.IsAbs(path) {
		return volume.Usage{}, fmt.Errorf("%w: volume path %q is not absolute, so no volume is there", volume.ErrNotFound, path)
	}
	return n.mounter.Usage(ctx, filepath.Clean(path))
}

// NodeGetInfo names the node. NFS sets no limit to the volumes of a node.
func (n *Node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.id}, nil
}

// NodeGetCapabilities says which of the node's calls there are.
func (n *Node) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	answer := &csi.NodeGetCapabilitiesResponse{}
	for _, t := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_GET_VOLUME_HEALTH,
		csi.NodeServiceCapability_RPC_GET_STORAGE_HEALTH,
		csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		answer.Capabilities = append(answer.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: t}},
		})
	}
	return answer, nil
}

// publishing is a checked NodePublishVolumeRequest.
type publishing struct {
	publication
	mountpoint volume.Mountpoint
	readOnly   bool
	target     string
}

// publish mounts p at its target unless its access mode forbids that now.
func (n *Node) publish(ctx context.Context, p publishing) error {
	now, err := n.published.begin(p.target)
	if err != nil {
		return err
	}
	defer func() { n.published.end(p.target, now) }()
	if err := n.claim(ctx, p); err != nil {
		return err
	}
	if err := n.mounter.Mount(ctx, p.mountpoint, p.readOnly, p.target); err != nil {
		return err
	}
	now = p.publication
	return nil
}

// claim takes the volume for p's target, or says which other target has it. A target that lost its mount without our
// doing has it no more.
func (n *Node) claim(ctx context.Context, p publishing) error {
	for {
		other := n.published.claim(p.target, p.publication)
		if other == "" {
			return nil
		}
		look, cancel := context.WithTimeout(ctx, lookTimeout)
		_, err := n.mounter.Usage(look, other)
		cancel()
		if !errors.Is(err, volume.ErrNotFound) || !n.published.forget(other) {
			return fmt.Errorf("volume %q is %w of this node, %q, and its access mode allows one at a time: unpublish it there first",
				p.volume, errPublished, other)
		}
	}
}

func (n *Node) unpublish(ctx context.Context, target string) error {
	now, err := n.published.begin(target)
	if err != nil {
		return err
	}
	defer func() { n.published.end(target, now) }()
	if err := n.mounter.Unmount(ctx, target); err != nil {
		return err
	}
	now = publication{}
	return nil
}

// parsePublish reports every mistake in r.
func (n *Node) parsePublish(r *csi.NodePublishVolumeRequest) (publishing, error) {
	target, err := parseTarget(r.GetTargetPath())
	mistakes := []error{required("volume ID", r.GetVolumeId()), err, checkCapability(r.GetVolumeCapability())}
	m, err := volume.ParseContext(r.GetVolumeContext())
	mistakes = append(mistakes, err, checkFlags(m.Options))
	m.Options = slices.Concat(mountOptions(r.GetVolumeCapability()), m.Options)
	if err == nil && isInline(r.GetVolumeId(), r.GetVolumeContext()) {
		m, err = n.inline.check(m)
		mistakes = append(mistakes, err)
	}
	if r.GetReadonly() {
		m.Root = nil // nothing is changed through such a mount
	}
	return publishing{
		publication: publication{volume: r.GetVolumeId(), exclusive: modes[r.GetVolumeCapability().GetAccessMode().GetMode()]},
		mountpoint:  m,
		readOnly:    r.GetReadonly(),
		target:      target,
	}, errors.Join(mistakes...)
}

// parseTarget reads a path to mount on or to unmount.
func parseTarget(path string) (string, error) {
	switch {
	case path == "":
		return "", missing("target path")
	case !filepath.IsAbs(path) || slices.Contains(strings.Split(path, "/"), "..") || filepath.Clean(path) == "/":
		return "", fmt.Errorf("%w: target path %q is not an absolute path below / without \"..\"", volume.ErrInvalid, path)
	}
	return filepath.Clean(path), nil
}

func usages(u volume.Usage) []*csi.VolumeUsage {
	answer := []*csi.VolumeUsage{{
		Unit: csi.VolumeUsage_BYTES, Total: clamp(u.TotalBytes), Used: clamp(u.UsedBytes), Available: clamp(u.AvailableBytes),
	}}
	if u.TotalInodes > 0 {
		answer = append(answer, &csi.VolumeUsage{
			Unit: csi.VolumeUsage_INODES, Total: clamp(u.TotalInodes), Used: clamp(u.UsedInodes), Available: clamp(u.AvailableInodes),
		})
	}
	return answer
}
