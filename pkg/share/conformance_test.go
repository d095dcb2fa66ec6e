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

func TestConformanceBelow(t *testing.T) {
	sharetest.Run(t, func(t *testing.T) share.FS {
		fsys := memfs.New()
		if err := fsys.Mkdir(t.Context(), "share", 0o755, -1, -1); err != nil {
			t.Fatal(err)
		}
		return sharetest.Below(fsys, "share")
	})
}
