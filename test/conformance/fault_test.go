//go:build !guest

package conformance

import (
	"context"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// TestCutConnections breaks connections in the middle of everything. Every operation must succeed, because each works on
// names that nobody else touches, and what is there at the end must be exactly what was asked for.
func TestCutConnections(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	gonfs := nfsserver.StartGoNFS(t)
	configs := map[string]nfs.Config{
		"ganesha v4.2": {Server: g.Host, Export: g.Export, Versions: []nfs.Version{nfs.V42}, Dial: g.Dial},
		"ganesha v4.1": {Server: g.Host, Export: g.Export, Versions: []nfs.Version{nfs.V41}, Dial: g.Dial},
		"ganesha v4.0": {Server: g.Host, Export: g.Export, Versions: []nfs.Version{nfs.V40}, Dial: g.Dial},
		"ganesha v3":   {Server: g.Host, Export: g.Export, Versions: []nfs.Version{nfs.V3}, Dial: g.Dial},
		"go-nfs v3": {Server: gonfs.Host, Export: gonfs.Export, Port: gonfs.Port, MountPort: gonfs.Port,
			Versions: []nfs.Version{nfs.V3}},
	}
	for name, c := range configs {
		t.Run(name, func(t *testing.T) {
			cutConnections(t, c)
		})
	}
}

// TestRestart kills the server while much is under way and starts it again: everything goes on, in new sessions.
func TestRestart(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), faultTimeout)
			defer cancel()
			f := open(t, nfs.Config{Server: g.Host, Export: g.Export, Versions: []nfs.Version{v}, Dial: g.Dial})
			if err := f.Mkdir(ctx, "cut", 0o777, -1, -1); err != nil {
				t.Fatal(err)
			}
			restarted := make(chan error, 1)
			go func() {
				for infos, err := f.ReadDir(ctx, "cut"); err == nil && len(infos) < 20; infos, err = f.ReadDir(ctx, "cut") {
					continue
				}
				g.Stop()
				restarted <- g.Start()
			}()
			if err := atOnce(8, 40, func(name string) error { return everything(ctx, f, "cut/"+name) }); err != nil {
				t.Error(err)
			}
			if err := <-restarted; err != nil {
				t.Fatal(err)
			}
			checkEverything(ctx, t, f, 8*40)
			if err := f.RemoveAll(ctx, "cut", nil); err != nil {
				t.Error(err)
			}
		})
	}
}
