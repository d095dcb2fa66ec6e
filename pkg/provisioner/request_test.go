package provisioner

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestParameters(t *testing.T) {
	claim := newClaim("data", "nfs", testDriver)
	claim.Labels = map[string]string{"app": "db", "tier": "back"}
	claim.Annotations["example.com/path"] = "a/b"
	names := map[string]string{
		"csi.storage.k8s.io/pvc/name": "data", "csi.storage.k8s.io/pvc/namespace": "default", "csi.storage.k8s.io/pv/name": "pvc-1",
	}
	cases := map[string]struct{ class, want map[string]string }{
		"none": {nil, nil},
		"kept": {map[string]string{"server": "s", "bogus": "b"}, map[string]string{"server": "s", "bogus": "b"}},
		"asked for": {
			map[string]string{"subDir": "${pvc.metadata.labels.app}/${pvc.metadata.annotations.example.com/path}/${pvc.metadata.labels.none:-x}"},
			map[string]string{"subDir": "${pvc.metadata.labels.app}/${pvc.metadata.annotations.example.com/path}/${pvc.metadata.labels.none:-x}",
				"csi.storage.k8s.io/pvc/labels/app": "db", "csi.storage.k8s.io/pvc/annotations/example.com/path": "a/b"},
		},
		"predecessor": {
			map[string]string{"pathPattern": "${.PVC.labels.tier}"},
			map[string]string{"pathPattern": "${.PVC.labels.tier}", "csi.storage.k8s.io/pvc/labels/tier": "back"},
		},
		"spoofed": {
			map[string]string{"csi.storage.k8s.io/pvc/name": "other", "CSI.storage.k8s.io/pvc/labels/app": "x", "csi.storage.k8s.io/provisioner-secret-name": "s", "csi.storage.k8s.io/fstype": "nfs"},
			nil,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			before := maps.Clone(test.class)
			want := maps.Clone(names)
			maps.Copy(want, test.want)
			if got := parameters(test.class, "pvc-1", claim, volume.Defaults{}); !maps.Equal(got, want) {
				t.Errorf("parameters are %v, not %v", got, want)
			}
			if !maps.Equal(before, test.class) {
				t.Errorf("the class's own map became %v", test.class)
			}
		})
	}
}

func TestCapabilities(t *testing.T) {
	want := map[v1.PersistentVolumeAccessMode]csi.VolumeCapability_AccessMode_Mode{
		v1.ReadWriteOnce:    csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER,
		v1.ReadWriteOncePod: csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
		v1.ReadOnlyMany:     csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY,
		v1.ReadWriteMany:    csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER,
		"ReadWriteSometime": csi.VolumeCapability_AccessMode_UNKNOWN,
	}
	for mode, csiMode := range want {
		c := capabilities([]v1.PersistentVolumeAccessMode{v1.ReadWriteMany, mode}, []string{"hard"})
		if len(c) != 2 || c[1].GetAccessMode().GetMode() != csiMode || c[1].GetMount().GetMountFlags()[0] != "hard" {
			t.Errorf("%s becomes %v", mode, c)
		}
	}
}

func TestRequestSize(t *testing.T) {
	for size, bytes := range map[string]int64{"100Mi": 100 << 20, "1Gi": 1 << 30, "1": 1, "1500m": 2, "1G": 1e9} {
		claim := newClaim("data", "nfs", testDriver)
		claim.Spec.Resources.Requests[v1.ResourceStorage] = resource.MustParse(size)
		r := createRequest(controller.ProvisionOptions{PVC: claim, StorageClass: newClass("nfs", testDriver), PVName: "pvc-1"}, volume.Defaults{})
		if got := r.GetCapacityRange().GetRequiredBytes(); got != bytes || r.GetName() != "pvc-1" {
			t.Errorf("%s asks for %d bytes under the name %q", size, got, r.GetName())
		}
	}
}

