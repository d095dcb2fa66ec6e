//go:build guest

package conformance

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// TestKernelWithoutTLS: the kernel's server without TLS takes the question for any other call, and yet is not taken for one
// that has it.
func TestKernelWithoutTLS(t *testing.T) {
	for _, v := range versions {
		c := guestExport(t, "NFS_TEST_EXPORT")
		c.Versions, c.TLS = []nfs.Version{v}, func() (*tls.Config, error) { return &tls.Config{}, nil }
		if err := nfs.Probe(t.Context(), c); !errors.Is(err, nfs.ErrTLS) || !errors.Is(err, nfs.ErrRefused) || !strings.Contains(err.Error(), "answers without STARTTLS") {
			t.Errorf("version %v: %v", v, err)
		}
	}
}
