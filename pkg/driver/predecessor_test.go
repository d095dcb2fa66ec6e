package driver_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

var parameterRow = regexp.MustCompile("(?m)^\\| `([A-Za-z0-9./-]+): (.+?)` \\| (.+) \\|$")

// guideTable is one of the guide's tables of parameters.
func guideTable(t *testing.T, head string) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/migrate-from-csi-driver-nfs.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| "+head+" | here |\n| --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	table, _, _ = strings.Cut(table, "<!--")
	rows := parameterRow.FindAllStringSubmatch(table, -1)
	if lines := strings.Count("\n"+table, "\n| `"); lines != len(rows) || lines == 0 {
		t.Fatalf("of %s %d rows are read of %d", head, len(rows), lines)
	}
	return rows
}

// spellings of a key: as typed, in lower case and in upper case. Keys of Kubernetes' own have one.
func spellings(key string) []string {
	if strings.Contains(key, "/") {
		return []string{key}
	}
	return []string{key, strings.ToLower(key), strings.ToUpper(key)}
}

// tryRow judges one row: ask makes the request with this parameter and answers what the driver made of it.
func tryRow(t *testing.T, row []string, ask func(f fixture, key, value string) (any, error)) {
	key, value, verdict := row[1], row[2], row[3]
	for _, spelt := range spellings(key) {
		got, err := ask(newFixture(t), spelt, value)
		plain, plainErr := ask(newFixture(t), "", "")
		if plainErr != nil {
			t.Fatal(plainErr)
		}
		refused, isRefused := strings.CutPrefix(verdict, "refused: ")
		switch {
		case isRefused:
			refused = strings.Replace(strings.Trim(refused, "`"), `"`+key+`"`, `"`+spelt+`"`, 1)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), refused) {
				t.Errorf("%s: %v, without %q", spelt, err, refused)
			}
		case err != nil:
			t.Errorf("%s: %v", spelt, err)
		case strings.HasPrefix(verdict, "no effect"):
			if !reflect.DeepEqual(got, plain) {
				t.Errorf("%s: got %+v, without it %+v", spelt, got, plain)
			}
		case verdict != "same":
			t.Errorf("what does %q mean?", verdict)
		case reflect.DeepEqual(got, plain) && !inert(key, value):
			t.Errorf("%s has no effect: %+v", spelt, got)
		}
	}
}

// inert are values that csi-driver-nfs has for the default, names of secrets, which are others' to read, and what the snapshot's
// volume says already.
func inert(key, value string) bool {
	return strings.Contains(key, "/") || value == "delete" || value == "0" || value == "nfs.example" || value == "/exports/k8s"
}

func TestClassesOfCSIDriverNFS(t *testing.T) {
	for _, row := range guideTable(t, "StorageClass") {
		t.Run(row[1]+": "+row[2], func(t *testing.T) {
			tryRow(t, row, func(f fixture, key, value string) (any, error) {
				r := createRequest("pvc-1")
				r.Parameters = map[string]string{volume.ParamClaimName: "c", volume.ParamClaimNamespace: "ns", volume.ParamVolumeName: "pvc-1"}
				for k, v := range class() {
					if !strings.EqualFold(k, key) {
						r.Parameters[k] = v
					}
				}
				if key != "" {
					r.Parameters[key] = value
				}
				if _, err := f.CreateVolume(t.Context(), r); err != nil {
					return nil, err
				}
				return drivertest.Asked[volume.Request](f.store)[0], nil
			})
		})
	}
}

func TestSnapshotClassesOfCSIDriverNFS(t *testing.T) {
	for _, row := range guideTable(t, "VolumeSnapshotClass") {
		t.Run(row[1]+": "+row[2], func(t *testing.T) {
			tryRow(t, row, func(f fixture, key, value string) (any, error) {
				r := snapshotRequest("snapshot-1", f.make(t, "pvc-1"))
				if key != "" {
					r.Parameters = map[string]string{key: value}
				}
				if _, err := f.CreateSnapshot(t.Context(), r); err != nil {
					return nil, err
				}
				return drivertest.Asked[volume.SnapshotRequest](f.store)[0], nil
			})
		})
	}
}

