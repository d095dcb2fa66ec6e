// Package failure says what an error of a share means for a volume.
package failure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// kinds are the failures of volumes; an error that matches one has been explained already.
var kinds = [...]error{volume.ErrInvalid, volume.ErrRange, volume.ErrExists, volume.ErrNotFound, volume.ErrBusy, volume.ErrUnavailable,
	volume.ErrRefused, volume.ErrNoSpace, volume.ErrReadOnly, volume.ErrUnsupported, volume.ErrToken}

// causes is the one table from what a file system answers to what it means for a volume. The first match counts, so
// ENOTEMPTY, which matches fs.ErrExist too, needs no row.
var causes = [...]struct{ cause, kind error }{
	{syscall.ENOSPC, volume.ErrNoSpace},
	{syscall.EDQUOT, volume.ErrNoSpace},
	{syscall.EROFS, volume.ErrReadOnly},
	{syscall.EXDEV, volume.ErrUnsupported},
	{syscall.ENOTSUP, volume.ErrUnsupported},
	{syscall.ENOSYS, volume.ErrUnsupported},
	{syscall.ELOOP, volume.ErrInvalid},
	{syscall.ENOTDIR, volume.ErrInvalid},
	{syscall.EISDIR, volume.ErrInvalid},
	{syscall.EFBIG, volume.ErrInvalid},
	{syscall.ENAMETOOLONG, volume.ErrInvalid},
	{syscall.EBUSY, volume.ErrBusy},
	{fs.ErrInvalid, volume.ErrInvalid},
	{fs.ErrPermission, volume.ErrRefused},
	{fs.ErrExist, volume.ErrExists},
	{fs.ErrNotExist, volume.ErrNotFound},
}

// Explain wraps err with its [Kind], unless it has one already.
func Explain(err error, classify func(error) error) error {
	kind := Kind(err, classify)
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// Kind is the sentinel of pkg/volume that err means. Errors that have one already keep it, then classify is asked (nil: nobody
// is), then io/fs and package syscall. What is not known may have happened or not, and is [volume.ErrUnavailable], so that it is tried
// again. No error and those of a context have none: nil.
func Kind(err error, classify func(error) error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return kind
		}
	}
	if classify != nil {
		if kind := classify(err); kind != nil {
			return kind
		}
	}
	for _, c := range causes {
		if errors.Is(err, c.cause) {
			return c.kind
		}
	}
	return volume.ErrUnavailable
}

// Definite says that what failed with err did certainly not happen, and will fail in the same way again.
func Definite(err error, classify func(error) error) bool {
	kind := Kind(err, classify)
	return kind != nil && !errors.Is(kind, volume.ErrUnavailable) && !errors.Is(kind, volume.ErrBusy)
}
