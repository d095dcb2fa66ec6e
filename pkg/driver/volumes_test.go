package driver_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestCreateVolume(t *testing.T) {
	f := newFixture(t)
	r := createRequest("pvc-1")
	r.CapacityRange.LimitBytes = 1 << 30
	r.VolumeCapabilities = []*csi.VolumeCapability{
		capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER, "vers=4.1,hard", "nconnect=2"),
		capability(csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY, "hard"),
	}
	r.Parameters["subDir"] = "team/data"
	r.Parameters["onDelete"] = "archive"
	var first *csi.Volume
	for range 2 {
		answer, err := f.CreateVolume(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = answer.GetVolume()
		}
		if got, want := answer.GetVolume().GetVolumeId(), "nfs.example#exports/k8s#team/data#pvc-1#archive"; got != want {
			t.Errorf("ID %q, want %q", got, want)
		}
	}
	if first.GetCapacityBytes() != 1<<20 {
		t.Errorf("capacity %d", first.GetCapacityBytes())
	}
	if want := map[string]string{"server": "nfs.example", "share": "/exports/k8s", "subDir": "team/data"}; !maps.Equal(first.GetVolumeContext(), want) {
		t.Errorf("volume context %v, want %v", first.GetVolumeContext(), want)
	}
	asked := drivertest.Asked[volume.Request](f.store)[0]
	if want := []string{"vers=4.1", "hard", "nconnect=2"}; !slices.Equal(asked.MountOptions, want) {
		t.Errorf("mount options %q, want %q", asked.MountOptions, want)
	}
	if asked.Name != "pvc-1" || asked.RequiredBytes != 1<<20 || asked.LimitBytes != 1<<30 || asked.Class.Policy != volume.Archive {
		t.Errorf("request %+v", asked)
	}
}

