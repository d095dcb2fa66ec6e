//go:build !guest

package conformance

import (
	"net"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// targets are a ganesha with each version, and go-nfs; in a hurry, those that differ most.
func targets(t *testing.T) []target {
	g := nfsserver.StartGanesha(t)
	var all []target
	for _, v := range versions {
		on := target{name: "ganesha v" + v.String(), disk: g.Export}
		on.Config = nfs.Config{Server: g.Host, Export: g.Export, Versions: []nfs.Version{v}, Dial: g.Dial}
		if v >= nfs.V41 {
			on.slots = 64
		}
		if v != nfs.V41 || !testing.Short() {
			all = append(all, on)
		}
	}
	if testing.Short() {
		return all
	}
	old := nfsserver.StartGoNFS(t)
	return append(all, target{name: "go-nfs", disk: old.Dir, Config: nfs.Config{
		Server: old.Host, Export: old.Export, Port: old.Port, MountPort: old.Port, Versions: []nfs.Version{nfs.V3},
		Dial: (&net.Dialer{}).DialContext,
	}})
}

// TestFaults has each target go through each trial, many at once, and checks that no goroutine of the client is left.
func TestFaults(t *testing.T) {
	before := len(clientGoroutines())
	defer waitForGoroutines(t, before)
	t.Run("on", func(t *testing.T) {
		for _, on := range targets(t) {
			for _, tried := range trials() {
				t.Run(on.name+"/"+tried.name, func(t *testing.T) {
					t.Parallel()
					withFaults(t, on, tried)
				})
			}
		}
	})
}
