package share_test

import (
	"context"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// dying is a process that dies after its nth call of op.
func (w *world) dying(op string, n int, do func(p *process) error) {
	w.Helper()
	p := newProcess(w.fs, op, n, diedAfter)
	err := do(p)
	w.must(p.Close())
	if err == nil || !p.fired() {
		w.Fatalf("it did not die: %v", err)
	}
}

// TestExpiryLeavesNamesake: an archive that is due was taken away, and another volume of the same name is just being archived.
func TestExpiryLeavesNamesake(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var v volume.Volume
	w.must(w.clean(creates(&v, archiving("pvc-1", "a", time.Hour))))
	w.must(w.clean(deletes(v.ID)))
	w.must(w.fs.Rename(t.Context(), "archived-a", "mine"))
	w.must(w.clean(creates(&v, archiving("pvc-1", "a", 0))))
	w.write("a/file", "kept")
	w.dying("Rename", 1, deletes(v.ID))
	w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
	w.must(w.clean(deletes(v.ID)))
	w.emptied()
	w.archives("archived-a pvc-1")
	w.holds(nil, "archived-a/", "archived-a/file=kept", "mine/")
}

// TestDeleteAfterExpiry: a process dies while it gives up the reservation of an archive that it has removed. A deletion of the volume that is
// repeated then reserves nothing.
func TestDeleteAfterExpiry(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var v, b volume.Volume
	w.must(w.clean(creates(&v, archiving("pvc-1", "a", time.Hour))))
	w.must(w.clean(deletes(v.ID)))
	w.dying("Rename", 3, func(p *process) error { return visits(late(w, p, 2*time.Hour)) })
	w.must(w.clean(func(p *process) error {
		p.hooked.Before = func(_ context.Context, c sharetest.Call) error {
			if c.Op == "ReadDir" && c.Names[0] == volume.Reserved+"/parents" {
				return errLost // nobody tidies before
			}
			return nil
		}
		return p.Delete(p.ctx, v.ID, nil)
	}))
	w.must(w.clean(creates(&b, request("pvc-2", "a", volume.Delete, false))))
	w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
	w.emptied()
	w.holds([]volume.Volume{b}, "a/")
}
