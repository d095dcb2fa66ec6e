package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
)

// The test is kubelet: it finds the registration socket, asks for the driver and accepts it.
func TestNodeRegistersItself(t *testing.T) {
	leavesNothing(t)
	kubelet := t.TempDir()
	registry := filepath.Join(kubelet, "plugins_registry")
	if err := os.Mkdir(registry, 0o700); err != nil {
		t.Fatal(err)
	}
	p := start(t, "node", "--node-id=worker-1", "--driver-name=nfs.example.com", "--kubelet-dir="+kubelet, "--metrics-address=127.0.0.1:0", "--log-format=text", "-v", "4")
	if code, body := p.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "kubelet") {
		t.Errorf("/readyz says %d %s before kubelet has come", code, body)
	}

	var found []string
	await(t, "the registration socket", func() bool {
		found, _ = filepath.Glob(registry + "/*.sock")
		return len(found) == 1
	})
	registration := drivertest.Dial(t, "unix://"+found[0])
	client := registerapi.NewRegistrationClient(registration)
	info, err := client.GetInfo(t.Context(), &registerapi.InfoRequest{}, grpc.WaitForReady(true)) // the socket is there a moment before it is listened on
	if err != nil {
		t.Fatal(err)
	}
	if info.GetName() != "nfs.example.com" || info.GetEndpoint() != filepath.Join(kubelet, "plugins", "nfs.example.com", "csi.sock") {
		t.Errorf("kubelet is told %v", info)
	}
	if _, err := client.NotifyRegistrationStatus(t.Context(), &registerapi.RegistrationStatus{PluginRegistered: true}); err != nil {
		t.Fatal(err)
	}
	if code, body := p.get(t, "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz says %d %s", code, body)
	}

	conn := drivertest.Dial(t, "unix://"+info.GetEndpoint())
	node, err := csi.NewNodeClient(conn).NodeGetInfo(t.Context(), &csi.NodeGetInfoRequest{})
	if err != nil || node.GetNodeId() != "worker-1" {
		t.Errorf("the node is %v, %v", node, err)
	}
	if _, err := csi.NewNodeClient(conn).NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: filepath.Join(kubelet, "pods", "none")}); err != nil {
		t.Errorf("unpublishing what is not published: %v", err)
	}
	conn.Close()
	registration.Close()
	p.stop(t)
	if left, _ := filepath.Glob(registry + "/*.sock"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