func TestCreateVolumeRefuses(t *testing.T) {
	f := newFixture(t)
	for name, tt := range map[string]struct {
		change func(*csi.CreateVolumeRequest)
		words  []string
	}{
		"no name":           {func(r *csi.CreateVolumeRequest) { r.Name = "" }, []string{"volume name is missing"}},
		"long name":         {func(r *csi.CreateVolumeRequest) { r.Name = strings.Repeat("n", 129) }, []string{"volume name is 129 bytes"}},
		"control character": {func(r *csi.CreateVolumeRequest) { r.Name = "a\x07b" }, []string{"control character"}},
		"no capabilities":   {func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities = nil }, []string{"capabilities are missing"}},
		"null capability":   {func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities[0] = &csi.VolumeCapability{} }, []string{"no access type", "no access mode"}},
		"block": {func(r *csi.CreateVolumeRequest) {
			r.VolumeCapabilities[0].AccessType = &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}
		}, []string{"no block device", "volumeMode Filesystem"}},
		"no mode":      {func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities[0].AccessMode = nil }, []string{"no access mode"}},
		"unknown mode": {func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities[0].AccessMode.Mode = 99 }, []string{"access mode 99"}},
		"second capability": {func(r *csi.CreateVolumeRequest) {
			r.VolumeCapabilities = append(r.VolumeCapabilities, capability(csi.VolumeCapability_AccessMode_UNKNOWN))
		}, []string{"no access mode"}},
		"fsType":         {func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities[0].GetMount().FsType = "ext4" }, []string{`"ext4"`, "leave fsType out"}},
		"mount group":    {func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities[0].GetMount().VolumeMountGroup = "5" }, []string{"mount group", "fsGroup"}},
		"option with LF": {func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities[0].GetMount().MountFlags = []string{"a\nb"} }, []string{"control character"}},
		"options too long": {func(r *csi.CreateVolumeRequest) {
			r.VolumeCapabilities[0].GetMount().MountFlags = []string{strings.Repeat("x", 4097)}
		}, []string{"4097 bytes"}},
		"negative capacity":  {func(r *csi.CreateVolumeRequest) { r.CapacityRange.RequiredBytes = -1 }, []string{"negative"}},
		"negative limit":     {func(r *csi.CreateVolumeRequest) { r.CapacityRange.LimitBytes = -1 }, []string{"negative"}},
		"limit too low":      {func(r *csi.CreateVolumeRequest) { r.CapacityRange.LimitBytes = 5 }, []string{"above its limit 5"}},
		"no server":          {func(r *csi.CreateVolumeRequest) { r.Parameters = nil }, []string{"server and share are missing"}},
		"unknown parameter":  {func(r *csi.CreateVolumeRequest) { r.Parameters["onDelet"] = "retain" }, []string{`"onDelet" is not known`}},
		"escaping directory": {func(r *csi.CreateVolumeRequest) { r.Parameters["subDir"] = "a/../../b" }, []string{`".."`}},
		"mutable parameters": {func(r *csi.CreateVolumeRequest) { r.MutableParameters = map[string]string{"a": "b"} }, []string{`"a" cannot be changed`}},
		"empty source":       {func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = &csi.VolumeContentSource{} }, []string{"neither a volume nor a snapshot"}},
		"unnamed volume":     {func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = fromVolume("") }, []string{"volume ID of the content source is missing"}},
		"unnamed snapshot":   {func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = fromSnapshot("") }, []string{"snapshot ID of the content source is missing"}},
		"bad handle and uid": {func(r *csi.CreateVolumeRequest) {
			r.VolumeContentSource, r.Parameters["uid"] = fromVolume("free text"), "root"
		}, []string{`uid is "root"`, `"free text"`}},
		"three mistakes at once": {func(r *csi.CreateVolumeRequest) {
			r.Name, r.VolumeCapabilities, r.Parameters["uid"] = "", nil, "root"
		}, []string{"volume name is missing", "capabilities are missing", `uid is "root"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateVolume(t.Context(), with(createRequest("pvc-1"), tt.change))
			expect(t, err, codes.InvalidArgument, tt.words...)
		})
	}
	if made := drivertest.Asked[volume.Request](f.store); len(made) != 1 { // the escaping directory is seen when the template is filled
		t.Errorf("requests that reached the volumes: %v", made)
	}
}

func TestCreateVolumeAccepts(t *testing.T) {
	f := newFixture(t)
	for i, change := range []func(*csi.CreateVolumeRequest){
		func(r *csi.CreateVolumeRequest) { r.CapacityRange = nil },
		func(r *csi.CreateVolumeRequest) { r.CapacityRange.LimitBytes = r.CapacityRange.RequiredBytes },
		func(r *csi.CreateVolumeRequest) { r.VolumeCapabilities[0].GetMount().FsType = "NFS4" },
		func(r *csi.CreateVolumeRequest) { r.Name = "Größe 世界 \t" },
		func(r *csi.CreateVolumeRequest) { r.Name = strings.Repeat("n", 128) },
		func(r *csi.CreateVolumeRequest) { r.Secrets = map[string]string{"password": "x"} },
		func(r *csi.CreateVolumeRequest) { r.AccessibilityRequirements = &csi.TopologyRequirement{} },
	} {
		if _, err := f.CreateVolume(t.Context(), with(createRequest(fmt.Sprint("pvc-", i)), change)); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	for mode := range csi.VolumeCapability_AccessMode_Mode_name {
		if mode == 0 {
			continue
		}
		r := createRequest(fmt.Sprint("mode-", mode))
		r.VolumeCapabilities[0].AccessMode.Mode = csi.VolumeCapability_AccessMode_Mode(mode)
		if _, err := f.CreateVolume(t.Context(), r); err != nil {
			t.Errorf("mode %d: %v", mode, err)
		}
	}
}

func fromVolume(handle string) *csi.VolumeContentSource {
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: handle}}}
}

func fromSnapshot(handle string) *csi.VolumeContentSource {
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: handle}}}
}

func TestCreateVolumeFromSource(t *testing.T) {
	f := newFixture(t)
	handle := f.make(t, "pvc-1")
	snapshot, err := f.CreateSnapshot(t.Context(), snapshotRequest("snapshot-1", handle))
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]*csi.VolumeContentSource{"clone": fromVolume(handle), "restored": fromSnapshot(snapshot.GetSnapshot().GetSnapshotId())} {
		r := with(createRequest(name), func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = source })
		for range 2 {
			made, err := f.CreateVolume(t.Context(), r)
			if err != nil || !proto.Equal(made.GetVolume().GetContentSource(), source) {
				t.Errorf("%s: %v, %v", name, made, err)
			}
		}
		_, err := f.CreateVolume(t.Context(), with(r, func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = nil }))
		expect(t, err, codes.AlreadyExists)
		_, err = f.CreateVolume(t.Context(), with(createRequest("small"), func(r *csi.CreateVolumeRequest) {
			r.VolumeContentSource, r.CapacityRange = source, &csi.CapacityRange{LimitBytes: 1}
		}))
		expect(t, err, codes.OutOfRange)
		_, err = f.CreateVolume(t.Context(), with(createRequest("elsewhere"), func(r *csi.CreateVolumeRequest) {
			r.VolumeContentSource, r.Parameters["share"] = source, "/other"
		}))
		expect(t, err, codes.InvalidArgument)
	}
	for _, source := range []*csi.VolumeContentSource{fromVolume("free text"), fromVolume(absentID), fromSnapshot("free text"), fromSnapshot(absentSnapshot),
		fromSnapshot("nfs.example#exports/k8s#../x#../x#pvc-1")} {
		_, err := f.CreateVolume(t.Context(), with(createRequest("pvc-2"), func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = source }))
		expect(t, err, codes.NotFound)
	}
}

// A VolumeAttributesClass takes precedence over the StorageClass.
func TestCreateVolumeMutable(t *testing.T) {
	f := newFixture(t)
	r := createRequest("pvc-1")
	r.Parameters["onDelete"], r.Parameters["gid"] = "delete", "7"
	r.MutableParameters = map[string]string{"onDelete": "retain", "uid": "5"}
	if _, err := f.CreateVolume(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	asked := drivertest.Asked[volume.Request](f.store)[0]
	if c := asked.Class.With(asked.Changes); c.Policy != volume.Retain || c.UID != 5 || c.GID != 7 {
		t.Errorf("asked for %+v", c)
	}
}

func TestCreateVolumeExists(t *testing.T) {
	f := newFixture(t)
	if _, err := f.CreateVolume(t.Context(), createRequest("pvc-1")); err != nil {
		t.Fatal(err)
	}
	_, err := f.CreateVolume(t.Context(), with(createRequest("pvc-1"), func(r *csi.CreateVolumeRequest) { r.CapacityRange.RequiredBytes = 1 << 40 }))
	expect(t, err, codes.AlreadyExists)
	_, err = f.CreateVolume(t.Context(), with(createRequest("pvc-2"), func(r *csi.CreateVolumeRequest) { r.Parameters["subDir"] = "pvc-1" }))
	expect(t, err, codes.AlreadyExists, `"pvc-1"`)
}

func TestDeleteVolume(t *testing.T) {
	f := newFixture(t)
	made, err := f.CreateVolume(t.Context(), createRequest("pvc-1"))
	if err != nil {
		t.Fatal(err)
	}
	id := made.GetVolume().GetVolumeId()
	for range 2 {
		r := &csi.DeleteVolumeRequest{VolumeId: id, Secrets: map[string]string{"MOUNTOPTIONS": `vers=3, nolock,,context="a,b"`, "password": "x"}}
		if _, err := f.DeleteVolume(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.ControllerGetVolume(t.Context(), &csi.ControllerGetVolumeRequest{VolumeId: id}); err == nil {
		t.Error("the volume is still there")
	}
	deletions := drivertest.Asked[drivertest.Deletion](f.store)
	if len(deletions) != 2 || deletions[0].ID.String() != id {
		t.Fatalf("deletions %v", deletions)
	}
	if want := []string{"vers=3", "nolock", `context="a,b"`}; !slices.Equal(deletions[0].MountOptions, want) {
		t.Errorf("mount options %q, want %q", deletions[0].MountOptions, want)
	}
}

// Handles that name no directory strictly below a share: static volumes, and attacks of the past (CVE-2026-3864).
func TestDeleteVolumeLeavesAlone(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{
		"fake-vol-id", "my-static-volume", "nfs-server.default.svc.cluster.local/share##",
		"server#share#../../etc#pvc-1#", "server#share#a/../b#pvc-1#", "server#share#.#pvc-1#", "server##..##", "server#../x#a##",
		"server#share#a#../../b#", `server#share#a\..\b##`, "server#share#a#b#c#d", "server#share#a##purge",
		"server#share#.nfs-csi##", "server#share#.nfs-csi/volumes##", "server#share#team/.nfs-csi/snapshots##", "se rver#share#a##", "#share#a##", strings.Repeat("x", 5000),
	} {
		if _, err := f.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: id}); err != nil {
			t.Errorf("DeleteVolume(%q): %v", id, err)
		}
	}
	for _, id := range []string{"server#share##", "server#share###", "server####retain"} {
		_, err := f.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: id})
		expect(t, err, codes.InvalidArgument, "share itself", "Retain")
	}
	if d := drivertest.Asked[drivertest.Deletion](f.store); len(d) != 0 {
		t.Errorf("deleted %v", d)
	}
	_, err := f.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{})
	expect(t, err, codes.InvalidArgument, "volume ID is missing")
	_, err = f.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: "s#e#d##", Secrets: map[string]string{"mountOptions": "secret\x00"}})
	expect(t, err, codes.InvalidArgument, "control character")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the secret: %v", err)
	}
}

