package drivertest

import (
	"context"
	"fmt"
	"maps"
	"reflect"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Mounter is a [driver.Mounter] that mounts in memory: nothing appears on disk. The zero value is ready.
type Mounter struct {
	faulty
	mounted map[string]Mounted
	usage   *volume.Usage
}

// Mounted is what is at a target.
type Mounted struct {
	volume.Mountpoint
	ReadOnly bool
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

// Report makes Usage answer that from now on.
func (m *Mounter) Report(u volume.Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage = &u
}

func (m *Mounter) begin(ctx context.Context) (unlock func(), err error) {
	unlock, err = m.lock(ctx)
	if err == nil && m.mounted == nil {
		m.mounted = map[string]Mounted{}
	}
	return unlock, err
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
	if m.usage != nil {
		return *m.usage, nil
	}
	return volume.Usage{
		TotalBytes: 2 * Available, UsedBytes: Available, AvailableBytes: Available,
		TotalInodes: 1000, UsedInodes: 1, AvailableInodes: 999,
	}, nil
}

// ByServer is that of driver.Mounter.
func (m *Mounter) ByServer() (map[string][]string, error) {
	by := map[string][]string{}
	for target, at := range m.Mounts() {
		by[at.Server] = append(by[at.Server], target)
	}
	return by, nil
}
