// Package listing tells a directory that a server cannot list just now from one that is gone.
package listing

import (
	"context"
	"errors"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// vanishing is how often a listing is tried when the directory exists and yet the server answers NOENT: ganesha does so when a name
// goes away under it.
const vanishing = 8

// Page lists until the server has another answer for a directory that is there. When there is none in the end, that is no NOENT,
// which would be taken for the directory's. list also tells whether the directory is there.
func Page(ctx context.Context, list func() (page file.Page, there bool, err error)) (file.Page, error) {
	for tries := 1; ; tries++ {
		page, there, err := list()
		var failed *status.Error
		if !there || !status.Is(err, status.NoEnt) || !errors.As(err, &failed) {
			return page, err
		}
		err = fmt.Errorf("the server does not list it while names in it go away: %w", &status.Error{Version: failed.Version, Op: failed.Op, Code: status.IO})
		if tries == vanishing {
			return page, err
		}
		if over := rpc.Sleep(ctx, rpc.Pause(tries)); over != nil {
			return page, fmt.Errorf("%w: %w", err, over)
		}
	}
}
