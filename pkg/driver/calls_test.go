package driver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// logged collects the lines of a JSON log.
type logged struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(p)
}

// take answers the lines so far, without what differs from run to run.
func (l *logged) take(t *testing.T) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []map[string]any
	for line := range strings.Lines(l.lines.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if _, ok := m["duration"]; !ok && m["msg"] == "call" {
			t.Errorf("no duration in %s", line)
		}
		delete(m, "time")
		delete(m, "duration")
		lines = append(lines, m)
	}
	l.lines.Reset()
	return lines
}

type observation struct {
	method string
	code   codes.Code
}

func TestCallsAreLoggedAndMeasured(t *testing.T) {
	var out logged
	var seen []observation
	calls := driver.Calls{
		Log: slog.New(slog.NewJSONHandler(&out, nil)),
		Observe: func(method string, d time.Duration, code codes.Code) {
			if d <= 0 {
				t.Errorf("%s took %v", method, d)
			}
			seen = append(seen, observation{method, code})
		},
	}
	identity, err := driver.NewIdentity(driver.DefaultName, "v1")
	if err != nil {
		t.Fatal(err)
	}
	mounter := new(drivertest.Mounter)
	node, err := driver.NewNode(mounter, "node-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	store := new(drivertest.Store)
	conn := drivertest.Serve(t, driver.Services{Identity: identity, Node: node, Controller: driver.NewController(store, volume.Defaults{}, calls.Log)}, calls)
	controllerClient, nodeClient := csi.NewControllerClient(conn), csi.NewNodeClient(conn)

	for _, tt := range []struct {
		call func() error
		want map[string]any // nil: quiet
		seen observation
	}{
		{func() error {
			_, err := csi.NewIdentityClient(conn).Probe(t.Context(), &csi.ProbeRequest{})
			return err
		}, nil, observation{"Probe", codes.OK}},
		{func() error {
			_, err := controllerClient.CreateVolume(t.Context(), createRequest("pvc-1"))
			return err
		}, map[string]any{"level": "INFO", "msg": "call", "method": "CreateVolume", "volume": "pvc-1", "code": "OK"},
			observation{"CreateVolume", codes.OK}},
		{func() error {
			_, err := controllerClient.CreateSnapshot(t.Context(), snapshotRequest("snapshot-1", "nfs.example#exports/k8s#pvc-1##"))
			return err
		}, map[string]any{"level": "INFO", "msg": "call", "method": "CreateSnapshot", "snapshot": "snapshot-1", "source": "nfs.example#exports/k8s#pvc-1##", "code": "OK"},
			observation{"CreateSnapshot", codes.OK}},
		{func() error {
			_, err := controllerClient.GetSnapshot(t.Context(), &csi.GetSnapshotRequest{SnapshotId: absentSnapshot})
			return err
		}, map[string]any{"level": "WARN", "msg": "call", "method": "GetSnapshot", "snapshot": absentSnapshot, "code": "NotFound",
			"err": `snapshot "absent": not found`}, observation{"GetSnapshot", codes.NotFound}},
		{func() error {
			_, err := nodeClient.NodePublishVolume(t.Context(), publishRequest("v", "/target"))
			return err
		}, map[string]any{"level": "INFO", "msg": "call", "method": "NodePublishVolume", "volume": "v", "target": "/target", "code": "OK"},
			observation{"NodePublishVolume", codes.OK}},
		{func() error {
			_, err := nodeClient.NodeGetVolumeStats(t.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: "v", VolumePath: "/target"})
			return err
		}, nil, observation{"NodeGetVolumeStats", codes.OK}},
		{func() error {
			_, err := nodeClient.NodeGetVolumeStats(t.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: "v", VolumePath: "/else"})
			return err
		}, map[string]any{"level": "WARN", "msg": "call", "method": "NodeGetVolumeStats", "volume": "v", "target": "/else", "code": "NotFound",
			"err": `mount at "/else": not found`}, observation{"NodeGetVolumeStats", codes.NotFound}},
		{func() error {
			store.Fail(func(context.Context) error { return fmt.Errorf("surprise") })
			_, err := controllerClient.ListVolumes(t.Context(), &csi.ListVolumesRequest{})
			return err
		}, map[string]any{"level": "ERROR", "msg": "call", "method": "ListVolumes", "code": "Internal", "err": "surprise"},
			observation{"ListVolumes", codes.Internal}},
	} {
		t.Run(tt.seen.method+tt.seen.code.String(), func(t *testing.T) {
			expect(t, tt.call(), tt.seen.code)
			lines := out.take(t)
			switch {
			case tt.want == nil && len(lines) > 0:
				t.Errorf("logged %v, want nothing", lines)
			case tt.want != nil && (len(lines) != 1 || fmt.Sprint(lines[0]) != fmt.Sprint(tt.want)):
				t.Errorf("logged %v, want %v", lines, tt.want)
			}
			if len(seen) != 1 || seen[0] != tt.seen {
				t.Errorf("observed %v, want %v", seen, tt.seen)
			}
			seen = nil
		})
	}
}

