//go:build !guest

package sanity_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// The contracts in the comments of driver.Store, kept by pkg/share over memory.
func TestStore(t *testing.T) {
	l := volume.Location{Server: "nfs.example", Share: "/exports/k8s"}
	disk := memfs.New()
	manager := share.NewManager(share.Config{
		Open: func(_ context.Context, at volume.Location, _ []string) (share.FS, io.Closer, error) {
			if at != l {
				return nil, nil, errors.New("another share was opened")
			}
			return disk, io.NopCloser(nil), nil
		},
		Locations: []volume.Location{l},
		Log:       drivertest.Log(t),
	})
	drivertest.TestStore(t, manager, l)
	if err := manager.Close(); err != nil {
		t.Error(err)
	}
}
