package nfs

import (
	"context"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// worker is whom a directory is worked in as, which changes when the server refuses.
type worker struct {
	uid, gid, mode uint32 // of the directory
	named          bool   // its owner is a name and no number

	mu   sync.Mutex
	cred rpc.Credential
	step int // how far retry has gone
}

// as makes one call in a directory, as whoever may. Refused, it is made again as the directory's owner, and then again
// after the owner has given himself all rights.
func (w *walker) as(ctx context.Context, d *directory, do func(cred *rpc.Credential) error) error {
	for {
		cred, step := d.credential()
		if err := w.pace.enter(ctx); err != nil {
			return err
		}
		err := do(&cred)
		w.pace.leave()
		if !status.Refused(err) {
			return err
		}
		more, failed := d.retry(ctx, w, step)
		if failed != nil && hopeless(failed) {
			return failed
		}
		if !more {
			return err
		}
	}
}

func (d *worker) credential() (rpc.Credential, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cred, d.step
}

// Steps of escalation.
const (
	asBase = iota
	asOwner
	asOwnerWithRights
)

// retry goes one step further, unless another call in this directory has done so since the refused one began.
func (d *directory) retry(ctx context.Context, w *walker, refusedAt int) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.step > refusedAt {
		return true, nil
	}
	switch d.step {
	case asBase:
		w.squashed.Store(true)
		d.toOwner()
	case asOwner:
		if err := w.client.SetMode(ctx, &d.cred, d.handle, d.mode|0o700); err != nil {
			return false, err
		}
		d.step = asOwnerWithRights
	default:
		return false, nil
	}
	return true, nil
}

// toOwner switches to the directory's owner, whose groups we do not know. Root is no step up: either we are root, or the
// server squashes it.
func (d *worker) toOwner() {
	d.step = asOwner
	if !d.named && d.uid != 0 && d.uid != d.cred.UID {
		d.cred = rpc.Credential{UID: d.uid, GID: d.gid}
	}
}
