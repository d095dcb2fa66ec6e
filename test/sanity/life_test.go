//go:build guest

package sanity_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// One volume from its making to its end, with data, over each version of NFS: written by a user who is not root through
// one mount, read through a read-only one, kept in a snapshot and in a clone, and gone after the deletion.
func TestVolumeLife(t *testing.T) {
	for _, version := range []string{"4.2", "4.1", "4.0", "3"} {
		t.Run(version, func(t *testing.T) {
			u := real(t, "NFS_TEST_EXPORT")
			l := newLife(t, u, version)
			v := l.create("pvc-life", nil)
			one, two := l.publish(v, "one", false), l.publish(v, "two", true)
			l.write(one, "data")
			l.read(two, "data")
			if err := os.WriteFile(filepath.Join(two, "file"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
				t.Errorf("writing to a read-only publication: %v", err)
			}
			l.copies(v, one)
			l.read(one, "newer data")
			l.change(v)
			l.unpublish(v, one, two)
			l.delete(v)
			nothingLeft(t, u)
		})
	}
}

// user owns the file in the volume and has no privilege.
const user = 1000

// life is one run of [TestVolumeLife]: a failure ends it.
type life struct {
	*testing.T
	dir, version string // of the targets; of NFS
	controller   csi.ControllerClient
	node         csi.NodeClient
}

func newLife(t *testing.T, u under, version string) life {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the user who writes must get there
		t.Fatal(err)
	}
	controller, node := serve(t, dir, u)
	return life{t, dir, version, csi.NewControllerClient(drivertest.Dial(t, controller)), csi.NewNodeClient(drivertest.Dial(t, node))}
}

func (l life) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l life) capability() *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{MountFlags: []string{"vers=" + l.version, "noatime"}}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
	}
}

func (l life) create(name string, from *csi.VolumeContentSource) *csi.Volume {
	l.Helper()
	made, err := l.controller.CreateVolume(l.Context(), &csi.CreateVolumeRequest{
		Name: name, CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 20}, VolumeContentSource: from,
		VolumeCapabilities: []*csi.VolumeCapability{l.capability()},
	})
	l.must(err)
	return made.GetVolume()
}

func (l life) publish(v *csi.Volume, target string, readOnly bool) string {
	l.Helper()
	target = filepath.Join(l.dir, target)
	_, err := l.node.NodePublishVolume(l.Context(), &csi.NodePublishVolumeRequest{
		VolumeId: v.GetVolumeId(), VolumeContext: v.GetVolumeContext(), TargetPath: target, VolumeCapability: l.capability(), Readonly: readOnly,
	})
	l.must(err)
	return target
}

// copies makes a snapshot, changes the volume, makes a clone, and finds in each copy what was there when it was made, owned
// by the user, who may write to it.
func (l life) copies(v *csi.Volume, target string) {
	l.Helper()
	made, err := l.controller.CreateSnapshot(l.Context(), &csi.CreateSnapshotRequest{Name: "snapshot-life", SourceVolumeId: v.GetVolumeId()})
	l.must(err)
	snapshot := made.GetSnapshot().GetSnapshotId()
	l.write(target, "newer data")
	for name, tt := range map[string]struct {
		from *csi.VolumeContentSource
		data string
	}{
		"restored": {&csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: snapshot}}}, "data"},
		"clone":    {&csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: v.GetVolumeId()}}}, "newer data"},
	} {
		copied := l.create("pvc-"+name, tt.from)
		at := l.publish(copied, name, false)
		l.read(at, tt.data)
		info, err := os.Stat(filepath.Join(at, "file"))
		l.must(err)
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != user || info.Mode() != 0o640 {
			l.Errorf("%s: the file is that of user %d with mode %v", name, owner, info.Mode())
		}
		l.write(at, "data of the copy")
		l.unpublish(copied, at)
		l.delete(copied)
	}
	_, err = l.controller.DeleteSnapshot(l.Context(), &csi.DeleteSnapshotRequest{SnapshotId: snapshot})
	l.must(err)
}

// change expands the volume, which is in use, and changes the mode of its directory.
func (l life) change(v *csi.Volume) {
	l.Helper()
	larger, err := l.controller.ControllerExpandVolume(l.Context(), &csi.ControllerExpandVolumeRequest{
		VolumeId: v.GetVolumeId(), CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 30},
	})
	if l.must(err); larger.GetCapacityBytes() != 1<<30 {
		l.Errorf("expanded to %v", larger)
	}
	_, err = l.controller.ControllerModifyVolume(l.Context(), &csi.ControllerModifyVolumeRequest{
		VolumeId: v.GetVolumeId(), MutableParameters: map[string]string{volume.ParamMountPermissions: "2750", volume.ParamGID: "77"},
	})
	l.must(err)
	mountpoint, err := volume.ParseContext(v.GetVolumeContext())
	l.must(err)
	info, err := os.Stat(mountpoint.Path) // the server is this machine
	l.must(err)
	if owner := info.Sys().(*syscall.Stat_t); info.Mode() != fs.ModeDir|fs.ModeSetgid|0o750 || owner.Gid != 77 {
		l.Errorf("the directory has mode %v and group %d", info.Mode(), owner.Gid)
	}
}

func (l life) unpublish(v *csi.Volume, targets ...string) {
	l.Helper()
	for _, target := range targets {
		stats, err := l.node.NodeGetVolumeStats(l.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: v.GetVolumeId(), VolumePath: target})
		if err != nil || len(stats.GetUsage()) == 0 || stats.GetUsage()[0].GetTotal() == 0 {
			l.Errorf("stats of %s: %v, %v", target, stats, err)
		}
		health, err := l.node.NodeGetVolumeHealth(l.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: v.GetVolumeId(), VolumePublishPath: target})
		if err != nil || len(health.GetVolumeHealth().GetHealthStatuses()) != 0 {
			l.Errorf("health of %s: %v, %v", target, health, err)
		}
		_, err = l.node.NodeUnpublishVolume(l.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: v.GetVolumeId(), TargetPath: target})
		l.must(err)
		if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
			l.Errorf("target %s is still there: %v", target, err)
		}
	}
}

func (l life) delete(v *csi.Volume) {
	l.Helper()
	_, err := l.controller.DeleteVolume(l.Context(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
	l.must(err)
}

// write writes the volume's file as the user.
func (l life) write(target, data string) {
	l.Helper()
	cmd := exec.CommandContext(l.Context(), "sh", "-c", `umask 027 && cat > "$1"`, "sh", filepath.Join(target, "file"))
	cmd.Stdin = strings.NewReader(data)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	if out, err := cmd.CombinedOutput(); err != nil {
		l.Fatalf("writing to %s as user %d: %v\n%s", target, user, err, out)
	}
}

func (l life) read(target, want string) {
	l.Helper()
	if data, err := os.ReadFile(filepath.Join(target, "file")); err != nil || string(data) != want {
		l.Errorf("read %q from %s, %v, want %q", data, target, err, want)
	}
}
