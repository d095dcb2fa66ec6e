//go:build guest

package conformance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// TestKernelXattrs copies extended attributes of files and directories, by version 4.2 where the server's file system keeps them.
func TestKernelXattrs(t *testing.T) {
	for _, variable := range []string{"NFS_TEST_EXPORT_XFS", "NFS_TEST_EXPORT_EXT4"} {
		t.Run(variable, func(t *testing.T) {
			c := guestExport(t, variable)
			c.Versions = []nfs.Version{nfs.V42}
			from, to := filepath.Join(c.Export, "xattr-from"), filepath.Join(c.Export, "xattr-to")
			t.Cleanup(func() { os.RemoveAll(from); os.RemoveAll(to) })
			plantSizes(t, from, 40, 100, 1<<20)
			if err := os.Mkdir(filepath.Join(from, "dir"), 0o755); err != nil {
				t.Fatal(err)
			}
			planted := map[string][]byte{}
			for i, path := range []string{"", "dir", "big", "empty", "0", "39"} {
				value := bytes.Repeat([]byte{0, 0xff, byte(i)}, 50) // ext4 has room for little
				for j := range 3 {
					if err := unix.Setxattr(filepath.Join(from, path), xattrName(j), value[j:], 0); err != nil {
						t.Fatal(err)
					}
				}
				planted[path] = value
			}
			copied(t, c, "xattr-from", "xattr-to")
			sameLocally(t, from, to)
			for path, value := range planted {
				for j := range 3 {
					wantXattr(t, filepath.Join(to, path), xattrName(j), value[j:])
				}
			}
			if n, err := unix.Listxattr(filepath.Join(to, "1"), nil); err != nil || n != 0 {
				t.Errorf("a file without has %d bytes of names, %v", n, err)
			}
		})
	}
}

func xattrName(i int) string { return fmt.Sprintf("user.nfs-csi test \xe9 %d", i) }

func wantXattr(t *testing.T, path, name string, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	n, err := unix.Getxattr(path, name, got)
	if err != nil || !bytes.Equal(got[:max(n, 0)], want) {
		t.Errorf("%q of %s has %d bytes, want %d: %v", name, path, n, len(want), err)
	}
}
