package driver_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestNodePublishVolume(t *testing.T) {
	f := newFixture(t)
	r := publishRequest("any text is a handle", "/pods/1/mount/")
	r.VolumeCapability = capability(anyMode, "vers=4.1,hard")
	r.VolumeContext["mountOptions"] = "nconnect=2"
	r.VolumeContext["csi.storage.k8s.io/pod.name"] = "web-0"
	for range 2 {
		if _, err := f.NodePublishVolume(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]drivertest.Mounted{"/pods/1/mount": {Mountpoint: volume.Mountpoint{
		Location: volume.Location{Server: "nfs.example", Share: "/exports/k8s"},
		Path:     "/exports/k8s/data",
		Options:  []string{"vers=4.1", "hard", "nconnect=2"},
	}}}
	if got := f.mounter.Mounts(); !reflect.DeepEqual(got, want) {
		t.Errorf("mounted %v, want %v", got, want)
	}
	_, err := f.NodePublishVolume(t.Context(), with(r, func(r *csi.NodePublishVolumeRequest) { r.Readonly = true }))
	expect(t, err, codes.AlreadyExists)
}

// The access mode says nothing of it: kubelet sends the first of a list.
func TestNodePublishVolumeReadOnly(t *testing.T) {
	for _, mode := range []csi.VolumeCapability_AccessMode_Mode{
		csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER,
		csi.VolumeCapability_AccessMode_MULTI_NODE_SINGLE_WRITER,
		csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY,
		csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY,
	} {
		for _, asked := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, asked), func(t *testing.T) {
				f := newFixture(t)
				r := publishRequest("v", "/target")
				r.VolumeCapability, r.Readonly = capability(mode), asked
				if _, err := f.NodePublishVolume(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				if got := f.mounter.Mounts()["/target"].ReadOnly; got != asked {
					t.Errorf("read-only %v", got)
				}
			})
		}
	}
}

func TestNodePublishVolumeRefuses(t *testing.T) {
	f := newFixture(t)
	for name, tt := range map[string]struct {
		change func(*csi.NodePublishVolumeRequest)
		words  []string
	}{
		"nothing given": {func(r *csi.NodePublishVolumeRequest) { *r = csi.NodePublishVolumeRequest{} },
			[]string{"volume ID is missing", "target path is missing", "capability is missing", "server is missing"}},
		"relative target": {func(r *csi.NodePublishVolumeRequest) { r.TargetPath = "some/path" }, []string{"not an absolute path"}},
		"dotted target":   {func(r *csi.NodePublishVolumeRequest) { r.TargetPath = "/pods/../etc" }, []string{"not an absolute path"}},
		"root as target":  {func(r *csi.NodePublishVolumeRequest) { r.TargetPath = "//" }, []string{"not an absolute path"}},
		"block": {func(r *csi.NodePublishVolumeRequest) {
			r.VolumeCapability.AccessType = &csi.VolumeCapability_Block{}
		}, []string{"no block device"}},
		"no mode":          {func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability.AccessMode = nil }, []string{"no access mode"}},
		"mount group":      {func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability.GetMount().VolumeMountGroup = "5" }, []string{"mount group"}},
		"escape":           {func(r *csi.NodePublishVolumeRequest) { r.VolumeContext["subdir"] = "../../etc" }, []string{`".."`}},
		"option with NUL":  {func(r *csi.NodePublishVolumeRequest) { r.VolumeContext["mountOptions"] = "a\x00" }, []string{"control character"}},
		"inline ephemeral": {func(r *csi.NodePublishVolumeRequest) { r.VolumeContext["csi.storage.k8s.io/ephemeral"] = "true" }, []string{"inline volumes", "use a claim"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.NodePublishVolume(t.Context(), with(publishRequest("v", "/target"), tt.change))
			expect(t, err, codes.InvalidArgument, tt.words...)
		})
	}
	if m := f.mounter.Mounts(); len(m) != 0 {
		t.Errorf("mounted %v", m)
	}
}

// What a PersistentVolume of csi-driver-nfs says of its directory is done when it is mounted to be written.
func TestNodePublishVolumeOfCSIDriverNFS(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		f := newFixture(t)
		r := publishRequest("nfs-server.default.svc.cluster.local/share##", "/target")
		r.VolumeContext = map[string]string{"Server": "nfs.example", "SHARE": "/exports/k8s", "SubDir": "${pvc.metadata.namespace}/x",
			"csi.storage.k8s.io/pvc/namespace": "ns", "mountPermissions": "0770", "MountOptions": "nolock", "uid": "1000", "onDelete": "archive"}
		r.Readonly = readOnly
		if _, err := f.NodePublishVolume(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		want := volume.Mountpoint{Location: volume.Location{Server: "nfs.example", Share: "/exports/k8s"}, Path: "/exports/k8s/ns/x", Options: []string{"nolock"}}
		if !readOnly {
			want.Root = &volume.Root{Mode: 0o770, UID: 1000, GID: -1}
		}
		if got := f.mounter.Mounts()["/target"].Mountpoint; !reflect.DeepEqual(got, want) {
			t.Errorf("mounted %+v, want %+v", got, want)
		}
	}
}

