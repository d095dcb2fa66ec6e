// Package drivertest has memory fakes of what pkg/driver needs, and the suites that they and the real ones pass.
package drivertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Volumes is a [driver.Volumes] that keeps volumes in memory and remembers what it was asked. The zero value is ready.
type Volumes struct {
	mu        sync.Mutex
	byName    map[string]volume.Volume
	requests  []volume.Request
	deletions []Deletion
	fault     func(ctx context.Context) error
}

// Deletion is one call of Delete.
type Deletion struct {
	ID           volume.ID
	MountOptions []string
}

// Available is the free space that Volumes reports, in bytes; the total is twice that.
const Available = 1 << 40

// Fail makes every following call begin with f, which may wait for the context; an error of f is the call's. nil ends it.
func (v *Volumes) Fail(f func(ctx context.Context) error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fault = f
}

// Requests are those that Create was called with, in order.
func (v *Volumes) Requests() []volume.Request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.requests)
}

// Deletions are the calls of Delete, in order.
func (v *Volumes) Deletions() []Deletion {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.deletions)
}

// begin lets the fault act and locks v.
func (v *Volumes) begin(ctx context.Context) (unlock func(), err error) {
	v.mu.Lock()
	fault := v.fault
	v.mu.Unlock()
	if fault != nil {
		if err := fault(ctx); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.mu.Lock()
	if v.byName == nil {
		v.byName = map[string]volume.Volume{}
	}
	return v.mu.Unlock, nil
}

// Create is that of driver.Volumes.
func (v *Volumes) Create(ctx context.Context, r volume.Request) (volume.Volume, error) {
	unlock, err := v.begin(ctx)
	if err != nil {
		return volume.Volume{}, err
	}
	defer unlock()
	v.requests = append(v.requests, r)
	id, err := r.ID()
	if err != nil {
		return volume.Volume{}, err
	}
	for _, other := range v.byName {
		if other.ID.Location == id.Location && other.ID.Dir == id.Dir && other.ID.Name() != id.Name() {
			return volume.Volume{}, fmt.Errorf("directory %q of volume %q: %w", id.Dir, other.ID.Name(), volume.ErrExists)
		}
	}
	if old, ok := v.byName[id.Name()]; ok {
		if old.ID != id || old.CapacityBytes < r.RequiredBytes || r.LimitBytes > 0 && old.CapacityBytes > r.LimitBytes {
			return volume.Volume{}, fmt.Errorf("volume %q: %w", id.Name(), volume.ErrExists)
		}
		return old, nil
	}
	made := volume.Volume{ID: id, CapacityBytes: r.RequiredBytes, Created: time.Now()}
	v.byName[id.Name()] = made
	return made, nil
}

// Delete is that of driver.Volumes.
func (v *Volumes) Delete(ctx context.Context, id volume.ID, mountOptions []string) error {
	unlock, err := v.begin(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	v.deletions = append(v.deletions, Deletion{ID: id, MountOptions: mountOptions})
	if old, ok := v.byName[id.Name()]; ok && old.ID == id {
		delete(v.byName, id.Name())
	}
	return nil
}

// Get is that of driver.Volumes.
func (v *Volumes) Get(ctx context.Context, id volume.ID) (volume.Volume, error) {
	unlock, err := v.begin(ctx)
	if err != nil {
		return volume.Volume{}, err
	}
	defer unlock()
	if found, ok := v.byName[id.Name()]; ok && found.ID == id {
		return found, nil
	}
	return volume.Volume{}, fmt.Errorf("volume %q: %w", id.Name(), volume.ErrNotFound)
}

// tokenPrefix begins a token; the name of the last volume listed follows.
const tokenPrefix = "after:"

// List is that of driver.Volumes.
func (v *Volumes) List(ctx context.Context, token string, limit int) ([]volume.Volume, string, error) {
	unlock, err := v.begin(ctx)
	if err != nil {
		return nil, "", err
	}
	defer unlock()
	after, ok := strings.CutPrefix(token, tokenPrefix)
	if token != "" && !ok {
		return nil, "", fmt.Errorf("%w: %q", volume.ErrToken, token)
	}
	var page []volume.Volume
	for name, found := range v.byName {
		if name > after {
			page = append(page, found)
		}
	}
	slices.SortFunc(page, func(a, b volume.Volume) int { return strings.Compare(a.ID.Name(), b.ID.Name()) })
	if limit == 0 || len(page) <= limit {
		return page, "", nil
	}
	return page[:limit], tokenPrefix + page[limit-1].ID.Name(), nil
}

// Space is that of driver.Volumes.
func (v *Volumes) Space(ctx context.Context, _ volume.Location) (volume.Space, error) {
	unlock, err := v.begin(ctx)
	if err != nil {
		return volume.Space{}, err
	}
	defer unlock()
	return volume.Space{Total: 2 * Available, Available: Available}, nil
}
