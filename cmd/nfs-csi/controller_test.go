package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// One volume through the socket, on an NFS server, and everything is gone in the end.
func TestControllerServesItsSocket(t *testing.T) {
	server := nfsserver.StartGoNFS(t)
	leavesNothing(t)
	endpoint := "unix://" + filepath.Join(t.TempDir(), "csi.sock")
	p := start(t, "controller", "--csi-only", "--endpoint="+endpoint, "--metrics-address=127.0.0.1:0", "--nfs-server="+server.Host, "--nfs-share="+server.Export)
	if code, body := p.get(t, "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz says %d %s", code, body)
	}
	conn := drivertest.Dial(t, endpoint)
	controller := csi.NewControllerClient(conn)
	request := &csi.CreateVolumeRequest{
		Name:          "pvc-1",
		CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 20},
		VolumeCapabilities: []*csi.VolumeCapability{{
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{MountFlags: options(server)}},
		}},
	}
	made, err := controller.CreateVolume(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if c := made.GetVolume().GetVolumeContext(); c["server"] != server.Host || c["subDir"] != "pvc-1" {
		t.Errorf("the volume's context is %v", c)
	}
	if _, err := controller.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: made.GetVolume().GetVolumeId()}); err != nil {
		t.Fatal(err)
	}
	request.Name, request.Parameters = "pvc-2", map[string]string{"bogus": "x"}
	if _, err := controller.CreateVolume(t.Context(), request); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), `"bogus"`) {
		t.Errorf("an unknown parameter gives %v", err)
	}
	_, body := p.get(t, "/metrics")
	for _, line := range []string{
		`nfs_csi_csi_call_duration_seconds_count{code="OK",method="CreateVolume"} 1`,
		`nfs_csi_csi_call_duration_seconds_count{code="InvalidArgument",method="CreateVolume"} 1`,
		`nfs_csi_share_operation_duration_seconds_count{operation="delete",result="ok"} 1`,
		`nfs_csi_nfs_call_duration_seconds_count{operation="`,
		`nfs_csi_archives{share="` + server.Host + ":" + server.Export + `"} 0`,
		"nfs_csi_trash_entries{", "nfs_csi_removed_files_total{", "process_resident_memory_bytes", "go_goroutines",
	} {
		if !strings.Contains(body, line) {
			t.Errorf("%s is missing in /metrics", line)
		}
	}
	conn.Close()
	p.stop(t)
}

func options(s *nfsserver.GoNFS) []string {
	return []string{fmt.Sprintf("nfsvers=3,port=%d", s.Port), fmt.Sprintf("mountport=%d", s.Port)}
}

// client-go's scheme must be whole before anything reads it, which happens from many goroutines once this process leads: a late
// change to it ends the process.
func TestKindsAreKnownBeforeAnybodyLeads(t *testing.T) {
	if _, err := snapshotClient(&rest.Config{Host: "https://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	if !scheme.Scheme.Recognizes(snapshotv1.SchemeGroupVersion.WithKind("VolumeSnapshotContent")) {
		t.Error("the kinds of snapshots are not known yet")
	}
}

func TestControllerWithoutItsAPIServer(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
		"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}],"users":[{"name":"u","user":{}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "controller", "--kubeconfig="+kubeconfig, "--leader-election-namespace=kube-system", "--log-format=text",
		"--endpoint=unix://"+filepath.Join(t.TempDir(), "csi.sock"), "--metrics-address=127.0.0.1:0")
	if code, body := p.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "are not listed yet") {
		t.Errorf("/readyz says %d %s", code, body)
	}
	if code, _ := p.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz says %d: a new process would not help", code)
	}
	begun := time.Now()
	p.stop(t)
	t.Logf("stopped in %v", time.Since(begun))
}

func TestTakenSocketEndsTheProgram(t *testing.T) {
	leavesNothing(t)
	endpoint := "--endpoint=unix://" + filepath.Join(t.TempDir(), "csi.sock")
	first := start(t, "controller", "--csi-only", endpoint, "--metrics-address=127.0.0.1:0")
	first.get(t, "/healthz")
	second := start(t, "controller", "--csi-only", endpoint, "--metrics-address=127.0.0.1:0")
	if err := <-second.ended; err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("the second ended with %v", err)
	}
	first.stop(t)
}

func TestRemovedSocketIsUnhealthy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "csi.sock")
	p := start(t, "controller", "--csi-only", "--endpoint=unix://"+path, "--metrics-address=127.0.0.1:0")
	if code, _ := p.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("/healthz says %d", code)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if code, body := p.get(t, "/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "socket was removed") {
		t.Errorf("/healthz says %d %s", code, body)
	}
	p.stop(t)
}

func TestServicesAreNamedRight(t *testing.T) {
	for flag, words := range map[string]string{
		"--resizer=maybe":       `--resizer is "maybe"`,
		"--snapshotter=":        `--snapshotter is ""`,
		"--storage-capacity=x":  "NAMESPACE/NAME",
		"--storage-capacity=/x": "NAMESPACE/NAME",
	} {
		p := start(t, "controller", "--csi-only", flag, "--endpoint=unix://"+filepath.Join(t.TempDir(), "csi.sock"), "--metrics-address=127.0.0.1:0")
		if err := <-p.ended; err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: ended with %v", flag, err)
		}
	}
}