// A predecessor's PersistentVolume may name a local file system's type.
func TestNodePublishVolumePassesOverFsType(t *testing.T) {
	f := newFixture(t)
	r := publishRequest("v", "/target")
	r.VolumeCapability.GetMount().FsType = "ext4"
	if _, err := f.NodePublishVolume(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// The table of access modes in the CSI spec, NodePublishVolume: T1 != T2.
func TestSecondTarget(t *testing.T) {
	for mode, want := range map[csi.VolumeCapability_AccessMode_Mode]codes.Code{
		csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER:        codes.FailedPrecondition,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY:   codes.FailedPrecondition,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER: codes.FailedPrecondition,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER:  codes.OK,
		csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY:    codes.OK,
		csi.VolumeCapability_AccessMode_MULTI_NODE_SINGLE_WRITER:  codes.OK,
		csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER:   codes.OK,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			f := newFixture(t)
			publish := func(id, target string) error {
				_, err := f.NodePublishVolume(t.Context(), with(publishRequest(id, target), func(r *csi.NodePublishVolumeRequest) {
					r.VolumeCapability = capability(mode)
				}))
				return err
			}
			expect(t, publish("v", "/one"), codes.OK)
			expect(t, publish("v", "/one"), codes.OK)
			expect(t, publish("other", "/three"), codes.OK)
			expect(t, publish("v", "/two"), want)
			if _, err := f.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: "/one"}); err != nil {
				t.Fatal(err)
			}
			expect(t, publish("v", "/two"), codes.OK)
		})
	}
}

const exclusive = csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER

func exclusiveRequest(target string) *csi.NodePublishVolumeRequest {
	return with(publishRequest("v", target), func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability = capability(exclusive) })
}

// What holds a volume is a mount: neither a publication that failed nor a mount that is gone keeps it from others.
func TestExclusiveIsReleased(t *testing.T) {
	f := newFixture(t)
	f.mounter.Fail(func(context.Context) error { return fmt.Errorf("mounting: %w", volume.ErrUnavailable) })
	_, err := f.NodePublishVolume(t.Context(), exclusiveRequest("/one"))
	expect(t, err, codes.Unavailable)
	f.mounter.Fail(nil)
	_, err = f.NodePublishVolume(t.Context(), exclusiveRequest("/two"))
	expect(t, err, codes.OK)
	_, err = f.NodePublishVolume(t.Context(), exclusiveRequest("/three"))
	expect(t, err, codes.FailedPrecondition, `"/two"`, "unpublish it there first")
	_, err = f.NodePublishVolume(t.Context(), publishRequest("v", "/three"))
	expect(t, err, codes.FailedPrecondition)
	f.mounter.Lose("/two")
	_, err = f.NodePublishVolume(t.Context(), exclusiveRequest("/three"))
	expect(t, err, codes.OK)
}

// A failed second publication at the same target, and a failed unpublication, leave the first where it is.
func TestExclusiveSurvivesFailure(t *testing.T) {
	f := newFixture(t)
	_, err := f.NodePublishVolume(t.Context(), exclusiveRequest("/one"))
	expect(t, err, codes.OK)
	_, err = f.NodePublishVolume(t.Context(), publishRequest("v2", "/one"))
	expect(t, err, codes.OK) // the same directory under another handle: the same mount
	_, err = f.NodePublishVolume(t.Context(), with(exclusiveRequest("/one"), func(r *csi.NodePublishVolumeRequest) { r.Readonly = true }))
	expect(t, err, codes.AlreadyExists)
	f.mounter.Fail(func(context.Context) error { return volume.ErrUnavailable })
	_, err = f.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: "/one"})
	expect(t, err, codes.Unavailable)
	_, err = f.NodePublishVolume(t.Context(), with(exclusiveRequest("/two"), func(r *csi.NodePublishVolumeRequest) { r.VolumeId = "v2" }))
	expect(t, err, codes.FailedPrecondition)
}

