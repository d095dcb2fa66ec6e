package share_test

import (
	"context"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
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

// TestArchiveBesideItsParent: a volume is made where the archive of another one would be inside it, at any moment of the archiving.
func TestArchiveBesideItsParent(t *testing.T) {
	everyMoment(t, func(t *testing.T, w *world) {
		var a, b volume.Volume
		w.must(w.clean(creates(&a, request("pvc-a", "ns/x", volume.Archive, false))))
		w.write("ns/x/old", "a")
		second := creates(&b, request("pvc-b", "archived-ns", volume.Delete, false))
		var errB error
		errA := w.disturbedBy(func() { errB = w.clean(second) }, deletes(a.ID))
		w.must(w.again(errA, deletes(a.ID)))
		if errB != nil {
			w.wantsExists(errB)
			w.holds(nil, "archived-ns/", "archived-ns/x/", "archived-ns/x/old=a")
			return
		}
		w.holds([]volume.Volume{b}, "archived-ns/", "archived-ns-x/", "archived-ns-x/old=a")
	})
}

// TestFilledAfterHalfArchived: a process dies while it archives a volume that was filled, and the volume is made again.
func TestFilledAfterHalfArchived(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	v, _ := w.sourced()
	var a volume.Volume
	again := creates(&a, filling("pvc-1", "a", volume.Archive, volume.Source{Volume: &v.ID}))
	w.must(w.clean(again))
	w.write("a/mine", "kept")
	w.dying("Rename", 1, deletes(a.ID))
	w.must(w.clean(again))
	w.emptied()
	w.archives("archived-a pvc-1")
	if !w.exists("archived-a/mine") || w.exists("a/mine") {
		t.Errorf("the share holds %q", w.tree("."))
	}
}

// TestKeptMeanwhile: an archive that is due, or what it is in, is taken for a volume and kept when that is deleted, at any moment of the
// archive's removal.
func TestKeptMeanwhile(t *testing.T) {
	for dir, taken := range map[string]string{"a": "archived-a", "ns/a": "archived-ns"} {
		everyMoment(t, func(t *testing.T, w *world) {
			var a, b volume.Volume
			w.must(w.clean(creates(&a, archiving("pvc-a", dir, time.Hour))))
			w.write(dir+"/file", "x")
			w.must(w.clean(deletes(a.ID)))
			faulty := w.faulty
			w.faulty = func() *process { return late(w, faulty(), 2*time.Hour) }
			kept := false
			w.must(w.disturbedBy(func() {
				if w.clean(creates(&b, request("pvc-b", taken, volume.Retain, true))) == nil {
					kept = w.exists("archived-" + dir + "/file")
					w.must(w.clean(deletes(b.ID)))
				}
			}, visits))
			w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
			w.emptied()
			if kept && !w.exists("archived-"+dir+"/file") {
				t.Errorf("the share holds %q", w.tree("."))
			}
		})
	}
}

// TestKeptWithArchive: a volume took a directory with an archive in it, and is kept when it is deleted: the archive is none any more.
func TestKeptWithArchive(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var a, b volume.Volume
	w.must(w.clean(creates(&a, archiving("pvc-a", "ns/a", time.Hour))))
	w.write("ns/a/file", "x")
	w.must(w.clean(deletes(a.ID)))
	w.must(w.clean(creates(&b, request("pvc-b", "archived-ns", volume.Retain, true))))
	w.must(w.clean(deletes(b.ID)))
	w.archives()
	w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
	w.emptied()
	w.holds(nil, "archived-ns/", "archived-ns/a/", "archived-ns/a/file=x")
}

// TestArchivedTwice: a process dies while it archives a volume, which is made and deleted again: both archives go when they are due.
func TestArchivedTwice(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var v volume.Volume
	again := creates(&v, archiving("pvc-1", "a", time.Hour))
	w.must(w.clean(again))
	w.write("a/old", "x")
	w.dying("Rename", 1, deletes(v.ID))
	w.must(w.clean(again))
	w.must(w.clean(deletes(v.ID)))
	w.archives("archived-a pvc-1 1h0m0s", "archived-a-pvc-1 pvc-1 1h0m0s")
	w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
	w.emptied()
	w.holds(nil)
}

// TestBlockedArchiveGoesLater: an archive that is due goes once the volume in it is gone, on a share that is never closed.
func TestBlockedArchiveGoesLater(t *testing.T) {
	withServer(t, nil, func(t *testing.T, _ *server, m *share.Manager) {
		use := func(minutes int) {
			for range minutes {
				time.Sleep(time.Minute)
				if _, err := m.Space(t.Context(), place, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		v, err := m.Create(t.Context(), archiving("pvc-1", "a", time.Hour))
		if err == nil {
			err = m.Delete(t.Context(), v.ID, nil)
		}
		if err == nil {
			v, err = m.Create(t.Context(), request("pvc-2", "archived-a/b", volume.Delete, false))
		}
		use(120)
		if err == nil {
			err = m.Delete(t.Context(), v.ID, nil)
		}
		if archives, listed := m.Archives(t.Context(), place); err != nil || listed != nil || len(archives) != 1 {
			t.Fatalf("archives %v, %v, %v", archives, err, listed)
		}
		use(25 * 60)
		if archives, err := m.Archives(t.Context(), place); err != nil || len(archives) != 0 {
			t.Errorf("archives %v, %v", archives, err)
		}
	})
}
