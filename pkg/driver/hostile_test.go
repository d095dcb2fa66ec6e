package driver_test

import (
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// hostile is text that whoever writes a claim, a volume, a class, a snapshot or a call may put where we expect something else.
var hostile = []string{
	"", " ", ".", "..", "/", "//", "../..", "../../etc", "a/../../b", "a/..", "/etc/passwd", "a//b", `..\..\x`, `a\b`,
	"a\x00b", "\x00", "a\nb", "a\r\nb", "a\x1b[2Jb", "a\u009b2Jb", "a\u202eb", "a\u2028b", "caf\xe9", "\xff\xfe",
	"#", "##", "####", "a#b#c#d#e#f", "srv#e#../x##", "srv#..#a##", "srv#e#a#../x#", "srv####", "srv#e###", "srv#e#.nfs-csi##", "srv#e#.NFS-csi/volumes/x##",
	"nfs.example#exports/k8s#../x#../x#pvc-1", "nfs.example#exports/k8s#..#..#..",
	".nfs-csi", ".nfs-csi/trash", "a/.nfs-csi", "srv#e#a/.nfs-csi/snapshots/x##", "${", "${}", "${pvc.metadata.name", "${pvc.metadata.annotations.none}", "${.PVC.annotations.evil}", "$(reboot)", "`reboot`", "a;b", "%s%n%p",
	"fd00::1%eth0#x", "fe80::1%a,b=c", "[::1", "-o", "srv:2049", "a b", "-1", "1e400", "0x10", "9999999999999999999999", "NaN", "777h777h777h",
	strings.Repeat("x", 256), strings.Repeat("a/", 400), strings.Repeat("x", 10<<10), strings.Repeat("x#", 5<<10), strings.Repeat("${.PVC.name}", 900), strings.Repeat("é", 5<<10),
}

// TestHostileStrings puts each of these in place of every single string, map key and map value of every call of the controller.
// Nothing crashes, what is answered can be shown to people, and nothing reaches the store that is not strictly below a share.
func TestHostileStrings(t *testing.T) {
	c, store := hostileController(t)
	calls := 0
	for _, r := range honestRequests() {
		for leaf := range stringsOf(r) {
			for _, text := range hostile {
				request := proto.Clone(r)
				stringsOf(request)[leaf](text)
				checkAnswer(t, fmt.Sprintf("%T.%s = %.40q", r, leaf, text), call(t, c, request))
				calls++
			}
		}
	}
	checkAsked(t, store)
	if calls < 2000 {
		t.Errorf("only %d calls were tried", calls)
	}
}

// TestHostileNumbers does the same with sizes.
func TestHostileNumbers(t *testing.T) {
	c, store := hostileController(t)
	for _, required := range []int64{0, -1, 1, math.MinInt64, math.MaxInt64} {
		for _, limit := range []int64{0, -1, 1, math.MinInt64, math.MaxInt64} {
			for _, r := range []proto.Message{
				with(createRequest("pvc-1"), func(r *csi.CreateVolumeRequest) {
					r.CapacityRange = &csi.CapacityRange{RequiredBytes: required, LimitBytes: limit}
				}),
				&csi.ControllerExpandVolumeRequest{VolumeId: absentID, CapacityRange: &csi.CapacityRange{RequiredBytes: required, LimitBytes: limit}},
				&csi.ListVolumesRequest{MaxEntries: int32(required)},
				&csi.ListSnapshotsRequest{MaxEntries: int32(limit)},
			} {
				checkAnswer(t, fmt.Sprint(r), call(t, c, r))
			}
		}
	}
	for _, r := range drivertest.Asked[volume.Request](store) {
		if r.RequiredBytes < 0 || r.LimitBytes < 0 || r.LimitBytes > 0 && r.LimitBytes < r.RequiredBytes {
			t.Errorf("asked for %d to %d bytes", r.RequiredBytes, r.LimitBytes)
		}
	}
}

// FuzzController calls the controller with any texts as handles and parameters.
func FuzzController(f *testing.F) {
	f.Add("srv#e#a#b#delete", "subDir", "${.PVC.annotations.x}", "../..")
	f.Add("srv#e#s#s#v", "server", "fe80::1%eth0", "")
	f.Fuzz(func(t *testing.T, handle, key, value, annotation string) {
		store := new(drivertest.Store)
		c := driver.NewController(store, volume.Defaults{Server: "srv", Share: "/e"}, slog.New(slog.DiscardHandler))
		create := createRequest("pvc-1")
		create.Parameters = map[string]string{key: value, volume.ParamAnnotationPrefix + "x": annotation}
		for _, r := range []proto.Message{
			create, with(createRequest("pvc-2"), func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = fromVolume(handle) }),
			&csi.DeleteVolumeRequest{VolumeId: handle, Secrets: map[string]string{key: value}},
			&csi.DeleteSnapshotRequest{SnapshotId: handle, Secrets: map[string]string{key: value}},
			&csi.CreateSnapshotRequest{Name: annotation, SourceVolumeId: handle, Parameters: map[string]string{key: value}},
			&csi.ControllerModifyVolumeRequest{VolumeId: handle, MutableParameters: map[string]string{key: value}},
		} {
			checkAnswer(t, fmt.Sprintf("%T", r), call(t, c, r))
		}
		checkAsked(t, store)
	})
}

