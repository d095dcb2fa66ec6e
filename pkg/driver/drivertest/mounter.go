package drivertest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Mounter is a [driver.Mounter] that mounts in memory: nothing appears on disk. The zero value is ready.
type Mounter struct {
	mu      sync.Mutex
	mounted map[string]Mounted
	fault   func(ctx context.Context) error
}

// Mounted is what is at a target.
type Mounted struct {
	volume.Mountpoint
	ReadOnly bool
}

// Fail makes every following call begin with f, which may wait for the context; an error of f is the call's. nil ends it.
func (m *Mounter) Fail(f func(ctx context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// Mounts are all mounts by target.
func (m *Mounter) Mounts() map[string]Mounted {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.mounted)
}

// Lose takes the mount from target as somebody else's umount would.
func (m *Mounter) Lose(target string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mounted, target)
}

func (m *Mounter) begin(ctx context.Context) (unlock func(), err error) {
	m.mu.Lock()
	fault := m.fault
	m.mu.Unlock()
	if fault != nil {
		if err := fault(ctx); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	if m.mounted == nil {
		m.mounted = map[string]Mounted{}
	}
	return m.mu.Unlock, nil
}

// Mount is that of driver.Mounter.
func (m *Mounter) Mount(ctx context.Context, p volume.Mountpoint, readOnly bool, target string) error {
	unlock, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	next := Mounted{Mountpoint: p, ReadOnly: readOnly}
	if at, ok := m.mounted[target]; ok && !reflect.DeepEqual(at, next) {
		return fmt.Errorf("target %q has %s:%s: %w", target, at.Server, at.Path, volume.ErrExists)
	}
	m.mounted[target] = next
	return nil
}

// Unmount is that of driver.Mounter.
func (m *Mounter) Unmount(ctx context.Context, target string) error {
	unlock, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	delete(m.mounted, target)
	return nil
}

// Usage is that of driver.Mounter.
func (m *Mounter) Usage(ctx context.Context, target string) (volume.Usage, error) {
	unlock, err := m.begin(ctx)
	if err != nil {
		return volume.Usage{}, err
	}
	defer unlock()
	if _, ok := m.mounted[target]; !ok {
		return volume.Usage{}, fmt.Errorf("mount at %q: %w", target, volume.ErrNotFound)
	}
	return volume.Usage{
		TotalBytes: 2 * Available, UsedBytes: Available, AvailableBytes: Available,
		TotalInodes: 1000, UsedInodes: 1, AvailableInodes: 999,
	}, nil
}
