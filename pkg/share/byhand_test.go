package share_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// expiresByHand removes the archive of pvc-1, due or not.
func expiresByHand(p *process) error { return p.Expire(p.ctx, place, "archived-a", nil) }

// archivedOnce is a share with the archive of pvc-1.
func (w *world) archivedOnce(retention time.Duration) {
	w.Helper()
	var v volume.Volume
	w.must(w.clean(creates(&v, archiving("pvc-1", "a", retention))))
	w.write("a/file", "old")
	w.must(w.clean(deletes(v.ID)))
}

// visited is the share a while later.
func (w *world) visited(ahead time.Duration) {
	w.Helper()
	w.must(w.clean(func(p *process) error { return visits(late(w, p, ahead)) }))
}

// TestExpireFailures: whatever fails while a person removes an archive that is not due, the next volume of that name is archived all the
// same, and later visits finish the removal or take it back.
func TestExpireFailures(t *testing.T) {
	for _, retention := range []time.Duration{0, 720 * time.Hour} {
		t.Run(retention.String(), func(t *testing.T) {
			everyFailure(t, func(t *testing.T, w *world) {
				w.archivedOnce(retention)
				err := w.disturbed(expiresByHand)
				w.goesOn(err == nil)
			})
		})
	}
}

// TestExpireKilled: the same where the process is killed.
func TestExpireKilled(t *testing.T) {
	for how := range 3 {
		for n, fired := 1, true; fired && !t.Failed(); n++ {
			t.Run(fmt.Sprint(n, how), func(t *testing.T) {
				w := &world{T: t, fs: memfs.New()}
				w.archivedOnce(0)
				k := w.killer(n, how)
				err := expiresByHand(k.process)
				w.must(k.Close())
				fired = k.killed()
				w.goesOn(err == nil)
			})
		}
	}
}

// goesOn archives another volume of the same name after the removal of an archive, and lets time pass.
func (w *world) goesOn(removed bool) {
	w.Helper()
	var b volume.Volume
	w.must(w.clean(creates(&b, archiving("pvc-2", "a", 0))))
	w.write("a/file", "new")
	w.must(w.clean(deletes(b.ID)))
	w.visited(2 * time.Hour)
	w.tidied()
	w.emptied()
	var left []volume.Dir
	w.must(w.clean(func(p *process) error {
		all, err := p.Archives(p.ctx, place)
		for _, a := range all {
			left = append(left, a.Dir)
		}
		return err
	}))
	tree := strings.Join(w.tree("."), " ")
	if n := strings.Count(tree, "=new"); n != 1 || len(left) != strings.Count(tree, "/file=") || removed && strings.Contains(tree, "=old") {
		w.Errorf("archives are %q, the share holds %q", left, tree)
	}
	for _, dir := range left {
		w.must(w.clean(func(p *process) error { return p.Expire(p.ctx, place, dir, nil) }))
	}
	w.emptied()
	w.holds(nil)
	for _, dir := range []string{"archives", "directories", "staging"} {
		for _, info := range w.list(volume.Reserved + "/" + dir) {
			w.Errorf("%s still holds %q", dir, info.Name())
		}
	}
}

// TestExpireInterrupted: nobody gets the directory while an archive's removal may still go on. Later one that has moved nothing is taken
// back: its caller was told that it is not done. One that has moved the archive is finished.
func TestExpireInterrupted(t *testing.T) {
	for op, left := range map[string][]string{"Symlink": {"archived-a/", "archived-a/file=old"}, "Rename": {"archived-a/"}} {
		t.Run(op, func(t *testing.T) {
			w := &world{T: t, fs: memfs.New()}
			w.archivedOnce(0)
			w.dying(op, 1, expiresByHand)
			var b volume.Volume
			wanted := creates(&b, request("pvc-b", "archived-a", volume.Retain, true))
			for _, soon := range []time.Duration{0, 14 * time.Minute} {
				w.visited(soon)
				if err := w.clean(wanted); !errors.Is(err, volume.ErrBusy) || !strings.Contains(err.Error(), "an archive is just being removed there") {
					t.Errorf("after %v: %v", soon, err)
				}
			}
			w.visited(16 * time.Minute)
			w.must(w.clean(wanted))
			w.tidied()
			w.emptied()
			w.holds([]volume.Volume{b}, slices.Clone(left)...)
		})
	}
}

// TestKeptWithInterrupted: the removal of an archive in a volume's directory was interrupted, and the archive is none any more when that
// volume is deleted and kept: its directory is free for others.
func TestKeptWithInterrupted(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var a, b volume.Volume
	w.must(w.clean(creates(&a, archiving("pvc-a", "ns/a", 0))))
	w.write("ns/a/file", "x")
	w.must(w.clean(deletes(a.ID)))
	keeping := creates(&b, request("pvc-b", "archived-ns", volume.Retain, true))
	w.must(w.clean(keeping))
	w.dying("Symlink", 1, func(p *process) error { return p.Expire(p.ctx, place, "archived-ns/a", nil) })
	w.must(w.clean(deletes(b.ID)))
	w.archives()
	w.must(w.clean(keeping))
	w.holds([]volume.Volume{b}, "archived-ns/", "archived-ns/a/", "archived-ns/a/file=x")
}

// TestArchivedBelowInterrupted: the removal of an archive was interrupted, and a volume is deleted whose archive would be inside that.
func TestArchivedBelowInterrupted(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	w.archivedOnce(0)
	w.dying("Rename", 1, expiresByHand)
	var b volume.Volume
	w.must(w.clean(creates(&b, archiving("pvc-2", "a/b", 0))))
	w.must(w.clean(deletes(b.ID)))
	w.archives("archived-a-b pvc-2")
}

// archivesLate deletes a volume in dir, which dies when it has renamed so often, and again when the archive that was in its way has expired.
func archivesLate(t *testing.T, dir string, renames int, archive string) {
	t.Helper()
	w := &world{T: t, fs: memfs.New()}
	w.archivedOnce(time.Hour)
	var b volume.Volume
	w.must(w.clean(creates(&b, archiving("pvc-2", dir, 0))))
	w.dying("Rename", renames, deletes(b.ID))
	w.visited(2 * time.Hour)
	w.must(w.clean(deletes(b.ID)))
	w.emptied()
	w.archives(archive + " pvc-2")
	w.holds(nil, archive+"/")
}

// TestArchiveThatHadToBeFlat: a process dies while it archives a volume under a name at the top, because an archive is where it would be inside,
// and that one has gone by the time that the deletion is tried again.
func TestArchiveThatHadToBeFlat(t *testing.T) {
	archivesLate(t, "a/b", 2, "archived-a-b")
}

// TestArchiveWhoseFirstNameIsFree: a process dies while it archives a volume to its second name, and the first one is free by the time that
// the deletion is tried again.
func TestArchiveWhoseFirstNameIsFree(t *testing.T) {
	archivesLate(t, "a", 3, "archived-a-pvc-2")
}
