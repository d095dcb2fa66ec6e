//go:build guest

package faults_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/moby/sys/mountinfo"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// patience bounds what has no bound of its own.
const patience = time.Minute

// node is the driver's node part: the program as it is shipped, in a process of its own.
type node struct {
	csi.NodeClient
	t       *testing.T
	kubelet string
	args    []string
	cmd     *exec.Cmd
	ended   chan struct{}
}

const metricsAddress = "127.0.0.1:9809"

// newNode starts the program, which must be in $NFS_CSI, and waits until it answers.
func newNode(t *testing.T, args ...string) *node {
	t.Helper()
	n := &node{t: t, kubelet: t.TempDir(), args: args}
	if err := os.MkdirAll(filepath.Join(n.kubelet, "plugins_registry"), 0o755); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix://"+n.kubelet+"/csi.sock", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n.NodeClient = csi.NewNodeClient(conn)
	n.start()
	t.Cleanup(n.kill)
	return n
}

func (n *node) start() {
	n.t.Helper()
	n.cmd = exec.Command(os.Getenv("NFS_CSI"), append([]string{
		"node", "--node-id=n", "--kubelet-dir=" + n.kubelet, "--endpoint=unix://" + n.kubelet + "/csi.sock", "--metrics-address=" + metricsAddress,
	}, n.args...)...)
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		n.t.Fatalf("starting $NFS_CSI (run this by test/faults/run): %v", err)
	}
	n.ended = make(chan struct{})
	go func() {
		defer close(n.ended)
		_ = n.cmd.Wait()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := n.NodeGetInfo(ctx, &csi.NodeGetInfoRequest{}, grpc.WaitForReady(true)); err != nil {
		n.t.Fatal(err)
	}
}

// kill is SIGKILL. Nothing may hold the process.
func (n *node) kill() {
	n.t.Helper()
	_ = n.cmd.Process.Kill()
	select {
	case <-n.ended:
	case <-time.After(patience):
		n.t.Errorf("the node's process is still there %v after SIGKILL", patience)
	}
}

// target is where kubelet would have the volume of that name.
func (n *node) target(name string) string {
	return filepath.Join(n.kubelet, "pods", name, "mount")
}

// publish mounts the directory of that name, of the server called host.
func (n *node) publish(ctx context.Context, host, name string, options ...string) error {
	_, err := n.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{
		VolumeId: name, TargetPath: n.target(name),
		VolumeContext: map[string]string{"server": host, "share": export, "subDir": name},
		VolumeCapability: &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{MountFlags: options}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
		},
	})
	return err
}

func (n *node) unpublish(ctx context.Context, name string) error {
	_, err := n.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: name, TargetPath: n.target(name)})
	return err
}

func (n *node) stats(ctx context.Context, name string) error {
	_, err := n.NodeGetVolumeStats(ctx, &csi.NodeGetVolumeStatsRequest{VolumeId: name, VolumePath: n.target(name)})
	return err
}

// health answers the reasons why the volume is not well, in the words for programs: "INACCESSIBLE ServerNotAnswering".
func (n *node) health(ctx context.Context, name string) (string, error) {
	answer, err := n.NodeGetVolumeHealth(ctx, &csi.NodeGetVolumeHealthRequest{VolumeId: name, VolumePublishPath: n.target(name)})
	var all []string
	for _, s := range answer.GetVolumeHealth().GetHealthStatuses() {
		all = append(all, s.GetStatus().String()+" "+s.GetReason())
	}
	return strings.Join(all, ", "), err
}

// must publishes, with the patience of kubelet.
func (n *node) must(host string, names ...string) {
	n.t.Helper()
	for _, name := range names {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		if err := n.publish(ctx, host, name); err != nil {
			n.t.Fatalf("publishing %s of %s: %v", name, host, err)
		}
		cancel()
	}
}

// strain is what a fault might leave growing in the node's process.
type strain struct{ goroutines, threads, children int }

// strain reads it off the process. Sleeping mount helpers are wanted; they end after a minute without work.
func (n *node) strain() strain {
	n.t.Helper()
	answer, err := http.Get("http://" + metricsAddress + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	var s strain
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if number, err := strconv.ParseFloat(value, 64); err == nil && name == "go_goroutines" {
			s.goroutines = int(number)
		}
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", n.cmd.Process.Pid))
	if err != nil {
		n.t.Fatal(err)
	}
	s.threads = len(tasks)
	for _, task := range tasks {
		children, _ := os.ReadFile(task + "/children") // a thread may have ended meanwhile
		s.children += len(strings.Fields(string(children)))
	}
	return s
}

// nfsMounts lists where NFS exports are mounted, by the kernel's table, which asks no server.
func nfsMounts(t *testing.T) []string {
	t.Helper()
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.FSType, "nfs") || m.FSType == "nfsd", false
	})
	if err != nil {
		t.Fatal(err)
	}
	var at []string
	for _, m := range mounts {
		at = append(at, m.Mountpoint)
	}
	return at
}

// within: the path is below the directory.
func within(directory, path string) bool { return strings.HasPrefix(path, directory+"/") }
