package failure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

var errForeign = errors.New("of another package")

func TestKinds(t *testing.T) {
	classify := func(err error) error {
		if errors.Is(err, errForeign) {
			return volume.ErrRefused
		}
		return nil
	}
	for _, tt := range []struct {
		err, kind error
		definite  bool
	}{
		{nil, nil, false},
		{context.Canceled, nil, false},
		{context.DeadlineExceeded, nil, false},
		{fmt.Errorf("%w: %w", context.DeadlineExceeded, syscall.ENOSPC), nil, false}, // it was retried, who knows
		{syscall.ENOSPC, volume.ErrNoSpace, true},
		{syscall.EDQUOT, volume.ErrNoSpace, true},
		{syscall.EROFS, volume.ErrReadOnly, true},
		{syscall.EACCES, volume.ErrRefused, true},
		{syscall.EPERM, volume.ErrRefused, true},
		{fs.ErrPermission, volume.ErrRefused, true},
		{syscall.ELOOP, volume.ErrInvalid, true},
		{syscall.ENOTDIR, volume.ErrInvalid, true},
		{syscall.ENAMETOOLONG, volume.ErrInvalid, true},
		{fs.ErrInvalid, volume.ErrInvalid, true},
		{fs.ErrExist, volume.ErrExists, true},
		{syscall.ENOTEMPTY, volume.ErrExists, true},
		{fs.ErrNotExist, volume.ErrNotFound, true},
		{syscall.EXDEV, volume.ErrUnsupported, true},
		{syscall.EBUSY, volume.ErrBusy, false},
		{syscall.ESTALE, volume.ErrUnavailable, false},
		{syscall.EIO, volume.ErrUnavailable, false},
		{errors.New("anything else"), volume.ErrUnavailable, false},
		{errForeign, volume.ErrRefused, true},
		{fmt.Errorf("%w: %w", volume.ErrInvalid, errForeign), volume.ErrInvalid, true}, // explained already
	} {
		if got := Kind(tt.err, classify); got != tt.kind {
			t.Errorf("%v is %v, want %v", tt.err, got, tt.kind)
		}
		if got := Definite(tt.err, classify); got != tt.definite {
			t.Errorf("%v is definite: %v", tt.err, got)
		}
		got := Explain(tt.err, classify)
		if !errors.Is(got, tt.err) || tt.kind != nil && !errors.Is(got, tt.kind) {
			t.Errorf("%v is explained as %v", tt.err, got)
		}
	}
	for _, kind := range kinds {
		if Explain(kind, nil) != kind {
			t.Errorf("%v is explained twice", kind)
		}
	}
}
