package snapshotting

import (
	"sync"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"github.com/kubernetes-csi/external-snapshotter/v8/pkg/utils"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// begun are the snapshots of which something may be on their share although the cluster has no handle of them yet, by their names.
// The library takes a refusal for the end of what it has asked for, and lets go a snapshot that is deleted then; but a server that
// refuses us shows nothing of what an earlier call has left.
type begun struct {
	contents func() []*snapshotv1.VolumeSnapshotContent // those that the informer knows

	mu    sync.Mutex
	names map[string]bool
}

// recall counts those that an earlier process was making when it ended.
func (b *begun) recall() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.contents() {
		if metav1.HasAnnotation(c.ObjectMeta, utils.AnnVolumeSnapshotBeingCreated) {
			b.names[nameOf(c)] = true
		}
	}
}

// prune forgets those that have their handle, by which they are deleted, or whose content is gone.
func (b *begun) prune() {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := map[string]bool{}
	for _, c := range b.contents() {
		if name := nameOf(c); b.names[name] && (c.Status == nil || c.Status.SnapshotHandle == nil) {
			kept[name] = true
		}
	}
	b.names = kept
}

// outcome is err, what CreateSnapshot answers for the snapshot name, as the library is to take it. Nothing is left on a share that
// has no such source, or no room: the driver has looked there, and taken back what it had made.
func (b *begun) outcome(name string, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch status.Code(err) {
	case codes.OK, codes.Aborted, codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		b.names[name] = true
		return err
	case codes.NotFound:
		delete(b.names, name)
		return err
	case codes.ResourceExhausted: // for the library that is a copy which may go on: nobody could delete the snapshot before there is room
		delete(b.names, name)
		return status.Error(codes.FailedPrecondition, status.Convert(err).Message())
	case codes.Internal, codes.Unknown:
		b.names[name] = true
	}
	if b.names[name] {
		return status.Error(codes.Unavailable, status.Convert(err).Message())
	}
	return err
}

// nameOf is what the library calls the snapshot of a content.
func nameOf(c *snapshotv1.VolumeSnapshotContent) string {
	return namePrefix + "-" + string(c.Spec.VolumeSnapshotRef.UID)
}