func TestValidateVolumeCapabilities(t *testing.T) {
	f := newFixture(t)
	made, err := f.CreateVolume(t.Context(), createRequest("pvc-1"))
	if err != nil {
		t.Fatal(err)
	}
	request := func() *csi.ValidateVolumeCapabilitiesRequest {
		return &csi.ValidateVolumeCapabilitiesRequest{
			VolumeId:           made.GetVolume().GetVolumeId(),
			VolumeContext:      maps.Clone(made.GetVolume().GetVolumeContext()),
			VolumeCapabilities: []*csi.VolumeCapability{capability(anyMode)},
			Parameters:         class(),
			MutableParameters:  map[string]string{"uid": "5"},
		}
	}
	answer, err := f.ValidateVolumeCapabilities(t.Context(), request())
	if c := answer.GetConfirmed(); err != nil || len(c.GetVolumeCapabilities()) != 1 || len(c.GetParameters()) != 2 || len(c.GetVolumeContext()) != 3 || c.GetMutableParameters()["uid"] != "5" {
		t.Errorf("confirmed %v, %v", c, err)
	}
	for name, tt := range map[string]struct {
		change  func(*csi.ValidateVolumeCapabilitiesRequest)
		message string
	}{
		"block": {func(r *csi.ValidateVolumeCapabilitiesRequest) {
			r.VolumeCapabilities[0].AccessType = &csi.VolumeCapability_Block{}
		}, "no block device"},
		"other directory": {func(r *csi.ValidateVolumeCapabilitiesRequest) { r.VolumeContext["subDir"] = "other" }, "nfs.example:/exports/k8s/other"},
		"no server":       {func(r *csi.ValidateVolumeCapabilitiesRequest) { delete(r.VolumeContext, "server") }, "server is missing"},
		"parameters":      {func(r *csi.ValidateVolumeCapabilitiesRequest) { r.Parameters["x"] = "y" }, `"x" is not known`},
		"mutable":         {func(r *csi.ValidateVolumeCapabilitiesRequest) { r.MutableParameters = class() }, `"server" cannot be changed`},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := f.ValidateVolumeCapabilities(t.Context(), with(request(), tt.change))
			if err != nil || answer.GetConfirmed() != nil || !strings.Contains(answer.GetMessage(), tt.message) {
				t.Errorf("answer %v, %v, want the message %q", answer, err, tt.message)
			}
		})
	}
	_, err = f.ValidateVolumeCapabilities(t.Context(), &csi.ValidateVolumeCapabilitiesRequest{})
	expect(t, err, codes.InvalidArgument, "volume ID is missing", "volume capabilities are missing")
	for _, id := range []string{"free text", absentID} {
		_, err := f.ValidateVolumeCapabilities(t.Context(), with(request(), func(r *csi.ValidateVolumeCapabilitiesRequest) { r.VolumeId = id }))
		expect(t, err, codes.NotFound)
	}
}

