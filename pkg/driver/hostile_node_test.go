package driver_test

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/proto"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// TestHostileStringsOnTheNode puts hostile text in place of every string of every call of the node. Nothing crashes, what is
// answered can be shown to people, and nothing is mounted but a clean path of a clean server on a clean target.
func TestHostileStringsOnTheNode(t *testing.T) {
	attributes := map[string]string{
		"server": "nfs.example", "share": "/exports", "subDir": "data/${pvc.metadata.name}", "mountOptions": "vers=4.1,nosuid", "mountPermissions": "0770",
		"uid": "1", "gid": "2", volume.ParamClaimName: "claim", "csi.storage.k8s.io/ephemeral": "false", "csi.storage.k8s.io/pod.name": "web-0",
	}
	requests := []proto.Message{
		&csi.NodePublishVolumeRequest{VolumeId: "v", TargetPath: "/pods/1/mount", VolumeCapability: capability(anyMode, "hard", "timeo=600"), VolumeContext: attributes},
		with(inlineRequest(nil), func(r *csi.NodePublishVolumeRequest) { r.VolumeContext["subDir"] = "data" }),
		&csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: "/pods/1/mount"},
		&csi.NodeGetVolumeStatsRequest{VolumeId: "v", VolumePath: "/pods/1/mount"},
		&csi.NodeGetVolumeHealthRequest{VolumeId: "v", VolumePublishPath: "/pods/1/mount"},
	}
	calls := 0
	for _, r := range requests {
		for leaf := range stringsOf(r) {
			for _, text := range append(hostile, "nfs,addr=192.0.2.66", "nfs example", "nfs.example\nevil", "/exports,rw", "suid,dev", `a"b`, "/pods/../../etc/passwd", "/proc/self/root/etc") {
				m := new(drivertest.Mounter)
				n, err := driver.NewNode(m, "node-1", driver.Inline{{Server: "nas.example", Share: "/home"}})
				if err != nil {
					t.Fatal(err)
				}
				request := proto.Clone(r)
				stringsOf(request)[leaf](text)
				checkAnswer(t, fmt.Sprintf("%T.%s = %.40q", r, leaf, text), call(t, n, request))
				checkMounted(t, m)
				calls++
			}
		}
	}
	if calls < 1000 {
		t.Errorf("only %d calls were tried", calls)
	}
}

func checkMounted(t *testing.T, m *drivertest.Mounter) {
	t.Helper()
	for target, at := range m.Mounts() {
		if !filepath.IsAbs(target) || filepath.Clean(target) != target || target == "/" {
			t.Errorf("mounted on %q", target)
		}
		l, err := volume.ParseLocation(at.Server, "/")
		if err != nil || l.Server != at.Server || !path.IsAbs(at.Path) || path.Clean(at.Path) != at.Path || strings.ContainsAny(at.Path, "\x00\n\\") {
			t.Errorf("mounted %q of %q", at.Path, at.Server)
		}
		for _, o := range at.Options {
			if strings.ContainsFunc(o, func(r rune) bool { return r < ' ' }) {
				t.Errorf("mounted with the option %q", o)
			}
		}
	}
}

// FuzzNodePublish publishes with any attributes, as those of a volume and as those of a pod.
func FuzzNodePublish(f *testing.F) {
	f.Add("srv", "/e", "a/b", "vers=4.1,nosuid", "/pods/1/mount", "v")
	f.Add("fe80::1%eth0", "/e/../x", "${pvc.metadata.name}", `context="a,b"`, "/pods/..", kubeletHandle)
	f.Fuzz(func(t *testing.T, server, share, subDir, options, target, handle string) {
		for _, ephemeral := range []string{"false", "true"} {
			m := new(drivertest.Mounter)
			n, err := driver.NewNode(m, "node-1", driver.Inline{{Server: "srv", Share: "/e"}})
			if err != nil {
				t.Fatal(err)
			}
			r := publishRequest(handle, target)
			r.VolumeContext = map[string]string{"server": server, "share": share, "subDir": subDir, "mountOptions": options, "csi.storage.k8s.io/ephemeral": ephemeral}
			checkAnswer(t, "publishing", call(t, n, r))
			checkMounted(t, m)
			if at, ok := m.Mounts()[target]; ok && ephemeral == "true" {
				if !strings.EqualFold(at.Server, "srv") || at.Path != "/e" && !strings.HasPrefix(at.Path, "/e/") || !slices.Contains(at.Options, "nosuid") {
					t.Errorf("a pod mounted %+v", at)
				}
			}
		}
	})
}
