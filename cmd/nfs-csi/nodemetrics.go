package main

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	registeredName = "registered"
	registeredHelp = "1 where kubelet knows the driver, else 0."
)

// watched is a [driver.Mounter] that measures, and remembers whose server was silent when it was last asked.
type watched struct {
	driver.Mounter
	metrics *metrics

	mu     sync.Mutex
	silent map[string]bool // by target
}

// watch shows what mounter does, and the mounts below kubelet's directory.
func (m *metrics) watch(mounter driver.Mounter, kubeletDir string) *watched {
	w := &watched{Mounter: mounter, metrics: m, silent: map[string]bool{}}
	m.registry.MustRegister(m.node)
	m.gauge("mounts", "NFS mounts of pods on this node, whoever made them.", func() float64 { return countMounts(filepath.Join(kubeletDir, "pods")) })
	m.gauge("mounts_silent", "Volumes on this node whose server did not answer when kubelet last asked for their usage.", w.countSilent)
	return w
}

// Mount is that of [driver.Mounter].
func (w *watched) Mount(ctx context.Context, p volume.Mountpoint, readOnly bool, target string) error {
	began := time.Now()
	err := w.Mounter.Mount(ctx, p, readOnly, target)
	w.metrics.mount("mount", began, err)
	if err == nil {
		w.remember(target, false)
	}
	return err
}

// Unmount is that of [driver.Mounter].
func (w *watched) Unmount(ctx context.Context, target string) error {
	began := time.Now()
	err := w.Mounter.Unmount(ctx, target)
	w.metrics.mount("unmount", began, err)
	if err == nil {
		w.remember(target, false)
	}
	return err
}

// Usage is that of [driver.Mounter].
func (w *watched) Usage(ctx context.Context, target string) (volume.Usage, error) {
	began := time.Now()
	u, err := w.Mounter.Usage(ctx, target)
	w.metrics.mount("usage", began, err)
	w.remember(target, errors.Is(err, volume.ErrUnavailable))
	return u, err
}

func (w *watched) remember(target string, silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if silent {
		w.silent[target] = true
	} else {
		delete(w.silent, target)
	}
}

func (w *watched) countSilent() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return float64(len(w.silent))
}

// one is 1 for true.
func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// countMounts counts NFS mounts below a directory in the kernel's table, which asks no server.
func countMounts(dir string) float64 {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.FSType, "nfs") || !strings.HasPrefix(m.Mountpoint, dir+"/"), false
	})
	if err != nil {
		return math.NaN()
	}
	return float64(len(mounts))
}
