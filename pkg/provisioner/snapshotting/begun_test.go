package snapshotting

import (
	"maps"
	"slices"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"
)

// What the driver answers in turn, and what the library hears last.
func TestOutcomes(t *testing.T) {
	const refused = codes.PermissionDenied
	for _, tt := range []struct {
		answers []codes.Code
		want    codes.Code
	}{
		{[]codes.Code{refused}, refused},
		{[]codes.Code{refused, refused}, refused},
		{[]codes.Code{codes.Aborted}, codes.Aborted},
		{[]codes.Code{codes.Internal}, codes.Unavailable},
		{[]codes.Code{codes.Aborted, refused}, codes.Unavailable},
		{[]codes.Code{codes.DeadlineExceeded, codes.InvalidArgument}, codes.Unavailable},
		{[]codes.Code{codes.Unavailable, codes.FailedPrecondition, refused}, codes.Unavailable},
		{[]codes.Code{codes.Canceled, codes.AlreadyExists}, codes.Unavailable},
		{[]codes.Code{codes.OK, refused}, codes.Unavailable}, // made, and its handle could not be saved
		{[]codes.Code{codes.Aborted, codes.NotFound}, codes.NotFound},
		{[]codes.Code{codes.Aborted, codes.NotFound, refused}, refused},
		{[]codes.Code{codes.Aborted, codes.ResourceExhausted}, codes.FailedPrecondition},
		{[]codes.Code{codes.Aborted, codes.ResourceExhausted, refused}, refused},
	} {
		b := &begun{names: map[string]bool{"another": true}}
		var err error
		for _, code := range tt.answers {
			err = b.outcome("x", status.Error(code, "as it is"))
		}
		if s := status.Convert(err); s.Code() != tt.want || s.Message() != "as it is" {
			t.Errorf("after %v the library hears %v, want %v", tt.answers, err, tt.want)
		}
		if !b.names["another"] {
			t.Errorf("%v say something of another snapshot", tt.answers)
		}
	}
}

// What is remembered is what the cluster has no handle of, and no longer than it has a content.
func TestBegunAreForgotten(t *testing.T) {
	handle := "server#share#s#s#data"
	of := func(uid types.UID, change func(*snapshotv1.VolumeSnapshotContent)) *snapshotv1.VolumeSnapshotContent {
		return content(string(uid), testDriver, func(c *snapshotv1.VolumeSnapshotContent) { c.Spec.VolumeSnapshotRef.UID = uid; change(c) })
	}
	var known []*snapshotv1.VolumeSnapshotContent
	b := &begun{contents: func() []*snapshotv1.VolumeSnapshotContent { return known }, names: map[string]bool{}}
	known = []*snapshotv1.VolumeSnapshotContent{
		of("new", func(*snapshotv1.VolumeSnapshotContent) {}),
		of("begun", func(c *snapshotv1.VolumeSnapshotContent) { c.Annotations = map[string]string{beingCreated: "yes"} }),
		of("failed", func(c *snapshotv1.VolumeSnapshotContent) {
			c.Annotations, c.Status = map[string]string{beingCreated: "yes"}, &snapshotv1.VolumeSnapshotContentStatus{}
		}),
		of("saved", func(c *snapshotv1.VolumeSnapshotContent) {
			c.Annotations, c.Status = map[string]string{beingCreated: "yes"}, &snapshotv1.VolumeSnapshotContentStatus{SnapshotHandle: &handle}
		}),
	}
	b.recall()
	_ = b.outcome("snapshot-gone", status.Error(codes.Aborted, "copying"))
	for _, want := range [][]string{{"snapshot-begun", "snapshot-failed"}, {}} {
		b.prune()
		if got := slices.Sorted(maps.Keys(b.names)); !slices.Equal(got, want) {
			t.Errorf("remembered are %v, want %v", got, want)
		}
		known = nil
	}
}
