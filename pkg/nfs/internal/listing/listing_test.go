package listing

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// TestVanishing: a directory that is there and that the server does not find when it lists it is neither empty nor gone.
func TestVanishing(t *testing.T) {
	for _, noEnt := range []*status.Error{{Version: 3, Op: "READDIRPLUS", Code: status.NoEnt}, {Version: 4, Op: "READDIR", Code: status.NoEnt}} {
		synctest.Test(t, func(t *testing.T) {
			tries, start := 0, time.Now()
			_, err := Page(t.Context(), func() (page file.Page, there bool, err error) {
				tries++
				return page, true, noEnt
			})
			if took := time.Since(start); !errors.Is(err, syscall.EIO) || errors.Is(err, fs.ErrNotExist) || tries != vanishing || took < time.Second {
				t.Errorf("%v after %d tries in %v", err, tries, took)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = Page(ctx, func() (file.Page, bool, error) { return file.Page{}, true, noEnt })
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("when time is over: %v", err)
			}
		})
	}
}