func TestListVolumes(t *testing.T) {
	f := newFixture(t)
	var want []string
	for i := range 5 {
		made, err := f.CreateVolume(t.Context(), createRequest(fmt.Sprint("pvc-", i)))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, made.GetVolume().GetVolumeId())
	}
	for _, size := range []int32{0, 1, 2, 5, 9} {
		var got []string
		for token := ""; ; {
			answer, err := f.ListVolumes(t.Context(), &csi.ListVolumesRequest{MaxEntries: size, StartingToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range answer.GetEntries() {
				got = append(got, e.GetVolume().GetVolumeId())
			}
			if token = answer.GetNextToken(); token == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", size, got, want)
		}
	}
	_, err := f.ListVolumes(t.Context(), &csi.ListVolumesRequest{StartingToken: "invalid-token"})
	expect(t, err, codes.Aborted, "invalid-token")
	_, err = f.ListVolumes(t.Context(), &csi.ListVolumesRequest{MaxEntries: -1})
	expect(t, err, codes.InvalidArgument, "-1")
}

func TestGetCapacity(t *testing.T) {
	f := newFixture(t)
	answer, err := f.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: class(), VolumeCapabilities: []*csi.VolumeCapability{capability(anyMode, "port=5")}})
	if err != nil || answer.GetAvailableCapacity() != drivertest.Available || answer.GetMaximumVolumeSize().GetValue() != drivertest.Available {
		t.Errorf("answer %v, %v", answer, err)
	}
	_, err = f.GetCapacity(t.Context(), &csi.GetCapacityRequest{})
	expect(t, err, codes.InvalidArgument, "server and share are missing")
	if asked := drivertest.Asked[drivertest.Measurement](f.store); len(asked) != 1 || !slices.Equal(asked[0].MountOptions, []string{"port=5"}) {
		t.Errorf("asked for %v", asked)
	}
	reserved := class()
	reserved["capacityReserve"] = "25%" // of the whole, which is twice what is available
	answer, err = f.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: reserved})
	if err != nil || answer.GetAvailableCapacity() != drivertest.Available/2 {
		t.Errorf("with a reserve: %v, %v", answer, err)
	}
	block := &csi.VolumeCapability{AccessType: &csi.VolumeCapability_Block{}, AccessMode: capability(anyMode).GetAccessMode()}
	_, err = f.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: class(), VolumeCapabilities: []*csi.VolumeCapability{block}})
	expect(t, err, codes.InvalidArgument, "no block device")

	byDefault := driver.NewController(f.store, volume.Defaults{Server: "s", Share: "/e"}, drivertest.Log(t))
	if _, err := byDefault.GetCapacity(t.Context(), &csi.GetCapacityRequest{}); err != nil {
		t.Errorf("with the install's defaults: %v", err)
	}
}

func TestControllerGetVolume(t *testing.T) {
	f := newFixture(t)
	made, err := f.CreateVolume(t.Context(), createRequest("pvc-1"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := f.ControllerGetVolume(t.Context(), &csi.ControllerGetVolumeRequest{VolumeId: made.GetVolume().GetVolumeId()})
	if err != nil || answer.GetVolume().String() != made.GetVolume().String() || answer.GetStatus() == nil {
		t.Errorf("got %v, %v, want %v", answer, err, made.GetVolume())
	}
	_, err = f.ControllerGetVolume(t.Context(), &csi.ControllerGetVolumeRequest{})
	expect(t, err, codes.InvalidArgument, "volume ID is missing")
	for _, id := range []string{"free text", absentID} {
		_, err = f.ControllerGetVolume(t.Context(), &csi.ControllerGetVolumeRequest{VolumeId: id})
		expect(t, err, codes.NotFound)
	}
}
