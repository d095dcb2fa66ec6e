package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/pager"

	"github.com/nfs-csi/nfs-csi/pkg/share/inventory"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// toolTimeout bounds one request of a tool to the API server: somebody waits.
const toolTimeout = 30 * time.Second

// client is one of the API server that the flags name; [errNoKubeconfig] where nothing says which.
func (c *clusterFlags) client() (kubernetes.Interface, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	config.Timeout = toolTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the client of the API server: %w", err)
	}
	return client, nil
}

// needs is what one cluster says of volumes on NFS servers.
type needs struct {
	inventory.Cluster
	shares map[volume.Location]bool // of the volumes
	// blind: we may not list its pods.
	blind error
}

// add reads what a cluster has.
func (n *needs) add(ctx context.Context, api kubernetes.Interface) error {
	if n.shares == nil {
		n.shares = map[volume.Location]bool{}
	}
	err := each(ctx, api.CoreV1().PersistentVolumes().List, func(pv *core.PersistentVolume) { n.volume(pv) })
	if err != nil {
		return fmt.Errorf("listing PersistentVolumes: %w", err)
	}
	err = each(ctx, api.CoreV1().PersistentVolumeClaims("").List, func(claim *core.PersistentVolumeClaim) {
		n.Claims = append(n.Claims, inventory.Claim{Namespace: claim.Namespace, Name: claim.Name, UID: string(claim.UID)})
	})
	if err != nil {
		return fmt.Errorf("listing PersistentVolumeClaims: %w", err)
	}
	err = each(ctx, api.CoreV1().Pods("").List, func(pod *core.Pod) { n.pod(pod) })
	if apierrors.IsForbidden(err) {
		n.blind = errors.Join(n.blind, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	return nil
}

// each lists objects page by page.
func each[L runtime.Object, O any](ctx context.Context, list func(context.Context, meta.ListOptions) (L, error), do func(O)) error {
	pages := pager.New(func(ctx context.Context, o meta.ListOptions) (runtime.Object, error) { return list(ctx, o) })
	return pages.EachListItem(ctx, meta.ListOptions{}, func(object runtime.Object) error {
		if o, ok := object.(O); ok {
			do(o)
		}
		return nil
	})
}

func (n *needs) volume(pv *core.PersistentVolume) {
	v := inventory.PersistentVolume{Name: pv.Name}
	if ref := pv.Spec.ClaimRef; ref != nil {
		v.Claim = ref.Namespace + "/" + ref.Name
	}
	switch {
	case pv.Spec.NFS != nil:
		v.Server, v.Path = strings.Trim(pv.Spec.NFS.Server, "[]"), pv.Spec.NFS.Path
	case pv.Spec.CSI != nil:
		id, err := volume.ParseID(pv.Spec.CSI.VolumeHandle)
		m, errContext := volume.ParseContext(pv.Spec.CSI.VolumeAttributes)
		switch {
		case errContext == nil:
			v.Server, v.Path = m.Server, m.Path
		case err == nil:
			v.Server, v.Path = id.Server, id.Path(id.Dir)
		default:
			return // on no NFS server
		}
		if err == nil {
			v.Volume = id.Name()
		}
		if err == nil && confirmed(pv.Spec.CSI, id) {
			n.shares[id.Location] = true
		}
	default:
		return
	}
	n.Volumes = append(n.Volumes, v)
}

// confirmed says whether the attributes name the server that the handle names: that of a disk (projects/P/zones/Z/disks/NAME) or of a
// share that is none of NFS reads like one, too. Without attributes there are to be fields.
func confirmed(source *core.CSIPersistentVolumeSource, id volume.ID) bool {
	if len(source.VolumeAttributes) == 0 {
		return strings.Contains(source.VolumeHandle, "#")
	}
	m, err := volume.ParseContext(source.VolumeAttributes)
	return err == nil && strings.EqualFold(m.Server, id.Server)
}

// pod notes what a pod mounts past PersistentVolumes.
func (n *needs) pod(pod *core.Pod) {
	for _, v := range pod.Spec.Volumes {
		path := ""
		if v.NFS != nil {
			path = v.NFS.Path
		}
		if v.CSI != nil {
			if m, err := volume.ParseContext(v.CSI.VolumeAttributes); err == nil {
				path = m.Path
			}
		}
		if path != "" {
			n.Mounts = append(n.Mounts, inventory.Mount{Pod: pod.Namespace + "/" + pod.Name, Path: path})
		}
	}
}