func TestPersistentVolume(t *testing.T) {
	retain := v1.PersistentVolumeReclaimRetain
	class := newClass("nfs", testDriver)
	class.ReclaimPolicy = &retain
	claim := newClaim("data", "nfs", testDriver)
	claim.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadOnlyMany}
	o := controller.ProvisionOptions{PVC: claim, StorageClass: class, PVName: "pvc-1"}
	r := createRequest(o, volume.Defaults{})

	pv, err := persistentVolume(testDriver, o, r, answer(r).GetVolume())
	if err != nil {
		t.Fatal(err)
	}
	s := pv.Spec
	if pv.Name != "pvc-1" || s.PersistentVolumeReclaimPolicy != retain || strings.Join(s.MountOptions, ",") != "nfsvers=4.1,hard" ||
		*s.VolumeMode != v1.PersistentVolumeFilesystem || s.AccessModes[0] != v1.ReadOnlyMany || s.NodeAffinity != nil {
		t.Errorf("volume is %v", pv)
	}
	if s.CSI.ReadOnly || s.CSI.VolumeAttributes["subDir"] != "pvc-1" || s.CSI.FSType != "" {
		t.Errorf("source is %v", s.CSI)
	}
}

func TestCapacity(t *testing.T) {
	cases := map[string]struct {
		asked string
		made  int64
		want  string // empty: an error
	}{
		"same":         {"1Gi", 1 << 30, "1Gi"},
		"claim's text": {"1500M", 1500e6, "1500M"},
		"not known":    {"20Mi", 0, "20Mi"},
		"more":         {"20Mi", 1 << 30, "1Gi"},
		"less":         {"20Mi", 1, ""},
	}
	for name, test := range cases {
		claim := newClaim("data", "nfs", testDriver)
		claim.Spec.Resources.Requests[v1.ResourceStorage] = resource.MustParse(test.asked)
		q := resource.MustParse(test.asked)
		got, err := capacityOf(claim, q.Value(), test.made)
		if (err != nil) != (test.want == "") || err == nil && got.String() != test.want {
			t.Errorf("%s: capacity %s, error %v", name, got.String(), err)
		}
	}
}

func TestAnswerWithoutID(t *testing.T) {
	o := controller.ProvisionOptions{PVC: newClaim("data", "nfs", testDriver), StorageClass: newClass("nfs", testDriver), PVName: "pvc-1"}
	if _, err := persistentVolume(testDriver, o, createRequest(o, volume.Defaults{}), nil); err == nil {
		t.Error("no error")
	}
}

func TestStateOf(t *testing.T) {
	background := map[codes.Code]bool{codes.Canceled: true, codes.Unknown: true, codes.DeadlineExceeded: true, codes.Aborted: true,
		codes.Internal: true, codes.Unavailable: true, codes.DataLoss: true}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		want := controller.ProvisioningFinished
		if background[code] {
			want = controller.ProvisioningInBackground
		}
		if got := stateOf(status.Error(code, "")); got != want {
			t.Errorf("%s: %s, not %s", code, got, want)
		}
	}
	if got := stateOf(errors.New("no status")); got != controller.ProvisioningInBackground {
		t.Errorf("an error without a code: %s", got)
	}
}

func TestReadable(t *testing.T) {
	cases := map[string]string{
		"plain":                        "plain",
		"bad \xff byte":                "bad ? byte",
		strings.Repeat("é", 600):       strings.Repeat("é", 400) + "...",
		"x" + strings.Repeat("é", 600): "x" + strings.Repeat("é", 399) + "...",
	}
	for text, want := range cases {
		got := readable(status.Error(codes.Internal, text)).Error()
		if got != want || !utf8.ValidString(got) {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
	if got := readable(status.Error(codes.DeadlineExceeded, "late")).Error(); !strings.Contains(got, "does not answer") || !strings.HasSuffix(got, "late") {
		t.Errorf("a silent server is shown as %q", got)
	}
}

// The template of classes that have none may ask for labels too.
func TestParametersOfTheDefaultTemplate(t *testing.T) {
	template, err := volume.ParseTemplate("${pvc.metadata.labels.team}/${pv.metadata.name}")
	if err != nil {
		t.Fatal(err)
	}
	claim := newClaim("data", "nfs", testDriver)
	claim.Labels = map[string]string{"team": "red", "other": "x"}
	defaults := volume.Defaults{Template: template}
	if got := parameters(nil, "pvc-1", claim, defaults); got[volume.ParamLabelPrefix+"team"] != "red" || len(got) != 4 {
		t.Errorf("the parameters are %v", got)
	}
	if got := parameters(map[string]string{"subDir": "x"}, "pvc-1", claim, defaults); len(got) != 4 || got["subDir"] != "x" {
		t.Errorf("with a template of the class's own: %v", got)
	}
}