// No log line shows what came as a secret or as a mount option, whatever the outcome.
func TestSecretsAreNotLogged(t *testing.T) {
	var out logged
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	store := new(drivertest.Store)
	c := driver.Calls{Log: log}.Controller(driver.NewController(store, volume.Defaults{}, log))
	const secret = "hunter2"
	secrets := map[string]string{"password": secret, "mountOptions": secret}
	create := createRequest("pvc-1")
	create.Secrets, create.VolumeCapabilities = secrets, []*csi.VolumeCapability{capability(anyMode, secret), capability(0, secret+"\n")}
	requests := []func(){
		func() { _, _ = c.CreateVolume(t.Context(), create) },
		func() {
			_, _ = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: "s#e#d##", Secrets: secrets})
		},
		func() {
			_, _ = c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: "free text", Secrets: secrets})
		},
		func() {
			r := snapshotRequest("snapshot-1", absentID)
			r.Secrets, r.Parameters = secrets, map[string]string{"mountOptions": secret + "\n"}
			_, _ = c.CreateSnapshot(t.Context(), r)
		},
		func() {
			_, _ = c.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: absentSnapshot, Secrets: secrets})
		},
		func() {
			_, _ = c.DeleteSnapshot(t.Context(), &csi.DeleteSnapshotRequest{SnapshotId: "free text", Secrets: secrets})
		},
	}
	for _, call := range requests {
		call()
		store.Fail(func(context.Context) error { return volume.ErrRefused })
		call()
		store.Fail(nil)
	}
	if log := out.lines.String(); strings.Contains(log, secret) || strings.Count(log, "method=") != 2*len(requests) {
		t.Errorf("the log shows a secret, or not every call:\n%s", log)
	}
}

// A handle of any length takes one short line.
func TestLogLinesAreShort(t *testing.T) {
	var out logged
	log := slog.New(slog.NewJSONHandler(&out, nil))
	c := driver.Calls{Log: log}.Controller(driver.NewController(new(drivertest.Store), volume.Defaults{}, log))
	if _, err := c.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: strings.Repeat("x\n", 1<<20)}); err != nil {
		t.Fatal(err)
	}
	if text := out.lines.String(); len(text) > 4096 || strings.Count(text, "\n") != 2 {
		t.Errorf("%d bytes in %d lines logged", len(text), strings.Count(text, "\n"))
	}
}

// A call without a deadline gets one; one with a deadline ends a little earlier, to be heard.
func TestDeadline(t *testing.T) {
	store := new(drivertest.Store)
	var left []time.Duration
	store.Fail(func(ctx context.Context) error {
		d, ok := ctx.Deadline()
		if !ok {
			t.Error("no deadline")
		}
		left = append(left, time.Until(d).Round(time.Second))
		return nil
	})
	for _, c := range []driver.Calls{{}, {Deadline: 5 * time.Second}} {
		c.Log = drivertest.Log(t)
		conn := drivertest.Serve(t, driver.Services{Controller: driver.NewController(store, volume.Defaults{}, c.Log)}, c)
		for _, own := range []time.Duration{0, time.Hour} {
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if own > 0 {
				ctx, cancel = context.WithTimeout(ctx, own)
			}
			if _, err := csi.NewControllerClient(conn).ListVolumes(ctx, &csi.ListVolumesRequest{}); err != nil {
				t.Error(err)
			}
			cancel()
		}
	}
	if want := []time.Duration{time.Minute, time.Hour - time.Second, 5 * time.Second, time.Hour - time.Second}; !slices.Equal(left, want) {
		t.Errorf("time left %v, want %v", left, want)
	}
}

// Within the process every call of the controller is measured, as through a socket.
func TestInProcess(t *testing.T) {
	var seen []string
	calls := driver.Calls{Log: drivertest.Log(t), Observe: func(method string, _ time.Duration, _ codes.Code) { seen = append(seen, method) }}
	c := calls.Controller(driver.NewController(new(drivertest.Store), volume.Defaults{}, calls.Log))
	for _, m := range csi.Controller_ServiceDesc.Methods {
		seen = nil
		_, err := m.Handler(c, t.Context(), func(any) error { return nil }, nil)
		declared := status.Code(err) != codes.Unimplemented
		if measured := slices.Equal(seen, []string{m.MethodName}); measured != declared {
			t.Errorf("%s: %v, measured %v", m.MethodName, err, seen)
		}
	}
}
