package driver_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

var sentinels = map[string]struct {
	err  error
	code codes.Code
}{
	"ErrInvalid":     {volume.ErrInvalid, codes.InvalidArgument},
	"ErrRange":       {volume.ErrRange, codes.OutOfRange},
	"ErrExists":      {volume.ErrExists, codes.AlreadyExists},
	"ErrNotFound":    {volume.ErrNotFound, codes.NotFound},
	"ErrBusy":        {volume.ErrBusy, codes.Aborted},
	"ErrUnavailable": {volume.ErrUnavailable, codes.Unavailable},
	"ErrRefused":     {volume.ErrRefused, codes.PermissionDenied},
	"ErrNoSpace":     {volume.ErrNoSpace, codes.ResourceExhausted},
	"ErrReadOnly":    {volume.ErrReadOnly, codes.FailedPrecondition},
	"ErrUnsupported": {volume.ErrUnsupported, codes.FailedPrecondition},
	"ErrToken":       {volume.ErrToken, codes.Aborted},
	"ErrShareItself": {volume.ErrShareItself, codes.InvalidArgument},
}

// Every error that an implementation may answer reaches the caller with its code, from every call.
func TestCodes(t *testing.T) {
	f := newFixture(t)
	cases := map[string]struct {
		err  error
		code codes.Code
	}{
		"deadline":      {context.DeadlineExceeded, codes.DeadlineExceeded},
		"cancellation":  {context.Canceled, codes.Canceled},
		"anything else": {errors.New("surprise"), codes.Internal},
		"two at once":   {errors.Join(context.DeadlineExceeded, volume.ErrUnavailable), codes.Unavailable},
	}
	for name, s := range sentinels {
		cases[name] = s
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			fail := func(context.Context) error { return fmt.Errorf("doing it:\n%w: caf\xe9", tt.err) }
			f.store.Fail(fail)
			f.mounter.Fail(fail)
			for call, err := range everyCall(t.Context(), f) {
				if s := status.Convert(err); s.Code() != tt.code || !strings.HasPrefix(s.Message(), "doing it:; ") || !strings.HasSuffix(s.Message(), ": caf\uFFFD") {
					t.Errorf("%s: %s, %q, want %s", call, s.Code(), s.Message(), tt.code)
				}
			}
		})
	}
}

// everyCall makes one good call of each kind that reaches the volumes or the mounter.
func everyCall(ctx context.Context, f fixture) map[string]error {
	const id, snapshot = absentID, absentSnapshot
	errs := map[string]error{}
	_, errs["CreateVolume"] = f.CreateVolume(ctx, createRequest("pvc-1"))
	_, errs["DeleteVolume"] = f.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: id})
	_, errs["ValidateVolumeCapabilities"] = f.ValidateVolumeCapabilities(ctx, &csi.ValidateVolumeCapabilitiesRequest{
		VolumeId: id, VolumeCapabilities: []*csi.VolumeCapability{capability(anyMode)},
	})
	_, errs["ListVolumes"] = f.ListVolumes(ctx, &csi.ListVolumesRequest{})
	_, errs["GetCapacity"] = f.GetCapacity(ctx, &csi.GetCapacityRequest{Parameters: class()})
	_, errs["ControllerGetVolume"] = f.ControllerGetVolume(ctx, &csi.ControllerGetVolumeRequest{VolumeId: id})
	_, errs["ControllerExpandVolume"] = f.ControllerExpandVolume(ctx, expandRequest(id, 1))
	_, errs["ControllerModifyVolume"] = f.ControllerModifyVolume(ctx, modifyRequest(id, "uid", "5"))
	_, errs["CreateSnapshot"] = f.CreateSnapshot(ctx, snapshotRequest("snapshot-1", id))
	_, errs["DeleteSnapshot"] = f.DeleteSnapshot(ctx, &csi.DeleteSnapshotRequest{SnapshotId: snapshot})
	_, errs["GetSnapshot"] = f.GetSnapshot(ctx, &csi.GetSnapshotRequest{SnapshotId: snapshot})
	_, errs["ListSnapshots"] = f.ListSnapshots(ctx, &csi.ListSnapshotsRequest{})
	_, errs["NodePublishVolume"] = f.NodePublishVolume(ctx, publishRequest(id, "/target"))
	_, errs["NodeUnpublishVolume"] = f.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: id, TargetPath: "/target"})
	_, errs["NodeGetVolumeStats"] = f.NodeGetVolumeStats(ctx, &csi.NodeGetVolumeStatsRequest{VolumeId: id, VolumePath: "/target"})
	return errs
}

// A sentinel added to pkg/volume must get a code here.
func TestSentinelsAreComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../volume/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for _, name := range spec.Names {
				found++
				if _, ok := sentinels[name.Name]; !ok {
					t.Errorf("volume.%s has no code in status.go, or none in this test", name.Name)
				}
			}
		}
		return true
	})
	if found != len(sentinels) {
		t.Errorf("volume has %d sentinels, this test knows %d", found, len(sentinels))
	}
}

// The provisioner calls the controller without a socket: it gets the same codes.
func TestCodesInProcess(t *testing.T) {
	store := new(drivertest.Store)
	calls := driver.Calls{Log: drivertest.Log(t)}
	c := calls.Controller(driver.NewController(store, volume.Defaults{}, calls.Log))
	_, err := c.CreateVolume(t.Context(), &csi.CreateVolumeRequest{})
	expect(t, err, codes.InvalidArgument, "volume name is missing", "capabilities are missing", "server and share are missing")
	store.Fail(func(context.Context) error { return volume.ErrNoSpace })
	_, err = c.CreateVolume(t.Context(), createRequest("pvc-1"))
	expect(t, err, codes.ResourceExhausted)
	_, err = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: "s#e#d##"})
	expect(t, err, codes.ResourceExhausted)

	store.Fail(func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = c.CreateVolume(ctx, createRequest("pvc-1"))
	expect(t, err, codes.DeadlineExceeded)
}

// TestAnswersCanBeShown: whatever an error quotes, its end with the advice arrives, in bounds and without what a terminal obeys.
func TestAnswersCanBeShown(t *testing.T) {
	f := newFixture(t)
	f.store.Fail(func(context.Context) error {
		return fmt.Errorf("directory %s: %w: do this\n\x1b[2J\u009b", strings.Repeat("é", 5000), volume.ErrExists)
	})
	_, err := f.CreateVolume(t.Context(), createRequest("pvc-1"))
	if text := status.Convert(err).Message(); len(text) > maxAnswer || !strings.HasPrefix(text, "directory éé") ||
		!strings.HasSuffix(text, "exists with other content: do this; \uFFFD[2J\uFFFD") {
		t.Errorf("answered %q", text)
	}
}
