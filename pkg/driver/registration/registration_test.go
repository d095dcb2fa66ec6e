package registration_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/driver/registration"
	"github.com/nfs-csi/nfs-csi/pkg/driver/socket"
)

// start runs a registrar until the test ends.
func start(t *testing.T, dir string) *registration.Registrar {
	t.Helper()
	r := registration.New(registration.Config{
		Dir: dir, Driver: "nfs.csi.k8s.io", Endpoint: "/var/lib/kubelet/plugins/nfs/csi.sock", Poll: 5 * time.Millisecond, Log: drivertest.Log(t),
	})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return r
}

// kubelet does what kubelet's plugin watcher does when it sees the socket.
func kubelet(t *testing.T, path string, s *api.RegistrationStatus) *api.PluginInfo {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := api.NewRegistrationClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	info, err := client.GetInfo(ctx, &api.InfoRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.NotifyRegistrationStatus(ctx, s); err != nil {
		t.Fatal(err)
	}
	return info
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func exists(path string) func() bool {
	return func() bool {
		_, err := os.Lstat(path)
		return err == nil
	}
}

func TestRegistration(t *testing.T) {
	dir := t.TempDir()
	r, path := start(t, dir), filepath.Join(dir, "nfs.csi.k8s.io-reg.sock")
	if err := r.Registered(); err == nil {
		t.Error("registered before kubelet came")
	}
	info := kubelet(t, path, &api.RegistrationStatus{Error: "no such driver"})
	if info.GetType() != "CSIPlugin" || info.GetName() != "nfs.csi.k8s.io" || info.GetEndpoint() != "/var/lib/kubelet/plugins/nfs/csi.sock" ||
		len(info.GetSupportedVersions()) != 1 || info.GetSupportedVersions()[0] != "1.0.0" {
		t.Errorf("info %v", info)
	}
	if err := r.Registered(); err == nil || !strings.Contains(err.Error(), "no such driver") {
		t.Errorf("after a refusal: %v", err)
	}
	kubelet(t, path, &api.RegistrationStatus{PluginRegistered: true})
	if err := r.Registered(); err != nil {
		t.Errorf("after the registration: %v", err)
	}
}

// A kubelet that was set up anew has emptied the directory, or made another one.
func TestRegistrationAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plugins_registry")
	r, path := start(t, dir), filepath.Join(dir, "nfs.csi.k8s.io-reg.sock")
	kubelet(t, path, &api.RegistrationStatus{PluginRegistered: true})
	for _, gone := range []string{path, dir} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the socket is made again", exists(path))
		if err := r.Registered(); err == nil {
			t.Error("still registered although kubelet saw the socket disappear")
		}
		kubelet(t, path, &api.RegistrationStatus{PluginRegistered: true})
		if err := r.Registered(); err != nil {
			t.Error(err)
		}
	}
}

// While a predecessor's registrar holds the socket, ours waits.
func TestRegistrationWaits(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nfs.csi.k8s.io-reg.sock")
	other, err := socket.Listen(t.Context(), "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	eventually(t, "the registrar says who is in the way", func() bool { return strings.Contains(r.Registered().Error(), "another process answers") })
	if !other.Holds() {
		t.Error("the other's socket is gone")
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "our socket is made", exists(path))
	kubelet(t, path, &api.RegistrationStatus{PluginRegistered: true})
	if err := r.Registered(); err != nil {
		t.Error(err)
	}
}

// A registrar as csi-driver-nfs brings it removes whoever's socket is there before it makes its own, and again when it ends. Ours gives way,
// leaves the other's alone, and comes back; kubelet knows one of the two at any time.
func TestRegistrationGivesWay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nfs.csi.k8s.io-reg.sock")
	r := start(t, dir)
	kubelet(t, path, &api.RegistrationStatus{PluginRegistered: true})
	for range 3 {
		var other net.Listener
		eventually(t, "the other has its socket there", func() (ok bool) {
			_ = os.Remove(path)
			var err error
			other, err = net.Listen("unix", path) // fails where ours has been quicker
			return err == nil
		})
		other.(*net.UnixListener).SetUnlinkOnClose(false)
		theirs, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the registrar says who is in the way", func() bool {
			err := r.Registered()
			return err != nil && strings.Contains(err.Error(), "another process answers")
		})
		if now, err := os.Lstat(path); err != nil || !os.SameFile(now, theirs) {
			t.Errorf("the other's socket was taken away: %v", err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		other.Close()
		eventually(t, "our socket is made again", exists(path))
		kubelet(t, path, &api.RegistrationStatus{PluginRegistered: true})
		if err := r.Registered(); err != nil {
			t.Error(err)
		}
	}
}

func TestRegistrationEnds(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nfs.csi.k8s.io-reg.sock")
	t.Run("run", func(t *testing.T) {
		start(t, dir)
		eventually(t, "the socket is made", exists(path))
	})
	if exists(path)() {
		t.Error("the socket is still there after the end")
	}
}
