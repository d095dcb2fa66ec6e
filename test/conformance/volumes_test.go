package conformance

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
)

// TestVolumes keeps volumes on the servers of NFS_TEST_SERVER, of which there may be none; of a guest, when in a hurry, on
// one export: the others differ below what volumes need.
func TestVolumes(t *testing.T) {
	open := os.Getenv("NFS_TEST_EXPORT")
	inEnvironment(t, func(t *testing.T, c nfs.Config) {
		if !testing.Short() || open == "" || c.Export == open && c.Versions[0] == nfs.V42 {
			volumesOn(t, c)
		}
	})
}

var shares atomic.Int64 // numbers the shares of this process

// volumesOn judges volumes on an export, where each test gets a directory of its own as its share.
func volumesOn(t *testing.T, c nfs.Config) {
	sharetest.Run(t, func(t *testing.T) share.FS {
		f := open(t, c)
		dir := fmt.Sprint("share-", shares.Add(1))
		if err := f.RemoveAll(t.Context(), dir, nil); err != nil {
			t.Fatal(err)
		}
		if err := f.Mkdir(t.Context(), dir, 0o755, -1, -1); err != nil {
			t.Fatal(err)
		}
		return sharetest.Below(f, dir)
	})
}
