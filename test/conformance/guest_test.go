//go:build guest

package conformance

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// guestExport returns an export that test/guest offers.
func guestExport(t *testing.T, variable string) nfs.Config {
	t.Helper()
	export := os.Getenv(variable)
	if export == "" {
		t.Fatalf("%s is not set: run this in test/guest with --nfsd", variable)
	}
	return nfs.Config{Server: os.Getenv(nfsserver.Variable), Export: export}
}

// TestKernelRefuses asks the kernel's server for what it does not give us.
func TestKernelRefuses(t *testing.T) {
	highPort := (&net.Dialer{}).DialContext
	for _, tt := range []struct {
		name, variable, below string
		dial                  func(ctx context.Context, network, address string) (net.Conn, error)
		want                  error // nil: admitted
		text                  string
	}{
		{"for another client", "NFS_TEST_EXPORT_REFUSED", "", nil, nil, ""}, // filled in below: versions differ
		{"low port on a secure export", "NFS_TEST_EXPORT_SECURE", "", nil, nil, ""},
		{"high port on a secure export", "NFS_TEST_EXPORT_SECURE", "", highPort, nfs.ErrRefused, "insecure"},
		{"high port on an insecure export", "NFS_TEST_EXPORT", "", highPort, nil, ""},
		{"missing directory", "NFS_TEST_EXPORT", "/none", nil, fs.ErrNotExist, "does not exist on the server"},
		{"pseudo root", "NFS_TEST_EXPORT", "/..", nil, nfs.ErrRefused, ""},
		{"export below directories that are none", "NFS_TEST_EXPORT_NESTED", "", nil, nil, ""},
		{"directory that only leads to it", "NFS_TEST_EXPORT_NESTED", "/..", nil, nfs.ErrRefused, ""},
		{"for another client beside ours", "NFS_TEST_EXPORT_REFUSED_BESIDE", "", nil, nil, ""},
		{"read-only for volumes", "NFS_TEST_EXPORT_READONLY", "", nil, nfs.ErrRefused, "read-write"},
		{"read-only to be mounted", "NFS_TEST_EXPORT_READONLY", "", nil, nil, ""},
	} {
		for _, v := range versions {
			c := guestExport(t, tt.variable)
			c.Versions, c.Dial, c.Export = []nfs.Version{v}, tt.dial, c.Export+tt.below
			c.Export = strings.TrimSuffix(c.Export, "/open/..")
			c.Export = strings.TrimSuffix(c.Export, "/nested/..")
			c.ActAsOwner = tt.name != "read-only to be mounted"
			if strings.HasPrefix(tt.name, "for another client") {
				if tt.want, tt.text = nfs.ErrRefused, "admits"; v != nfs.V3 {
					tt.want, tt.text = fs.ErrNotExist, "not exported to this client"
				}
			}
			t.Run(tt.name+" v"+v.String(), func(t *testing.T) {
				err := nfs.Probe(t.Context(), c)
				if !errors.Is(err, tt.want) || tt.want == nil && err != nil || err != nil && !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%s: got %v, want %v (%q)", c.Export, err, tt.want, tt.text)
				}
			})
		}
	}
}

// TestKernelFull fills an export: the error says so, and no half file is left.
func TestKernelFull(t *testing.T) {
	c := guestExport(t, "NFS_TEST_EXPORT_SMALL")
	for _, v := range versions {
		c.Versions = []nfs.Version{v}
		f := open(t, c)
		for _, size := range []int{2 << 20, 5 << 20} {
			if err := f.CreateFile(t.Context(), "big", make([]byte, size), 0o644); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("v%v: %d bytes: %v", v, size, err)
			}
			if _, err := f.Lstat(t.Context(), "big"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("v%v: half a file is left: %v", v, err)
			}
		}
	}
}

// TestKernelCutConnections breaks connections to the kernel's server in the middle of everything; who we are there makes a
// difference to what we take for our own doing.
func TestKernelCutConnections(t *testing.T) {
	for _, variable := range []string{"NFS_TEST_EXPORT", "NFS_TEST_EXPORT_SQUASH", "NFS_TEST_EXPORT_ALL_SQUASH"} {
		for _, v := range versions {
			if testing.Short() && variable != "NFS_TEST_EXPORT" && v != nfs.V3 {
				continue // the others repeat nothing that was done
			}
			t.Run(variable+" v"+v.String(), func(t *testing.T) {
				c := guestExport(t, variable)
				c.Versions, c.ActAsOwner = []nfs.Version{v}, true
				cutConnections(t, c)
			})
		}
	}
}

// TestKernelFaults lets everything happen to a choice of the calls to the kernel's server, which TestFaults lets happen to each;
// in a hurry, what differs most.
func TestKernelFaults(t *testing.T) {
	before := len(clientGoroutines())
	defer waitForGoroutines(t, before)
	for _, v := range versions {
		c := guestExport(t, "NFS_TEST_EXPORT")
		c.Versions, c.Dial = []nfs.Version{v}, (&net.Dialer{}).DialContext
		for _, tried := range trials() {
			if !testing.Short() || slices.Contains(kernelTrials, tried.name) {
				t.Run("v"+v.String()+"/"+tried.name, func(t *testing.T) {
					withFaults(t, target{name: "kernel", Config: c, disk: c.Export, hurry: true}, tried)
				})
			}
		}
	}
}

var kernelTrials = []string{"cut before the reply", "damaged replies/Rename", "caller leaves/CreateFile"}

// TestKernelIPv6 opens an export by an address of version 6.
func TestKernelIPv6(t *testing.T) {
	for _, v := range versions {
		c := guestExport(t, "NFS_TEST_EXPORT")
		c.Server, c.Versions = "::1", []nfs.Version{v}
		if err := nfs.Probe(t.Context(), c); err != nil {
			t.Errorf("v%v: %v", v, err)
		}
	}
}
