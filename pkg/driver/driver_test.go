package driver_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/driver/socket"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// fixture is the whole driver on memory fakes, reached through a unix socket.
type fixture struct {
	csi.IdentityClient
	csi.ControllerClient
	csi.NodeClient
	store   *drivertest.Store
	mounter *drivertest.Mounter
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	return newFixtureWith(t, driver.Calls{})
}

func newFixtureWith(t *testing.T, calls driver.Calls, inline ...volume.Location) fixture {
	t.Helper()
	f := fixture{store: new(drivertest.Store), mounter: new(drivertest.Mounter)}
	calls.Log = drivertest.Log(t)
	identity, err := driver.NewIdentity(driver.DefaultName, "v1")
	if err != nil {
		t.Fatal(err)
	}
	node, err := driver.NewNode(f.mounter, "node-1", inline)
	if err != nil {
		t.Fatal(err)
	}
	conn := drivertest.Serve(t, driver.Services{
		Identity:   identity,
		Controller: driver.NewController(f.store, volume.Defaults{}, calls.Log),
		Node:       node,
	}, calls)
	f.IdentityClient, f.ControllerClient, f.NodeClient = csi.NewIdentityClient(conn), csi.NewControllerClient(conn), csi.NewNodeClient(conn)
	return f
}

func class() map[string]string {
	return map[string]string{"server": "nfs.example", "share": "/exports/k8s"}
}

func capability(mode csi.VolumeCapability_AccessMode_Mode, flags ...string) *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{MountFlags: flags}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode},
	}
}

// Handles that parse, of what is not there.
const (
	absentID       = "nfs.example#exports/k8s#absent##"
	absentSnapshot = "nfs.example#exports/k8s#absent#absent#pvc-1"
)

const anyMode = csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER

func createRequest(name string) *csi.CreateVolumeRequest {
	return &csi.CreateVolumeRequest{
		Name:               name,
		CapacityRange:      &csi.CapacityRange{RequiredBytes: 1 << 20},
		VolumeCapabilities: []*csi.VolumeCapability{capability(anyMode)},
		Parameters:         class(),
	}
}

// make makes a volume and answers its handle.
func (f fixture) make(t *testing.T, name string) string {
	t.Helper()
	made, err := f.CreateVolume(t.Context(), createRequest(name))
	if err != nil {
		t.Fatal(err)
	}
	return made.GetVolume().GetVolumeId()
}

func publishRequest(id, target string) *csi.NodePublishVolumeRequest {
	return &csi.NodePublishVolumeRequest{
		VolumeId:         id,
		TargetPath:       target,
		VolumeCapability: capability(anyMode),
		VolumeContext:    map[string]string{"server": "nfs.example", "share": "/exports/k8s", "subdir": "data"},
	}
}

// with is request after one change.
func with[Request any](request Request, change func(Request)) Request {
	change(request)
	return request
}

// expect checks the code of err, and that its text, one line, has all words.
func expect(t *testing.T, err error, code codes.Code, words ...string) {
	t.Helper()
	s := status.Convert(err)
	if s.Code() != code {
		t.Fatalf("code %s (%s), want %s", s.Code(), s.Message(), code)
	}
	for _, w := range words {
		if !strings.Contains(s.Message(), w) {
			t.Errorf("message %q does not say %q", s.Message(), w)
		}
	}
	if strings.Contains(s.Message(), "\n") {
		t.Errorf("message has several lines: %q", s.Message())
	}
}

// receive waits for what must come soon.
func receive(t *testing.T, from <-chan error) error {
	t.Helper()
	select {
	case err := <-from:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came within 10 s")
		return nil
	}
}

func TestIdentity(t *testing.T) {
	f := newFixture(t)
	info, err := f.GetPluginInfo(t.Context(), &csi.GetPluginInfoRequest{})
	if err != nil || info.GetName() != "nfs.csi.k8s.io" || info.GetVendorVersion() != "v1" {
		t.Errorf("info %v, %v", info, err)
	}
	ready, err := f.Probe(t.Context(), &csi.ProbeRequest{})
	if err != nil || !ready.GetReady().GetValue() {
		t.Errorf("probe %v, %v", ready, err)
	}
	capabilities, err := f.GetPluginCapabilities(t.Context(), &csi.GetPluginCapabilitiesRequest{})
	if err != nil || len(capabilities.GetCapabilities()) != 2 ||
		capabilities.GetCapabilities()[0].GetService().GetType() != csi.PluginCapability_Service_CONTROLLER_SERVICE ||
		capabilities.GetCapabilities()[1].GetVolumeExpansion().GetType() != csi.PluginCapability_VolumeExpansion_ONLINE {
		t.Errorf("capabilities %v, %v", capabilities, err)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"nfs.csi.k8s.io", "a", "1", strings.Repeat("a", 63), "my-org.NFS.9"} {
		if err := driver.CheckName(name); err != nil {
			t.Errorf("CheckName(%q): %v", name, err)
		}
	}
	for _, name := range []string{"", "-a", "a-", ".a", "a.", "a_b", "a/b", strings.Repeat("a", 64), "a\n"} {
		if _, err := driver.NewIdentity(name, ""); err == nil {
			t.Errorf("NewIdentity(%q): no error", name)
		}
	}
	for _, id := range []string{"", strings.Repeat("n", 257)} {
		if _, err := driver.NewNode(new(drivertest.Mounter), id, nil); err == nil {
			t.Errorf("NewNode(%q): no error", id)
		}
	}
}

