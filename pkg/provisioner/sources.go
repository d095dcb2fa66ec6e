package provisioner

import (
	"context"
	"fmt"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	snapshots "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"
)

// sources finds what a claim is to be filled from. It asks the API server and not a cache: the claim may be younger than
// what a cache knows of its source, and few claims have one.
//
// Nothing is written to a source. While a copy runs, its source is locked against deletion where the copy is made; a
// finalizer on the source's claim would need the right to change every claim of the cluster.
type sources struct {
	driver    string
	client    kubernetes.Interface
	snapshots snapshots.Interface // nil: snapshots are switched off
}

// waitError says that a source will do later without anybody changing the claim.
type waitError struct{ reason string }

func (e waitError) Error() string { return e.reason }

func wait(format string, a ...any) error { return waitError{fmt.Sprintf(format, a...)} }

// sourcePause is how long a claim rests whose source is not ready.
const sourcePause = 5 * time.Second

// of is the source of a claim, nil if it has none. A [waitError] will pass by itself. An [controller.IgnoredError]: the
// claim is somebody else's, because sources of kinds that are not a CSI driver's belong to volume populators (KEP-1495).
func (s sources) of(ctx context.Context, claim *v1.PersistentVolumeClaim) (*csi.VolumeContentSource, error) {
	ref := claim.Spec.DataSourceRef
	if ref == nil && claim.Spec.DataSource != nil {
		ref = &v1.TypedObjectReference{Kind: claim.Spec.DataSource.Kind, Name: claim.Spec.DataSource.Name, APIGroup: claim.Spec.DataSource.APIGroup}
	}
	if ref == nil {
		return nil, nil
	}
	kind := ref.Kind
	if ref.APIGroup != nil && *ref.APIGroup != "" {
		kind += "." + *ref.APIGroup
	}
	find := map[string]func(context.Context, *v1.PersistentVolumeClaim, string) (*csi.VolumeContentSource, error){
		"PersistentVolumeClaim":                  s.claim,
		"VolumeSnapshot." + snapshotv1.GroupName: s.snapshot,
	}[kind]
	switch {
	case find == nil:
		return nil, &controller.IgnoredError{Reason: fmt.Sprintf("a volume populator makes volumes from %s %q", kind, ref.Name)}
	case ref.Namespace != nil && *ref.Namespace != "" && *ref.Namespace != claim.Namespace:
		return nil, fmt.Errorf("the claim is to be filled from %s %q of namespace %q, and this driver copies within one namespace only: "+
			"make the claim in that namespace, or copy the files in a pod", ref.Kind, ref.Name, *ref.Namespace)
	}
	return find(ctx, claim, ref.Name)
}

// claim is a claim of the same namespace: bound, to a volume of this driver, and no bigger than the new one.
func (s sources) claim(ctx context.Context, claim *v1.PersistentVolumeClaim, name string) (*csi.VolumeContentSource, error) {
	source, err := s.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case errors.IsNotFound(err):
		return nil, wait("the claim is to be filled from claim %q, which does not exist", name)
	case err != nil:
		return nil, fmt.Errorf("looking for claim %q: %w", name, err)
	case source.DeletionTimestamp != nil:
		return nil, fmt.Errorf("the claim is to be filled from claim %q, which is being deleted", name)
	case source.Status.Phase != v1.ClaimBound || source.Spec.VolumeName == "":
		return nil, wait("the claim is to be filled from claim %q, which is not bound to a volume yet", name)
	}
	pv, err := s.client.CoreV1().PersistentVolumes().Get(ctx, source.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("looking for the volume of claim %q: %w", name, err)
	}
	if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != s.driver {
		return nil, fmt.Errorf("the claim is to be filled from claim %q, whose volume %s is not one of the driver %s: copy the files in a pod", name, pv.Name, s.driver)
	}
	if ref := pv.Spec.ClaimRef; ref == nil || ref.UID != source.UID {
		return nil, fmt.Errorf("the claim is to be filled from claim %q, but its volume %s is another claim's", name, pv.Name)
	}
	if err := fits(claim, pv.Spec.Capacity[v1.ResourceStorage], fmt.Sprintf("claim %q", name)); err != nil {
		return nil, err
	}
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{
		Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: pv.Spec.CSI.VolumeHandle}}}, nil
}

// snapshot is a VolumeSnapshot of the same namespace: ready, of this driver, and no bigger than the new volume.
func (s sources) snapshot(ctx context.Context, claim *v1.PersistentVolumeClaim, name string) (*csi.VolumeContentSource, error) {
	if s.snapshots == nil {
		return nil, fmt.Errorf("the claim is to be filled from VolumeSnapshot %q, and snapshots are switched off here: see --snapshotter", name)
	}
	snapshot, err := s.snapshots.SnapshotV1().VolumeSnapshots(claim.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case errors.IsNotFound(err):
		return nil, wait("the claim is to be filled from VolumeSnapshot %q, which does not exist", name)
	case err != nil:
		return nil, fmt.Errorf("looking for VolumeSnapshot %q: %w", name, err)
	case snapshot.DeletionTimestamp != nil:
		return nil, fmt.Errorf("the claim is to be filled from VolumeSnapshot %q, which is being deleted", name)
	}
	status := snapshot.Status
	if status == nil || status.ReadyToUse == nil || !*status.ReadyToUse || status.BoundVolumeSnapshotContentName == nil {
		return nil, wait("the claim is to be filled from VolumeSnapshot %q, which is not ready to use yet", name)
	}
	handle, err := s.handle(ctx, snapshot, *status.BoundVolumeSnapshotContentName)
	if err != nil {
		return nil, err
	}
	if status.RestoreSize != nil {
		if err := fits(claim, *status.RestoreSize, fmt.Sprintf("VolumeSnapshot %q", name)); err != nil {
			return nil, err
		}
	}
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
		Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: handle}}}, nil
}

// handle is what the driver calls a snapshot, which only its content knows. The two must name each other: users write
// VolumeSnapshots, and could name any content.
func (s sources) handle(ctx context.Context, snapshot *snapshotv1.VolumeSnapshot, name string) (string, error) {
	content, err := s.snapshots.SnapshotV1().VolumeSnapshotContents().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("looking for the content of VolumeSnapshot %q: %w", snapshot.Name, err)
	}
	if ref := content.Spec.VolumeSnapshotRef; ref.UID != snapshot.UID || ref.Namespace != snapshot.Namespace || ref.Name != snapshot.Name {
		return "", fmt.Errorf("the claim is to be filled from VolumeSnapshot %q, but its content %s is another snapshot's", snapshot.Name, name)
	}
	if content.Spec.Driver != s.driver {
		return "", fmt.Errorf("the claim is to be filled from VolumeSnapshot %q, which is one of the driver %s, not of %s", snapshot.Name, content.Spec.Driver, s.driver)
	}
	if content.Status == nil || content.Status.SnapshotHandle == nil || *content.Status.SnapshotHandle == "" {
		return "", wait("the claim is to be filled from VolumeSnapshot %q, which is not made yet", snapshot.Name)
	}
	return *content.Status.SnapshotHandle, nil
}

func fits(claim *v1.PersistentVolumeClaim, source resource.Quantity, what string) error {
	asked := claim.Spec.Resources.Requests[v1.ResourceStorage]
	if asked.Cmp(source) >= 0 {
		return nil
	}
	return fmt.Errorf("the claim asks for %s and is to be filled from %s, which has %s: ask for at least as much", asked.String(), what, source.String())
}
