package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
)

// published is what one node's publishing took; it is printed as JSON for the program outside.
type published struct {
	One     []time.Duration // alone, one after the other
	Sixteen []time.Duration // 16 at once, the first to the last, nothing mounted before; some rounds
}

// rounds is how often that is done which takes other times on a busy machine.
const rounds = 5

// publishCommand calls the node's socket. The volumes are the contexts in the environment variable VOLUMES, a JSON list.
func publishCommand(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("publish", flag.ContinueOnError)
	socket := f.String("socket", "", "the node's socket")
	pods := f.String("pods", "/var/lib/kubelet/pods", "a directory that the node's mounts reach")
	rows := f.Bool("table", false, "print rows of the table instead of JSON")
	if err := f.Parse(args); err != nil {
		return err
	}
	var volumes []map[string]string
	if err := json.Unmarshal([]byte(os.Getenv("VOLUMES")), &volumes); err != nil {
		return fmt.Errorf("VOLUMES: %w", err)
	}
	conn, closeConn, err := dial(ctx, *socket)
	if err != nil {
		return err
	}
	defer closeConn()
	node := csi.NewNodeClient(conn)
	// Below this pod's own directory: kubelet removes those of pods that it does not know.
	dir := filepath.Join(*pods, os.Getenv("POD_UID"), "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.Remove(dir)
	target := func(i int) string { return filepath.Join(dir, strconv.Itoa(i)) }
	publish := func(i int) error {
		_, err := node.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{VolumeId: fmt.Sprintf("bench %d", i), TargetPath: target(i),
			VolumeContext: volumes[i], VolumeCapability: &csi.VolumeCapability{
				AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
				AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER}}})
		return err
	}
	unpublish := func(i int) error {
		_, err := node.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: fmt.Sprintf("bench %d", i), TargetPath: target(i)})
		return err
	}
	var p published
	measure := func() (err error) {
		if p.One, _, err = together(len(volumes), 1, publish); err != nil {
			return err
		}
		for range rounds {
			if _, _, err = together(len(volumes), 4, unpublish); err != nil {
				return err
			}
			_, took, err := together(len(volumes), len(volumes), publish)
			if err != nil {
				return err
			}
			p.Sixteen = append(p.Sixteen, took)
		}
		return nil
	}
	err = measure()
	for i := range volumes {
		err = errors.Join(err, unpublish(i))
	}
	if err != nil {
		return err
	}
	if *rows {
		t := &table{out: os.Stdout}
		p.rows(t)
		return kernelsMounts(t, dir, volumes)
	}
	return json.NewEncoder(os.Stdout).Encode(p)
}

func (p published) rows(t *table) {
	t.row("NodePublishVolume, one at a time", spread(p.One), "")
	t.row("16 NodePublishVolume at once", spread(p.Sixteen), "under 0.3 s")
}

// kernelsMounts tells what the same mounts take by themselves: no publishing can be faster. The servers must be addresses.
func kernelsMounts(t *table, dir string, volumes []map[string]string) error {
	at := func(i int) string { return filepath.Join(dir, "kernel", strconv.Itoa(i)) }
	mount := func(i int) error {
		v := volumes[i]
		if err := os.MkdirAll(at(i), 0o755); err != nil {
			return err
		}
		return syscall.Mount(v["server"]+":"+filepath.Join(v["share"], v["subDir"]), at(i), "nfs", 0, "vers=4.2,sec=sys,addr="+v["server"])
	}
	for _, callers := range []int{1, 2, len(volumes)} {
		var all []time.Duration
		for range rounds {
			_, took, err := together(len(volumes), callers, mount)
			all = append(all, took)
			for i := range volumes {
				err = errors.Join(err, syscall.Unmount(at(i), 0), os.Remove(at(i)))
			}
			if err != nil {
				return err
			}
		}
		t.row(fmt.Sprintf("  16 mount(2) of the same by themselves, %d at once", callers), spread(all), "")
	}
	return os.Remove(filepath.Join(dir, "kernel"))
}
