//go:build !guest

package conformance

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// TestClosedParents opens a directory below an export that squashes root, where every directory on the way is closed to all
// but its owner. To make volumes there the way is walked as the owners; the MOUNT protocol of version 3 leaves it to the server.
func TestClosedParents(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	const uid, other, last = nfsserver.SquashUID, 2000, 3000
	closed := func(path string, mode fs.FileMode, owner int) {
		t.Helper()
		err := os.Mkdir(path, mode)
		if errors.Is(err, fs.ErrExist) {
			err = os.Chmod(path, mode)
		}
		if err := errors.Join(err, os.Chown(path, owner, owner)); err != nil {
			t.Fatal(err)
		}
	}
	team, deep := filepath.Join(g.Squashed, "team"), filepath.Join(g.Squashed, "team", "deep")
	closed(g.Squashed, 0o770, uid)
	closed(team, 0o700, other)
	closed(deep, 0o770, last)
	if err := os.Symlink("team", filepath.Join(g.Squashed, "link")); err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			c := nfs.Config{Server: g.Host, Export: deep, Versions: []nfs.Version{v}, ActAsOwner: true, Dial: g.Dial}
			f := open(t, c)
			if as := f.ActingAs(); as.UID != last {
				t.Errorf("acting as %d", as.UID)
			}
			name := "made by v" + v.String()
			if err := f.Mkdir(t.Context(), name, 0o700, -1, -1); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(deep, name)); err != nil {
				t.Errorf("on the server: %v", err)
			}
			if v == nfs.V3 {
				return
			}
			c.ActAsOwner = false
			if f, err := nfs.Open(t.Context(), c); !errors.Is(err, nfs.ErrRefused) {
				t.Errorf("as squashed root: %v, %v", f, err)
			}
			c.ActAsOwner, c.Export = true, filepath.Join(g.Squashed, "link", "deep")
			if f, err := nfs.Open(t.Context(), c); err == nil {
				t.Errorf("followed a link: %v", f)
			}
		})
	}
}
