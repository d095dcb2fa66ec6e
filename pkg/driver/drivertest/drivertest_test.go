package drivertest_test

import (
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestFakes(t *testing.T) {
	l := volume.Location{Server: "server", Share: "/share"}
	t.Run("store", func(t *testing.T) { drivertest.TestStore(t, new(drivertest.Store), l) })
	t.Run("mounter", func(t *testing.T) {
		one, two := volume.Mountpoint{Location: l, Path: "/share/one"}, volume.Mountpoint{Location: l, Path: "/share/two"}
		drivertest.TestMounter(t, new(drivertest.Mounter), one, two, "/target")
	})
}
