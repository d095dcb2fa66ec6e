package share_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// everyMoment runs do once for each call that it makes, to let something happen just before that call. Locks do not
// help here: the other one is another process, as when two controllers both believe to lead.
func everyMoment(t *testing.T, do func(t *testing.T, w *world)) {
	points := everyCall(t, meanwhile, do)
	if points < 3 {
		t.Errorf("only %d moments were tried", points)
	}
	t.Logf("%d moments", points)
}

// again repeats do until its error is final.
func (w *world) again(err error, do func(p *process) error) error {
	for range 5 {
		if err == nil || final(err) {
			return err
		}
		err = w.clean(do)
	}
	return err
}

// TestCreateMeanwhile: another volume is made, in the same directory, above or below, at any moment of a creation.
func TestCreateMeanwhile(t *testing.T) {
	for _, dirs := range [][2]string{{"data", "data"}, {"ns", "ns/a"}, {"ns/a", "ns"}, {"ns/a", "ns/a/b"}, {"ns/a/b", "ns/a"}, {"ns/a", "ns/b"}} {
		for _, adopt := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s and %s adopt %v", dirs[0], dirs[1], adopt), func(t *testing.T) {
				everyMoment(t, func(t *testing.T, w *world) {
					var a, b volume.Volume
					first := creates(&a, request("pvc-a", dirs[0], volume.Delete, adopt))
					second := creates(&b, request("pvc-b", dirs[1], volume.Delete, adopt))
					var errB error
					errA := w.disturbedBy(func() { errB = w.clean(second) }, first)
					errA, errB = w.again(errA, first), w.again(errB, second)
					var made []volume.Volume
					for v, err := range map[*volume.Volume]error{&a: errA, &b: errB} {
						if err == nil {
							made = append(made, *v)
						} else if !errors.Is(err, volume.ErrExists) {
							t.Error(err)
						}
					}
					if apart := dirs[1] == "ns/b"; apart != (len(made) == 2) {
						t.Errorf("made %v", made)
					}
					if err := sharetest.Audit(t.Context(), w.fs, made...); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// TestSameNameMeanwhile: two processes make the same volume, perhaps with another directory.
func TestSameNameMeanwhile(t *testing.T) {
	for _, dir := range []string{"data", "other", "data/nested"} {
		t.Run(dir, func(t *testing.T) {
			everyMoment(t, func(t *testing.T, w *world) {
				var a, b volume.Volume
				first := creates(&a, request("pvc-1", "data", volume.Delete, false))
				second := creates(&b, request("pvc-1", dir, volume.Delete, false))
				var errB error
				errA := w.disturbedBy(func() { errB = w.clean(second) }, first)
				w.must(w.again(errA, first))
				w.must(w.again(errB, second))
				if a != b {
					t.Errorf("made %v and %v", a, b)
				}
				if err := sharetest.Audit(t.Context(), w.fs, a); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestDeleteMeanwhile: the same volume is deleted by two processes, and its directory is wanted by another volume.
func TestDeleteMeanwhile(t *testing.T) {
	for policy, kept := range map[volume.Policy][]string{
		volume.Delete: nil, volume.Retain: {"data/", "data/old=a"}, volume.Archive: {"archived-data/", "archived-data/old=a"},
	} {
		for _, recorded := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s recorded %v", policy, recorded), func(t *testing.T) {
				everyMoment(t, func(t *testing.T, w *world) {
					v := volume.Volume{ID: volume.ID{Location: place, Dir: "data", UUID: "pvc-1", Policy: policy}}
					if recorded {
						w.must(w.clean(creates(&v, request("pvc-1", "data", policy, false))))
					} else {
						w.mkdir("data")
					}
					w.write("data/old", "a")
					var second error
					first := w.disturbedBy(func() { second = w.clean(deletes(v.ID)) }, deletes(v.ID))
					w.must(first)
					w.must(second)
					w.emptied()
					w.holds(nil, slices.Clone(kept)...)
				})
			})
		}
	}
}

// TestCreateDuringDelete: another volume gets the directory only once it is free, and keeps it.
func TestCreateDuringDelete(t *testing.T) {
	for policy, kept := range map[volume.Policy][]string{
		volume.Delete: {}, volume.Retain: {"data/old=a"}, volume.Archive: {"archived-data/", "archived-data/old=a"},
	} {
		t.Run(string(policy), func(t *testing.T) {
			everyMoment(t, func(t *testing.T, w *world) {
				var a, b volume.Volume
				w.must(w.clean(creates(&a, request("pvc-a", "data", policy, false))))
				w.write("data/old", "a")
				second := creates(&b, request("pvc-b", "data", volume.Delete, policy == volume.Retain))
				w.must(w.disturbedBy(func() {
					if err := w.clean(second); err == nil {
						w.write("data/new", "b")
					} else {
						w.wantsExists(err)
					}
				}, deletes(a.ID)))
				w.must(w.clean(second))
				if _, err := w.fs.Lstat(t.Context(), "data/new"); err != nil {
					w.write("data/new", "b")
				}
				w.emptied()
				w.holds([]volume.Volume{b}, append([]string{"data/", "data/new=b"}, kept...)...)
			})
		})
	}
}

// TestArchiveMeanwhile: a volume is made under the very name that another is being archived to.
func TestArchiveMeanwhile(t *testing.T) {
	everyMoment(t, func(t *testing.T, w *world) {
		var a, b volume.Volume
		w.must(w.clean(creates(&a, request("pvc-a", "data", volume.Archive, false))))
		w.write("data/old", "a")
		second := creates(&b, request("pvc-b", "archived-data", volume.Delete, false))
		var errB error
		w.must(w.disturbedBy(func() { errB = w.clean(second) }, deletes(a.ID)))
		if errB != nil {
			w.wantsExists(errB)
			w.holds(nil, "archived-data/", "archived-data/old=a")
			return
		}
		w.holds([]volume.Volume{b}, "archived-data/", "archived-data-pvc-a/", "archived-data-pvc-a/old=a")
	})
}

// TestArchiveNameFreed: another try for the same volume has the archive's name reserved for just the moment in which we want it.
func TestArchiveNameFreed(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var v volume.Volume
	w.must(w.clean(creates(&v, request("pvc-1", "data", volume.Archive, false))))
	w.write("data/old", "a")
	link := volume.Reserved + "/directories/archived-data"
	freed := 0
	p := newProcess(w.fs, "", 0, 0)
	defer p.Close()
	p.hooked.Before = func(ctx context.Context, call sharetest.Call) error {
		switch {
		case freed > 0:
		case call.Op == "Symlink" && call.Names[1] == link:
			return w.fs.Symlink(ctx, "../volumes/pvc-1.json", link)
		case call.Op == "Readlink" && call.Names[0] == link && w.exists(link):
			freed++
			return w.fs.Remove(ctx, link)
		}
		return nil
	}
	w.must(p.Delete(p.ctx, v.ID, nil))
	if freed != 1 {
		t.Errorf("the name was freed %d times", freed)
	}
	w.emptied()
	w.holds(nil, "archived-data/", "archived-data/old=a")
}

// TestCreateBesideTheLast: the last volume below a directory is deleted while another one is made there, at any moment of either.
func TestCreateBesideTheLast(t *testing.T) {
	source := volume.ID{Location: place, Dir: "data", UUID: "pvc-0", Policy: volume.Delete}
	for name, second := range map[string]volume.Request{
		"empty":   request("pvc-b", "ns/team/b", volume.Delete, false),
		"filled":  filling("pvc-b", "ns/team/b", volume.Delete, volume.Source{Volume: &source}),
		"adopted": request("pvc-b", "ns/team/b", volume.Delete, true),
	} {
		for _, first := range []bool{false, true} {
			t.Run(fmt.Sprint(name, first), func(t *testing.T) {
				moments, stayed := 0, 0
				everyMoment(t, func(t *testing.T, w *world) {
					moments++
					v, x := w.sourced()
					var a, b volume.Volume
					w.must(w.clean(creates(&a, request("pvc-a", "ns/team/a", volume.Delete, false))))
					do, rival := deletes(a.ID), creates(&b, second)
					if first {
						do, rival = rival, do
					}
					var err error
					w.must(w.again(w.disturbedBy(func() { err = w.clean(rival) }, do), do))
					w.must(w.again(err, rival))
					w.emptied()
					w.must(sharetest.AuditAll(t.Context(), w.fs, []volume.Volume{v, b}, []volume.Snapshot{x}))
					w.must(w.clean(deletes(b.ID)))
					w.emptied()
					want := slices.Clone(sourceTree)
					for _, above := range []string{"ns", "ns/team"} {
						if w.exists(above) { // made again before its mark went: in doubt it stays
							want = append(want, above+"/")
							stayed++
						}
					}
					w.keeps([]volume.Volume{v}, []volume.Snapshot{x}, want...)
				})
				if stayed > moments/8 {
					t.Errorf("directories stayed %d times at %d moments", stayed, moments)
				}
				t.Logf("directories stayed %d times at %d moments", stayed, moments)
			})
		}
	}
}

// TestParentRemovedMeanwhile: what a late deletion has moved aside is another volume's by now, and has to be moved back to below a directory
// that has gone, with the last other volume in it.
func TestParentRemovedMeanwhile(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var a, b, c volume.Volume
	w.must(w.clean(creates(&a, request("pvc-a", "ns/data", volume.Delete, false))))
	p := newProcess(w.fs, "", 0, 0)
	defer p.Close()
	moved := 0
	p.hooked.Before = func(_ context.Context, call sharetest.Call) error {
		if call.Op == "Rename" && call.Names[0] == "ns/data" {
			w.must(w.clean(deletes(a.ID)))
			w.must(w.clean(creates(&b, request("pvc-b", "ns/data", volume.Delete, false))))
			w.must(w.clean(creates(&c, request("pvc-c", "ns/c", volume.Delete, false))))
			w.write("ns/data/file", "b")
		}
		return nil
	}
	p.hooked.After = func(_ context.Context, call sharetest.Call) error {
		if call.Op == "Rename" && call.Names[0] == "ns/data" {
			moved++
			w.must(w.clean(deletes(c.ID)))
			if w.exists("ns") {
				t.Error("the parent has not gone: this tests nothing")
			}
		}
		return nil
	}
	if err := deletes(a.ID)(p); !errors.Is(err, volume.ErrBusy) || moved != 1 {
		t.Errorf("moved aside %d times: %v", moved, err)
	}
	w.must(w.clean(deletes(a.ID)))
	w.emptied()
	w.holds([]volume.Volume{b}, "ns/", "ns/data/", "ns/data/file=b")
	w.must(w.clean(deletes(b.ID)))
	w.emptied()
	w.holds(nil)
}

func (w *world) wantsExists(err error) {
	w.Helper()
	if !errors.Is(err, volume.ErrExists) {
		w.Error(err)
	}
}
