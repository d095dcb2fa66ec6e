package driver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func snapshotRequest(name, source string) *csi.CreateSnapshotRequest {
	return &csi.CreateSnapshotRequest{Name: name, SourceVolumeId: source}
}

// snapshot makes a snapshot.
func (f fixture) snapshot(t *testing.T, name, source string) *csi.Snapshot {
	t.Helper()
	made, err := f.CreateSnapshot(t.Context(), snapshotRequest(name, source))
	if err != nil {
		t.Fatal(err)
	}
	return made.GetSnapshot()
}

func TestCreateSnapshot(t *testing.T) {
	f := newFixture(t)
	source := f.make(t, "pvc-1")
	r := snapshotRequest("snapshot-1", source)
	r.Parameters = map[string]string{
		"Server": "NFS.example", "SHARE": "exports/k8s/", "mountoptions": "vers=4.1,hard", "csi.storage.k8s.io/volumesnapshot/name": "mine",
	}
	r.Secrets = map[string]string{"mountOptions": "port=5", "password": "x"}
	first, err := f.CreateSnapshot(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	s := first.GetSnapshot()
	if s.GetSnapshotId() != "nfs.example#exports/k8s#snapshot-1#snapshot-1#pvc-1" || s.GetSourceVolumeId() != source || s.GetSizeBytes() != 1<<20 ||
		!s.GetReadyToUse() || time.Since(s.GetCreationTime().AsTime()) > time.Hour {
		t.Errorf("snapshot %v", s)
	}
	again, err := f.CreateSnapshot(t.Context(), r)
	if err != nil || !proto.Equal(again, first) {
		t.Errorf("made again: %v, %v, want %v", again, err, first)
	}
	asked := drivertest.Asked[volume.SnapshotRequest](f.store)[0]
	if want := []string{"vers=4.1", "hard", "port=5"}; !slices.Equal(asked.MountOptions, want) || asked.Name != "snapshot-1" || asked.Source.String() != source {
		t.Errorf("asked for %+v, want the mount options %q", asked, want)
	}
	_, err = f.CreateSnapshot(t.Context(), snapshotRequest("snapshot-1", f.make(t, "pvc-2")))
	expect(t, err, codes.AlreadyExists)
	for _, id := range []string{absentID, "free text", "nfs.example#exports/k8s#../../etc##"} {
		_, err := f.CreateSnapshot(t.Context(), snapshotRequest("snapshot-2", id))
		expect(t, err, codes.NotFound)
	}
}

func TestCreateSnapshotRefuses(t *testing.T) {
	f := newFixture(t)
	source := f.make(t, "pvc-1")
	parameter := func(key, value string) func(*csi.CreateSnapshotRequest) {
		return func(r *csi.CreateSnapshotRequest) { r.Parameters = map[string]string{key: value} }
	}
	for name, tt := range map[string]struct {
		change func(*csi.CreateSnapshotRequest)
		words  []string
	}{
		"nothing given":     {func(r *csi.CreateSnapshotRequest) { *r = csi.CreateSnapshotRequest{} }, []string{"snapshot name is missing", "source volume ID is missing"}},
		"long name":         {func(r *csi.CreateSnapshotRequest) { r.Name = strings.Repeat("n", 129) }, []string{"snapshot name is 129 bytes"}},
		"control character": {func(r *csi.CreateSnapshotRequest) { r.Name = "a\x07b" }, []string{"control character"}},
		"unknown parameter": {parameter("onDelete", "retain"), []string{`"onDelete" of the VolumeSnapshotClass is not known`}},
		// The class of snapshots must not lead to another place than where the volume is.
		"other server":  {parameter("server", "other.example"), []string{"names other.example:/exports/k8s", "leave out server and share"}},
		"other share":   {parameter("Share", "/exports"), []string{"names nfs.example:/exports,", "leave out server and share"}},
		"parent share":  {parameter("share", "/exports/k8s/.."), []string{`".."`}},
		"empty share":   {parameter("share", ""), []string{"share is missing"}},
		"bad server":    {parameter("server", "a b"), []string{`"a b"`}},
		"option":        {parameter("mountOptions", "a\x00"), []string{"control character"}},
		"many options":  {parameter("mountOptions", strings.Repeat("x", 4097)), []string{"4097 bytes"}},
		"secret option": {func(r *csi.CreateSnapshotRequest) { r.Secrets = map[string]string{"mountOptions": "a\nb"} }, []string{"control character"}},
		"two mistakes at once": {func(r *csi.CreateSnapshotRequest) {
			r.Name, r.Parameters = "", map[string]string{"a": "b", "server": "other.example"}
		}, []string{"snapshot name is missing", `"a" of`, "names other.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CreateSnapshot(t.Context(), with(snapshotRequest("snapshot-1", source), tt.change))
			expect(t, err, codes.InvalidArgument, tt.words...)
		})
	}
	if asked := drivertest.Asked[volume.SnapshotRequest](f.store); len(asked) != 0 {
		t.Errorf("requests that reached the store: %v", asked)
	}
}

func TestDeleteSnapshot(t *testing.T) {
	f := newFixture(t)
	id := f.snapshot(t, "snapshot-1", f.make(t, "pvc-1")).GetSnapshotId()
	for range 2 {
		r := &csi.DeleteSnapshotRequest{SnapshotId: id, Secrets: map[string]string{"mountoptions": "vers=3,nolock"}}
		if _, err := f.DeleteSnapshot(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.GetSnapshot(t.Context(), &csi.GetSnapshotRequest{SnapshotId: id})
	expect(t, err, codes.NotFound)
	deletions := drivertest.Asked[drivertest.SnapshotDeletion](f.store)
	if want := []string{"vers=3", "nolock"}; len(deletions) != 2 || deletions[0].ID.String() != id || !slices.Equal(deletions[0].MountOptions, want) {
		t.Errorf("deletions %v, want the mount options %q", deletions, want)
	}
}

// Handles that name no snapshot of ours, among them attacks of the past on csi-driver-nfs.
func TestDeleteSnapshotLeavesAlone(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{
		"reallyfakesnapshotid", "server#share#a#a", "server#share###b", "server#share#a#b#c", "server#share#..#..#pvc-1", "server#share#a/../..#a/../..#pvc-1",
		"server#share#.nfs-csi#.nfs-csi#pvc-1", "server#..#a#a#pvc-1", "server#share#a#a#../../etc", "server#share#a#a#", "#share#a#a#b", `server#share#..\x#..\x#pvc-1`,
		strings.Repeat("x", 5000),
	} {
		if _, err := f.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: id}); err != nil {
			t.Errorf("DeleteSnapshot(%q): %v", id, err)
		}
	}
	if d := drivertest.Asked[drivertest.SnapshotDeletion](f.store); len(d) != 0 {
		t.Errorf("deleted %v", d)
	}
	_, err := f.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{})
	expect(t, err, codes.InvalidArgument, "snapshot ID is missing")
	_, err = f.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: absentSnapshot, Secrets: map[string]string{"mountOptions": "a\x00"}})
	expect(t, err, codes.InvalidArgument, "control character")
}