// One call at a time works on a target; other targets do not wait for it.
func TestOneCallPerTarget(t *testing.T) {
	f := newFixture(t)
	entered, released := make(chan error, 1), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	f.mounter.Fail(func(context.Context) error {
		entered <- nil
		<-released
		return nil
	})
	first := make(chan error, 1)
	go func() {
		_, err := f.NodePublishVolume(t.Context(), publishRequest("v", "/one"))
		first <- err
	}()
	receive(t, entered)
	f.mounter.Fail(nil)
	_, err := f.NodePublishVolume(t.Context(), publishRequest("v", "/one"))
	expect(t, err, codes.Aborted, "retry")
	_, err = f.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: "/one"})
	expect(t, err, codes.Aborted)
	_, err = f.NodePublishVolume(t.Context(), publishRequest("v", "/two"))
	expect(t, err, codes.OK)
	release()
	expect(t, receive(t, first), codes.OK)
	_, err = f.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: "/one"})
	expect(t, err, codes.OK)
}

func TestNodeUnpublishVolume(t *testing.T) {
	f := newFixture(t)
	if _, err := f.NodePublishVolume(t.Context(), publishRequest("v", "/target")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: "/target"}); err != nil {
			t.Fatal(err)
		}
	}
	if m := f.mounter.Mounts(); len(m) != 0 {
		t.Errorf("still mounted: %v", m)
	}
	for _, target := range []string{"", "some/path", "/", "/a/../b", "/.."} {
		_, err := f.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{TargetPath: target})
		expect(t, err, codes.InvalidArgument, "volume ID is missing", "target path")
	}
}

func TestNodeGetVolumeStats(t *testing.T) {
	f := newFixture(t)
	if _, err := f.NodePublishVolume(t.Context(), publishRequest("v", "/target")); err != nil {
		t.Fatal(err)
	}
	answer, err := f.NodeGetVolumeStats(t.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: "v", VolumePath: "/target/"})
	if err != nil || len(answer.GetUsage()) != 2 {
		t.Fatalf("answer %v, %v", answer, err)
	}
	bytes, inodes := answer.GetUsage()[0], answer.GetUsage()[1]
	if bytes.GetUnit() != csi.VolumeUsage_BYTES || bytes.GetTotal() != 2*drivertest.Available || bytes.GetUsed() != drivertest.Available || bytes.GetAvailable() != drivertest.Available {
		t.Errorf("bytes %v", bytes)
	}
	if inodes.GetUnit() != csi.VolumeUsage_INODES || inodes.GetTotal() != 1000 || inodes.GetUsed() != 1 || inodes.GetAvailable() != 999 {
		t.Errorf("inodes %v", inodes)
	}
	_, err = f.NodeGetVolumeStats(t.Context(), &csi.NodeGetVolumeStatsRequest{})
	expect(t, err, codes.InvalidArgument, "volume ID is missing", "volume path is missing")
	for _, path := range []string{"some/path", "/elsewhere"} {
		_, err = f.NodeGetVolumeStats(t.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: "v", VolumePath: path})
		expect(t, err, codes.NotFound)
	}
}

// A silent server holds a call no longer than its deadline, and is named as the cause.
func TestSilentServer(t *testing.T) {
	f := newFixtureWith(t, driver.Calls{Deadline: 20 * time.Millisecond})
	f.mounter.Fail(func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", volume.ErrUnavailable, ctx.Err())
	})
	_, err := f.NodePublishVolume(t.Context(), publishRequest("v", "/target"))
	expect(t, err, codes.Unavailable, "server is not available")
	_, err = f.NodeGetVolumeStats(t.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: "v", VolumePath: "/target"})
	expect(t, err, codes.Unavailable)
	health, err := f.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "v", VolumePublishPath: "/target"})
	if h := health.GetVolumeHealth(); err != nil || h.GetVolumeId() != "v" || len(h.GetHealthStatuses()) != 1 ||
		h.GetHealthStatuses()[0].GetStatus() != csi.VolumeHealthErrorType_INACCESSIBLE || h.GetHealthStatuses()[0].GetReason() != "ServerNotAnswering" ||
		!strings.Contains(h.GetHealthStatuses()[0].GetMessage(), "server is not available") {
		t.Errorf("health %v, %v", health, err)
	}
	_, err = f.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: "/target"})
	expect(t, err, codes.Unavailable)
}

func TestNodeGetInfo(t *testing.T) {
	f := newFixture(t)
	info, err := f.NodeGetInfo(t.Context(), &csi.NodeGetInfoRequest{})
	if err != nil || info.GetNodeId() != "node-1" || info.GetMaxVolumesPerNode() != 0 || info.GetAccessibleTopology() != nil {
		t.Errorf("info %v, %v", info, err)
	}
}
