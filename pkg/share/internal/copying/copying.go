// Package copying makes copies of volumes that are whole or not there: snapshots, and what volumes are filled with.
//
// A copy is made under a name in staging that no other try has, after the record of what it becomes and before it is moved into place in
// one step; of a volume the record names the whole copy before that step. So what has no record is nobody's, what another process moves
// away is never taken for whole, and nothing is reported that is not complete.
package copying

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
)

// Copier copies on one share.
type Copier struct {
	*registry.Share
	running chan struct{} // holds one for each copy that runs
}

// New makes a Copier of the share s.
func New(s *registry.Share) *Copier {
	return &Copier{Share: s, running: make(chan struct{}, maxCopies)}
}

// Copy makes a copy of what a volume is filled from, for the volume with the given key, which has its record already, and answers its name
// in staging when it is whole and verified. wanted says why the copy is of no use any more: its source or its record has gone. After
// an error there is no copy, or it is left to the next try.
func (s *Copier) Copy(ctx context.Context, key string, from Origin, wanted func(ctx context.Context) error, p Progress) (staged string, err error) {
	t := transfer{Copier: s, kind: registry.OfVolume, key: key, from: from.path, packed: from.tarball.info != nil, wanted: wanted, progress: p}
	return t.run(ctx)
}