func hostileController(t *testing.T) (*driver.Controller, *drivertest.Store) {
	t.Helper()
	store := new(drivertest.Store)
	c := driver.NewController(store, volume.Defaults{}, slog.New(slog.DiscardHandler))
	if err := call(t, c, createRequest("pvc-0")); err != nil {
		t.Fatal(err)
	}
	return c, store
}

// honestRequests is one of each call of the controller with every string set.
func honestRequests() []proto.Message {
	secrets, mode := map[string]string{"mountOptions": "vers=4.1", "other": "x"}, capability(anyMode, "vers=4.1")
	const handle, snapshot = "nfs.example#exports/k8s#pvc-0##", absentSnapshot
	return []proto.Message{
		with(createRequest("pvc-1"), func(r *csi.CreateVolumeRequest) {
			r.Secrets, r.VolumeCapabilities[0] = secrets, mode
			r.MutableParameters = map[string]string{"onDelete": "retain"}
			r.Parameters = map[string]string{
				"server": "nfs.example", "share": "/exports", "subDir": "${.PVC.namespace}/${.PVC.annotations.evil}-${.PVC.labels.evil}", "onDelete": "delete",
				"mountPermissions": "0770", "uid": "1", "gid": "2", "onExisting": "adopt", "archiveRetention": "1h", "capacityCheck": "strict", "capacityReserve": "5%",
				volume.ParamClaimName: "claim", volume.ParamClaimNamespace: "ns", volume.ParamVolumeName: "pvc-1",
				volume.ParamAnnotationPrefix + "evil": "x", volume.ParamLabelPrefix + "evil": "y",
			}
		}),
		with(createRequest("pvc-2"), func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = fromVolume(handle) }),
		with(createRequest("pvc-3"), func(r *csi.CreateVolumeRequest) { r.VolumeContentSource = fromSnapshot(snapshot) }),
		with(createRequest("pvc-4"), func(r *csi.CreateVolumeRequest) {
			r.Parameters["pathPattern"] = "${.PVC.annotations.evil}"
			r.Parameters[volume.ParamAnnotationPrefix+"evil"] = "x"
		}),
		&csi.DeleteVolumeRequest{VolumeId: absentID, Secrets: secrets},
		&csi.ValidateVolumeCapabilitiesRequest{VolumeId: handle, VolumeCapabilities: []*csi.VolumeCapability{mode}, Parameters: class(), VolumeContext: class(), Secrets: secrets},
		&csi.ControllerGetVolumeRequest{VolumeId: handle},
		&csi.ListVolumesRequest{StartingToken: "a"},
		&csi.GetCapacityRequest{Parameters: class(), VolumeCapabilities: []*csi.VolumeCapability{mode}},
		&csi.ControllerExpandVolumeRequest{VolumeId: handle, CapacityRange: &csi.CapacityRange{RequiredBytes: 1}, Secrets: secrets, VolumeCapability: mode},
		&csi.ControllerModifyVolumeRequest{VolumeId: handle, MutableParameters: map[string]string{"onDelete": "retain"}, Secrets: secrets},
		&csi.CreateSnapshotRequest{Name: "s", SourceVolumeId: handle, Parameters: map[string]string{"server": "nfs.example", "mountOptions": "hard"}, Secrets: secrets},
		&csi.DeleteSnapshotRequest{SnapshotId: snapshot, Secrets: secrets},
		&csi.GetSnapshotRequest{SnapshotId: snapshot, Secrets: secrets},
		&csi.ListSnapshotsRequest{SnapshotId: snapshot, SourceVolumeId: handle, StartingToken: "a", Secrets: secrets},
	}
}

// stringsOf are the strings of m, wherever they are, each with how to set it.
func stringsOf(m proto.Message) map[string]func(string) {
	found := map[string]func(string){}
	collect("", m.ProtoReflect(), found)
	return found
}