func TestGetSnapshot(t *testing.T) {
	f := newFixture(t)
	made := f.snapshot(t, "snapshot-1", f.make(t, "pvc-1"))
	f.snapshot(t, "snapshot-2", made.GetSourceVolumeId())
	answer, err := f.GetSnapshot(t.Context(), &csi.GetSnapshotRequest{SnapshotId: made.GetSnapshotId()})
	if err != nil || !proto.Equal(answer.GetSnapshot(), made) {
		t.Errorf("got %v, %v, want %v", answer, err, made)
	}
	_, err = f.GetSnapshot(t.Context(), &csi.GetSnapshotRequest{Secrets: map[string]string{"mountOptions": "a\x00b"}})
	expect(t, err, codes.InvalidArgument, "snapshot ID is missing", "control character")
	for _, id := range []string{"free text", absentSnapshot} {
		_, err := f.GetSnapshot(t.Context(), &csi.GetSnapshotRequest{SnapshotId: id})
		expect(t, err, codes.NotFound)
	}
}

// Of a snapshot that csi-driver-nfs made, the handle of the volume is not known: its name has to do.
func TestGetSnapshotOfPredecessor(t *testing.T) {
	f := newFixture(t)
	const handle = "nfs.example#exports/k8s#snapshot-1#snapshot-1#team/data"
	id, err := volume.ParseSnapshotID(handle)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.PutSnapshot(id); err != nil {
		t.Fatal(err)
	}
	answer, err := f.GetSnapshot(t.Context(), &csi.GetSnapshotRequest{SnapshotId: handle})
	if s := answer.GetSnapshot(); err != nil || s.GetSnapshotId() != handle || s.GetSourceVolumeId() != "team/data" || !s.GetReadyToUse() {
		t.Errorf("got %v, %v", answer, err)
	}
}

