// Package making makes volumes, or finds them made.
//
// It looks that the directory is absent and that no other volume has one above, then writes record and reservation, both exclusively, then makes
// the directory: each is one round trip. So a record proves that the directory was absent when it was written, and whatever a crash leaves is
// completed or undone by the retry.
package making

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/copying"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Maker makes volumes on one share.
type Maker struct {
	*registry.Share
	Copier  *copying.Copier
	Remover Remover
}

// Remover takes away what stands in the way of a volume that is filled, or is left of one.
type Remover interface {
	// Retire moves the directory of a volume, which its maker gives up, to the trash.
	Retire(ctx context.Context, r volume.Record) error
	// DisposeHeld moves to the trash, or archives, what deletions of a volume that is made again have left aside.
	DisposeHeld(ctx context.Context, r volume.Record) error
}
