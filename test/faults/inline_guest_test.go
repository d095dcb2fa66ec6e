//go:build guest

package faults_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/moby/sys/mountinfo"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// inline publishes what a pod's author wrote into the pod.
func (n *node) inline(t *testing.T, host, subDir, options string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kubelet)
	defer cancel()
	_, err := n.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{
		VolumeId: "csi-" + strings.Repeat("0", 64), TargetPath: n.target("inline"),
		VolumeContext: map[string]string{"server": host, "share": export, "subDir": subDir, "mountOptions": options, "csi.storage.k8s.io/ephemeral": "true"},
		VolumeCapability: &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
		},
	})
	return err
}

// A pod mounts by itself what the administrator lists, with nosuid and nodev, and nothing else: not by another name of it, not by a
// link that lies there.
func TestInlineVolumes(t *testing.T) {
	s := newServer(t)
	n := newNode(t, "--inline-servers="+s.address+":"+export+"/team")
	s.dir("team/a")
	s.dir("secret")
	s.do("ln -s ../secret " + export + "/team/link && ln -s " + export + "/secret " + export + "/team/absolute")
	if err := n.inline(t, s.address, "team/a", "vers=4.1"); err != nil {
		t.Fatal(err)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(n.target("inline")))
	if err != nil || len(mounts) != 1 || !strings.Contains(mounts[0].Options, "nosuid") || !strings.Contains(mounts[0].Options, "nodev") {
		t.Errorf("mounted %+v, %v", mounts, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := use(ctx, n.target("inline")); err != nil {
		t.Error(err)
	}
	if err := n.cleans(ctx, "inline"); err != nil {
		t.Error(err)
	}
	refused := 0
	attempts := [][2]string{{"secret", ""}, {"team/../secret", ""}, {"team2", ""}, {"team/a", "addr=10.9.9.9"}, {"team/a", "suid"}, {"team/link", ""}, {"team/absolute", ""},
		{"team/link", "vers=3"}, {"team/absolute", "vers=3"}}
	for _, a := range attempts {
		err := n.inline(t, s.address, a[0], a[1])
		t.Log(a, err)
		if code := status.Code(err); code != codes.InvalidArgument && code != codes.NotFound && code != codes.PermissionDenied {
			t.Errorf("%q with %q: %v", a[0], a[1], err)
			_ = n.unpublish(ctx, "inline")
		} else {
			refused++
		}
	}
	table.Enter("a pod names its volume itself", "what is not listed is refused", "always", fmt.Sprintf("%d of %d", refused, len(attempts)), refused == len(attempts))
}