func TestAttributesOfCSIDriverNFS(t *testing.T) {
	for _, row := range guideTable(t, "volumeAttributes") {
		t.Run(row[1]+": "+row[2], func(t *testing.T) {
			tryRow(t, row, func(f fixture, key, value string) (any, error) {
				r := publishRequest("any text", "/target")
				r.VolumeContext = map[string]string{volume.ParamClaimName: "c"}
				for k, v := range map[string]string{"server": "other.example", "share": "/other"} {
					if !strings.EqualFold(k, key) {
						r.VolumeContext[k] = v
					}
				}
				if key != "" {
					r.VolumeContext[key] = value
				}
				if _, err := f.NodePublishVolume(t.Context(), r); err != nil {
					return nil, err
				}
				return f.mounter.Mounts()["/target"], nil
			})
		})
	}
}

// Handles as every version of csi-driver-nfs wrote them, and the volume that each is deleted as.
func TestHandlesOfCSIDriverNFS(t *testing.T) {
	at := func(server, share string) volume.Location { return volume.Location{Server: server, Share: share} }
	for handle, want := range map[string]volume.ID{
		"srv#exports/k8s#pvc-1##":                {Location: at("srv", "/exports/k8s"), Dir: "pvc-1", Policy: volume.Delete},
		"srv#exports/k8s#pvc-1##retain":          {Location: at("srv", "/exports/k8s"), Dir: "pvc-1", Policy: volume.Retain},
		"srv#exports/k8s#ns/claim#pvc-1#archive": {Location: at("srv", "/exports/k8s"), Dir: "ns/claim", UUID: "pvc-1", Policy: volume.Archive},
		"srv#exports/k8s#ns/claim#pvc-1":         {Location: at("srv", "/exports/k8s"), Dir: "ns/claim", UUID: "pvc-1", Policy: volume.Delete},
		"srv#exports/k8s#pvc-1":                  {Location: at("srv", "/exports/k8s"), Dir: "pvc-1", Policy: volume.Delete},
		"srv/exports/k8s/pvc-1":                  {Location: at("srv", "/exports/k8s"), Dir: "pvc-1", Policy: volume.Delete},
		"srv##pvc-1##":                           {Location: at("srv", "/"), Dir: "pvc-1", Policy: volume.Delete},
		"srv##ns/claim#pvc-1#retain":             {Location: at("srv", "/"), Dir: "ns/claim", UUID: "pvc-1", Policy: volume.Retain},
		"fd00::1#e#pvc-1##":                      {Location: at("fd00::1", "/e"), Dir: "pvc-1", Policy: volume.Delete},
		"fd00::1/e/pvc-1":                        {Location: at("fd00::1", "/e"), Dir: "pvc-1", Policy: volume.Delete},
		"srv#e#${unknown}/a#pvc-1#":              {Location: at("srv", "/e"), Dir: "${unknown}/a", UUID: "pvc-1", Policy: volume.Delete},
	} {
		f := newFixture(t)
		if _, err := f.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: handle, Secrets: map[string]string{"MOUNTOPTIONS": "nolock,vers=3"}}); err != nil {
			t.Errorf("%s: %v", handle, err)
			continue
		}
		got := drivertest.Asked[drivertest.Deletion](f.store)
		if len(got) != 1 || got[0].ID != want || !reflect.DeepEqual(got[0].MountOptions, []string{"nolock", "vers=3"}) {
			t.Errorf("%s: deleted %+v, want %+v", handle, got, want)
		}
	}
}

// A handle that does not say what becomes of its directory leaves it to the install, as with csi-driver-nfs, whose default may keep it.
func TestDefaultOnDeleteOfCSIDriverNFS(t *testing.T) {
	store := new(drivertest.Store)
	c := driver.NewController(store, volume.Defaults{Policy: volume.Retain}, drivertest.Log(t))
	for handle, want := range map[string]volume.Policy{
		"srv#e#pvc-1##": volume.Retain, "srv#e#a#pvc-1": volume.Retain, "srv#e#pvc-1": volume.Retain, "srv/e/pvc-1": volume.Retain,
		"srv#e#pvc-1##archive": volume.Archive, "srv#e#pvc-1##delete": volume.Delete,
	} {
		if _, err := c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: handle}); err != nil {
			t.Errorf("%s: %v", handle, err)
		}
		if d := drivertest.Asked[drivertest.Deletion](store); len(d) == 0 || d[len(d)-1].ID.Policy != want {
			t.Errorf("%s: deleted %+v, want %s", handle, d, want)
		}
	}
}