func TestListSnapshots(t *testing.T) {
	f := newFixture(t)
	one, two := f.make(t, "pvc-1"), f.make(t, "pvc-2")
	var all []string
	for i := range 5 {
		all = append(all, f.snapshot(t, fmt.Sprint("snapshot-", i), one).GetSnapshotId())
	}
	other := f.snapshot(t, "snapshot-5", two).GetSnapshotId()
	for name, tt := range map[string]struct {
		request *csi.ListSnapshotsRequest
		want    []string
	}{
		"all":            {&csi.ListSnapshotsRequest{}, append(slices.Clone(all), other)},
		"in pages":       {&csi.ListSnapshotsRequest{MaxEntries: 2}, append(slices.Clone(all), other)},
		"one":            {&csi.ListSnapshotsRequest{SnapshotId: all[3]}, all[3:4]},
		"of one volume":  {&csi.ListSnapshotsRequest{SourceVolumeId: one, MaxEntries: 3}, all},
		"contradiction":  {&csi.ListSnapshotsRequest{SourceVolumeId: one, SnapshotId: other}, nil},
		"absent":         {&csi.ListSnapshotsRequest{SnapshotId: absentSnapshot}, nil},
		"of absent":      {&csi.ListSnapshotsRequest{SourceVolumeId: absentID}, nil},
		"no snapshot ID": {&csi.ListSnapshotsRequest{SnapshotId: "free text"}, nil},
		"no volume ID":   {&csi.ListSnapshotsRequest{SourceVolumeId: "free text", SnapshotId: other}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for r := tt.request; ; {
				answer, err := f.ListSnapshots(t.Context(), r)
				if err != nil || r.GetMaxEntries() > 0 && len(answer.GetEntries()) > int(r.GetMaxEntries()) {
					t.Fatalf("answer %v, %v", answer, err)
				}
				for _, e := range answer.GetEntries() {
					got = append(got, e.GetSnapshot().GetSnapshotId())
				}
				if r.StartingToken = answer.GetNextToken(); r.StartingToken == "" {
					break
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("listed %v, want %v", got, tt.want)
			}
		})
	}
	_, err := f.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{StartingToken: "invalid-token"})
	expect(t, err, codes.Aborted, "invalid-token")
	_, err = f.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{MaxEntries: -1, Secrets: map[string]string{"mountOptions": "a\x00b"}})
	expect(t, err, codes.InvalidArgument, "-1", "control character")
	_, err = f.ListSnapshots(t.Context(), &csi.ListSnapshotsRequest{SnapshotId: other, Secrets: map[string]string{"mountOptions": "vers=3,port=5"}})
	expect(t, err, codes.OK)
	if filters, want := drivertest.Asked[volume.SnapshotFilter](f.store), []string{"vers=3", "port=5"}; !slices.Equal(filters[len(filters)-1].MountOptions, want) {
		t.Errorf("filters %+v, want the last with the mount options %q", filters, want)
	}
}
