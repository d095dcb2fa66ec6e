// Package conformance runs the file system contract against real servers.
package conformance

import (
	"context"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/nfstest"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

const openTimeout = 30 * time.Second

// open opens an export for one test.
func open(t *testing.T, c nfs.Config) *nfs.FS {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	f, err := nfs.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

var versions = []nfs.Version{nfs.V42, nfs.V41, nfs.V40, nfs.V3}

// TestEnvironment runs against the servers of NFS_TEST_SERVER, of which there may be none.
func TestEnvironment(t *testing.T) {
	inEnvironment(t, func(t *testing.T, c nfs.Config) {
		nfstest.Run(t, func(t *testing.T) nfstest.FS { return open(t, c) })
	})
}

// inEnvironment runs judge for each server of NFS_TEST_SERVER.
func inEnvironment(t *testing.T, judge func(*testing.T, nfs.Config)) {
	servers, err := nfsserver.FromEnv(testing.Short())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		c := nfs.Config{Server: s.Host, Export: s.Export, ActAsOwner: true}
		if s.Version != "" {
			v, err := nfs.ParseVersion(s.Version)
			if err != nil {
				t.Fatal(err)
			}
			c.Versions = []nfs.Version{v}
		}
		t.Run(s.Host+s.Export+" "+s.Version, func(t *testing.T) { judge(t, c) })
	}
}
