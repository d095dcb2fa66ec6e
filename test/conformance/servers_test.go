//go:build !guest

package conformance

import (
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/nfstest"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

func TestGanesha(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		for name, export := range map[string]string{"no_root_squash": g.Export, "root_squash": g.Squashed} {
			t.Run("v"+v.String()+"/"+name, func(t *testing.T) {
				nfstest.Run(t, func(t *testing.T) nfstest.FS {
					return open(t, nfs.Config{
						Server: g.Host, Export: export, Versions: []nfs.Version{v}, ActAsOwner: true, Dial: g.Dial,
					})
				}, nfstest.NoLinkTimes)
			})
		}
	}
}

func TestVolumesOnGanesha(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		for name, export := range map[string]string{"no_root_squash": g.Export, "root_squash": g.Squashed} {
			t.Run("v"+v.String()+"/"+name, func(t *testing.T) {
				volumesOn(t, nfs.Config{Server: g.Host, Export: export, Versions: []nfs.Version{v}, ActAsOwner: true, Dial: g.Dial})
			})
		}
	}
}

func TestGoNFS(t *testing.T) {
	g := nfsserver.StartGoNFS(t)
	nfstest.Run(t, func(t *testing.T) nfstest.FS {
		return open(t, nfs.Config{Server: g.Host, Export: g.Export, Port: g.Port, MountPort: g.Port, Versions: []nfs.Version{nfs.V3}})
	}, nfstest.NoSpecialBits, nfstest.VagueErrors, nfstest.NoHardLinks, nfstest.NoSpecialFiles, nfstest.NoLinkTimes, nfstest.NoLinkOwners, nfstest.NoAccessTimes)
}
