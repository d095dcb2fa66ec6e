package memfs_test

import (
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/nfstest"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
)

// TestConformance holds the stand-in to what the real client is held to.
func TestConformance(t *testing.T) {
	nfstest.Run(t, func(*testing.T) nfstest.FS { return memfs.New() })
}
