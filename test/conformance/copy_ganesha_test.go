//go:build !guest

package conformance

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// TestCopyOwners copies what belongs to several users, as root and where root is squashed.
func TestCopyOwners(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			c := nfs.Config{Server: g.Host, Export: g.Export, Versions: []nfs.Version{v}, ActAsOwner: true, Dial: g.Dial}
			copyLocally(t, c, g.Export, []int{0, 1000, 2000})
			c.Export = g.Squashed
			owner := open(t, c).ActingAs().UID
			copyLocally(t, c, g.Squashed, []int{int(owner), 2000, 3000, 4000})
		})
	}
}

// TestCopySquashedRoot: what belongs to root cannot be copied where root is squashed, and that is said.
func TestCopySquashedRoot(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		f := open(t, nfs.Config{Server: g.Host, Export: g.Squashed, Versions: []nfs.Version{v}, ActAsOwner: true, Dial: g.Dial})
		if err := f.Mkdir(t.Context(), "roots", 0o755, -1, -1); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(g.Squashed, "roots", "file"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		err := f.CopyTree(t.Context(), "roots", "copy", nil)
		if err == nil || !strings.Contains(err.Error(), "squash") {
			t.Errorf("v%v: %v", v, err)
		}
		for _, name := range []string{"roots", "copy"} {
			if err := f.RemoveAll(t.Context(), name, nil); err != nil {
				t.Error(err)
			}
			if _, err := f.Lstat(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	}
}

func TestCopyCutConnections(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			copyCut(t, nfs.Config{Server: g.Host, Export: g.Export, Versions: []nfs.Version{v}, Dial: g.Dial}, g.Export)
		})
	}
}