func collect(path string, m protoreflect.Message, found map[string]func(string)) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := path + string(f.Name())
		isText := f.Kind() == protoreflect.StringKind
		switch {
		case f.IsMap():
			entries := v.Map()
			entries.Range(func(k protoreflect.MapKey, old protoreflect.Value) bool {
				found[name+"["+k.String()+"]"] = func(s string) { entries.Set(k, protoreflect.ValueOfString(s)) }
				found[name+" key "+k.String()] = func(s string) {
					entries.Clear(k)
					entries.Set(protoreflect.ValueOfString(s).MapKey(), old)
				}
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				if isText {
					found[fmt.Sprint(name, i)] = func(s string) { v.List().Set(i, protoreflect.ValueOfString(s)) }
				} else if f.Message() != nil {
					collect(fmt.Sprint(name, i, "."), v.List().Get(i).Message(), found)
				}
			}
		case isText:
			found[name] = func(s string) { m.Set(f, protoreflect.ValueOfString(s)) }
		case f.Message() != nil:
			collect(name+".", v.Message(), found)
		}
		return true
	})
}

// call calls the method of the controller or the node that takes r.
func call(t *testing.T, c any, r proto.Message) error {
	t.Helper()
	name := strings.TrimSuffix(string(r.ProtoReflect().Descriptor().Name()), "Request")
	method := reflect.ValueOf(c).MethodByName(name)
	if !method.IsValid() {
		t.Fatalf("%T has no %s", c, name)
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), reflect.ValueOf(r)})
	err, _ := out[1].Interface().(error)
	return err
}

// answers are the codes that a hostile request may get: none says that the fault is ours.
var answers = []codes.Code{codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.Aborted, codes.OutOfRange}

// maxAnswer bounds what one call may answer, in bytes: it is shown in Events and logs.
const maxAnswer = 2100

func checkAnswer(t *testing.T, what string, err error) {
	t.Helper()
	s := status.Convert(err)
	if !slices.Contains(answers, s.Code()) {
		t.Errorf("%s: %v", what, err)
	}
	if text := s.Message(); len(text) > maxAnswer || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		t.Errorf("%s: the answer is %d bytes and cannot be shown: %.120q", what, len(text), text)
	}
}

// checkAsked: what reached the store is below a share, and is told as it is.
func checkAsked(t *testing.T, store *drivertest.Store) {
	t.Helper()
	for _, d := range drivertest.Asked[drivertest.Deletion](store) {
		checkID(t, d.ID)
	}
	for _, e := range drivertest.Asked[drivertest.Expansion](store) {
		checkID(t, e.ID)
	}
	for _, m := range drivertest.Asked[drivertest.Modification](store) {
		checkID(t, m.ID)
	}
	for _, s := range drivertest.Asked[volume.SnapshotRequest](store) {
		checkID(t, s.Source)
		checkSnapshotID(t, s.ID())
	}
	for _, d := range drivertest.Asked[drivertest.SnapshotDeletion](store) {
		checkSnapshotID(t, d.ID)
	}
	for _, r := range drivertest.Asked[volume.Request](store) {
		if id, err := r.ID(); err == nil {
			checkID(t, id)
		}
	}
}

func checkID(t *testing.T, id volume.ID) {
	t.Helper()
	if again, err := volume.ParseID(id.String()); err != nil || again != id {
		t.Errorf("ID %+v is written %q, which is %+v, %v", id, id.String(), again, err)
	}
	checkBelow(t, id.Path(id.Dir), id.Location)
}

func checkSnapshotID(t *testing.T, id volume.SnapshotID) {
	t.Helper()
	if again, err := volume.ParseSnapshotID(id.String()); err != nil || again != id {
		t.Errorf("ID %+v is written %q, which is %+v, %v", id, id.String(), again, err)
	}
	checkBelow(t, id.Path(volume.Dir(id.Name)), id.Location)
}

// checkBelow: path is strictly below the share and not in what is the driver's own there, or on a share below.
func checkBelow(t *testing.T, path string, l volume.Location) {
	t.Helper()
	share := strings.TrimSuffix(l.Share, "/") + "/"
	rest, ok := strings.CutPrefix(path, share)
	elements := strings.Split(rest, "/")
	bad := func(e string) bool {
		return e == "" || e == "." || e == ".." || strings.EqualFold(e, volume.Reserved) || strings.ContainsAny(e, "\x00\n\\")
	}
	if !ok || slices.ContainsFunc(elements, bad) {
		t.Errorf("%q is not strictly below %s", path, l)
	}
}
