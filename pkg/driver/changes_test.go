package driver_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func expandRequest(id string, required int64) *csi.ControllerExpandVolumeRequest {
	return &csi.ControllerExpandVolumeRequest{VolumeId: id, CapacityRange: &csi.CapacityRange{RequiredBytes: required}, VolumeCapability: capability(anyMode)}
}

func modifyRequest(id, key, value string) *csi.ControllerModifyVolumeRequest {
	return &csi.ControllerModifyVolumeRequest{VolumeId: id, MutableParameters: map[string]string{key: value}}
}

func TestControllerExpandVolume(t *testing.T) {
	f := newFixture(t)
	id := f.make(t, "pvc-1")
	for _, step := range []struct{ required, want int64 }{{5 << 20, 5 << 20}, {5 << 20, 5 << 20}, {1, 5 << 20}} {
		answer, err := f.ControllerExpandVolume(t.Context(), expandRequest(id, step.required))
		if err != nil || answer.GetCapacityBytes() != step.want || answer.GetNodeExpansionRequired() {
			t.Errorf("expanded to %d: %v, %v", step.required, answer, err)
		}
	}
	r := expandRequest(id, 1)
	r.VolumeCapability, r.Secrets = capability(anyMode, "vers=4.1"), map[string]string{"mountOptions": "port=5"}
	if _, err := f.ControllerExpandVolume(t.Context(), r); err != nil {
		t.Error(err)
	}
	if asked, want := drivertest.Asked[drivertest.Expansion](f.store)[3], []string{"vers=4.1", "port=5"}; !slices.Equal(asked.MountOptions, want) {
		t.Errorf("mount options %q, want %q", asked.MountOptions, want)
	}
	_, err := f.ControllerExpandVolume(t.Context(), with(expandRequest(id, 1), func(r *csi.ControllerExpandVolumeRequest) { r.CapacityRange.LimitBytes = 2 }))
	expect(t, err, codes.OutOfRange)
	for _, id := range []string{absentID, "free text"} {
		_, err := f.ControllerExpandVolume(t.Context(), expandRequest(id, 1))
		expect(t, err, codes.NotFound)
	}
}

func TestControllerExpandVolumeRefuses(t *testing.T) {
	f := newFixture(t)
	id := f.make(t, "pvc-1")
	for name, tt := range map[string]struct {
		change func(*csi.ControllerExpandVolumeRequest)
		words  []string
	}{
		"nothing given": {func(r *csi.ControllerExpandVolumeRequest) { *r = csi.ControllerExpandVolumeRequest{} },
			[]string{"volume ID is missing", "capacity range is missing"}},
		"empty range":   {func(r *csi.ControllerExpandVolumeRequest) { r.CapacityRange.RequiredBytes = 0 }, []string{"capacity range is missing"}},
		"negative size": {func(r *csi.ControllerExpandVolumeRequest) { r.CapacityRange.RequiredBytes = -1 }, []string{"negative"}},
		"limit too low": {func(r *csi.ControllerExpandVolumeRequest) { r.CapacityRange.LimitBytes = 5 }, []string{"above its limit 5"}},
		"block": {func(r *csi.ControllerExpandVolumeRequest) {
			r.VolumeCapability.AccessType = &csi.VolumeCapability_Block{}
		}, []string{"no block device"}},
		"secret option":          {func(r *csi.ControllerExpandVolumeRequest) { r.Secrets = map[string]string{"mountOptions": "a\x00b"} }, []string{"control character"}},
		"static volume, no size": {func(r *csi.ControllerExpandVolumeRequest) { r.VolumeId, r.CapacityRange = "free text", nil }, []string{"capacity range is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.ControllerExpandVolume(t.Context(), with(expandRequest(id, 5<<20), tt.change))
			expect(t, err, codes.InvalidArgument, tt.words...)
		})
	}
	if asked := drivertest.Asked[drivertest.Expansion](f.store); len(asked) != 0 {
		t.Errorf("expanded: %v", asked)
	}
}

func TestControllerModifyVolume(t *testing.T) {
	f := newFixture(t)
	id := f.make(t, "pvc-1")
	for range 2 {
		r := modifyRequest(id, "ONDELETE", "Archive")
		r.Secrets = map[string]string{"mountOptions": "port=5"}
		if _, err := f.ControllerModifyVolume(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	want := volume.Unchanged()
	want.Policy = volume.Archive
	if asked := drivertest.Asked[drivertest.Modification](f.store); len(asked) != 2 || asked[0].ID.String() != id || !reflect.DeepEqual(asked[0].Changes, want) || !slices.Equal(asked[0].MountOptions, []string{"port=5"}) {
		t.Errorf("modified: %+v", asked)
	}
	for _, id := range []string{absentID, "free text"} {
		_, err := f.ControllerModifyVolume(t.Context(), modifyRequest(id, "uid", "5"))
		expect(t, err, codes.NotFound)
	}
	_, err := f.ControllerModifyVolume(t.Context(), &csi.ControllerModifyVolumeRequest{})
	expect(t, err, codes.InvalidArgument, "volume ID is missing", "mutable parameters are missing")
	r := modifyRequest(absentID, "subDir", "elsewhere")
	r.MutableParameters["uid"] = "root"
	_, err = f.ControllerModifyVolume(t.Context(), r)
	expect(t, err, codes.InvalidArgument, `"subDir" cannot be changed`, `uid is "root"`)
	if asked := drivertest.Asked[drivertest.Modification](f.store); len(asked) != 3 {
		t.Errorf("modified: %+v", asked)
	}
}
