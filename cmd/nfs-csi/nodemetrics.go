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

	mu       sync.Mutex
	silent   map[string]bool // by target
	unmounts int             // so far
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
		w.speaks(target)
	}
	return err
}

// Unmount is that of [driver.Mounter].
func (w *watched) Unmount(ctx context.Context, target string) error {
	began := time.Now()
	err := w.Mounter.Unmount(ctx, target)
	w.metrics.mount("unmount", began, err)
	if err == nil {
		w.mu.Lock()
		w.unmounts++
		w.mu.Unlock()
		w.speaks(target)
	}
	return err
}

// Usage is that of [driver.Mounter].
func (w *watched) Usage(ctx context.Context, target string) (volume.Usage, error) {
	w.mu.Lock()
	unmounts := w.unmounts
	w.mu.Unlock()
	began := time.Now()
	u, err := w.Mounter.Usage(ctx, target)
	w.metrics.mount("usage", began, err)
	if errors.Is(err, volume.ErrUnavailable) {
		w.isSilent(target, unmounts)
	} else {
		w.speaks(target)
	}
	return u, err
}

// isSilent remembers a target that was asked after so many unmounts. If there were more since, it may be gone, and nobody would ask
// for it again: where it is not, kubelet does.
func (w *watched) isSilent(target string, unmounts int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unmounts == unmounts {
		w.silent[target] = true
	}
}

func (w *watched) speaks(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.silent, target)
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
