package share_test

import (
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
)

func TestConformance(t *testing.T) {
	sharetest.Run(t, func(*testing.T) share.FS { return memfs.New() })
}
