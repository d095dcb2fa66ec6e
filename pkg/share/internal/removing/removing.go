// Package removing takes volumes away as their policies say.
//
// The directory goes first, to the trash or to the name of an archive, by way of staging; then the reservation, then the record, which
// knows the policy. Whatever crash is between two of these steps, the next try for the same volume knows from what is left what is to do.
package removing

import (
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Remover takes volumes and archives off one share. All fields are set before it is used.
type Remover struct {
	*registry.Share
	// Wake has the trash looked at: something may have come there without us knowing.
	Wake func()
	// Archived is told of each directory that was archived.
	Archived func(Archive)
	// Hold keeps others of this process away from the directory of an archive, or answers [volume.ErrBusy].
	Hold func(volume.Dir) (release func(), err error)
}