func TestCapabilities(t *testing.T) {
	f := newFixture(t)
	controller, err := f.ControllerGetCapabilities(t.Context(), &csi.ControllerGetCapabilitiesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range controller.GetCapabilities() {
		got = append(got, c.GetRpc().GetType().String())
	}
	want := []string{"CREATE_DELETE_VOLUME", "CLONE_VOLUME", "GET_VOLUME", "LIST_VOLUMES", "EXPAND_VOLUME", "MODIFY_VOLUME",
		"CREATE_DELETE_SNAPSHOT", "GET_SNAPSHOT", "LIST_SNAPSHOTS", "GET_CAPACITY", "GET_VOLUME_HEALTH", "LIST_VOLUME_HEALTH",
		"SINGLE_NODE_MULTI_WRITER"}
	if !slices.Equal(got, want) {
		t.Errorf("controller: %v, want %v", got, want)
	}
	node, err := f.NodeGetCapabilities(t.Context(), &csi.NodeGetCapabilitiesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, c := range node.GetCapabilities() {
		got = append(got, c.GetRpc().GetType().String())
	}
	if want := []string{"GET_VOLUME_STATS", "GET_VOLUME_HEALTH", "GET_STORAGE_HEALTH", "SINGLE_NODE_MULTI_WRITER"}; !slices.Equal(got, want) {
		t.Errorf("node: %v, want %v", got, want)
	}
}

// What is not declared is not implemented either.
func TestUnimplemented(t *testing.T) {
	f := newFixture(t)
	for name, call := range map[string]func(context.Context) error{
		"ControllerPublishVolume": func(ctx context.Context) error {
			_, err := f.ControllerPublishVolume(ctx, &csi.ControllerPublishVolumeRequest{})
			return err
		},
		"NodeExpandVolume": func(ctx context.Context) error {
			_, err := f.NodeExpandVolume(ctx, &csi.NodeExpandVolumeRequest{})
			return err
		},
		"NodeStageVolume": func(ctx context.Context) error {
			_, err := f.NodeStageVolume(ctx, &csi.NodeStageVolumeRequest{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { expect(t, call(t.Context()), codes.Unimplemented) })
	}
}

// A server serves only the services it was given.
func TestSubset(t *testing.T) {
	identity, err := driver.NewIdentity("nfs.csi.k8s.io", "v1")
	if err != nil {
		t.Fatal(err)
	}
	conn := drivertest.Serve(t, driver.Services{Identity: identity}, driver.Calls{Log: drivertest.Log(t)})
	if _, err := csi.NewIdentityClient(conn).Probe(t.Context(), &csi.ProbeRequest{}); err != nil {
		t.Error(err)
	}
	_, err = csi.NewNodeClient(conn).NodeGetInfo(t.Context(), &csi.NodeGetInfoRequest{})
	expect(t, err, codes.Unimplemented)
	_, err = csi.NewControllerClient(conn).ListVolumes(t.Context(), &csi.ListVolumesRequest{})
	expect(t, err, codes.Unimplemented)
}

// When the server stops, a call that runs is still answered.
func TestStop(t *testing.T) {
	store, log := new(drivertest.Store), drivertest.Log(t)
	entered, released := make(chan error, 1), make(chan struct{})
	store.Fail(func(context.Context) error {
		entered <- nil
		<-released
		return nil
	})
	endpoint := "unix://" + filepath.Join(t.TempDir(), "csi.sock")
	l, err := socket.Listen(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served, answered := make(chan error, 1), make(chan error, 1)
	go func() {
		served <- driver.Serve(ctx, l, driver.Services{Controller: driver.NewController(store, volume.Defaults{}, log)}, driver.Calls{Log: log})
	}()
	client := csi.NewControllerClient(drivertest.Dial(t, endpoint))
	go func() {
		_, err := client.CreateVolume(t.Context(), createRequest("pvc-1"))
		answered <- err
	}()
	receive(t, entered)
	stop()
	close(released)
	if err := receive(t, answered); err != nil {
		t.Errorf("the running call: %v", err)
	}
	if err := receive(t, served); err != nil {
		t.Errorf("serving: %v", err)
	}
	if _, err := os.Lstat(strings.TrimPrefix(endpoint, "unix://")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}
