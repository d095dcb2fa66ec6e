package share

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

// explain wraps err with its kind, unless it has one or is the context's. What is not known may have happened or not,
// and is [volume.ErrUnavailable], so that it is tried again.
func explain(err error, classify func(error) error) error {
	kind := kindOf(err, classify)
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// kindOf is nil for no error and for those of a context.
func kindOf(err error, classify func(error) error) error {
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

// definite says that what failed with err did certainly not happen, and will fail in the same way again.
func definite(err error, classify func(error) error) bool {
	kind := kindOf(err, classify)
	return kind != nil && !errors.Is(kind, volume.ErrUnavailable) && !errors.Is(kind, volume.ErrBusy)
}
