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

// until repeats do by new processes while its error says to.
func (w *world) until(do func(p *process) error) error {
	return w.again(volume.ErrBusy, do)
}

// TestFillTwice: two processes fill the same volume, or make the same snapshot.
func TestFillTwice(t *testing.T) {
	t.Run("volume", func(t *testing.T) {
		everyMoment(t, func(t *testing.T, w *world) {
			v, x := w.sourced()
			var a, b volume.Volume
			r := filling("pvc-1", "a", volume.Delete, volume.Source{Volume: &v.ID})
			var errB error
			errA := w.disturbedBy(func() { errB = w.clean(creates(&b, r)) }, creates(&a, r))
			w.must(w.again(errA, creates(&a, r)))
			w.must(w.again(errB, creates(&b, r)))
			if a != b {
				t.Errorf("made %v and %v", a, b)
			}
			w.tidied()
			w.keeps([]volume.Volume{v, a}, []volume.Snapshot{x}, append(copied("a"), sourceTree...)...)
		})
	})
	t.Run("snapshot", func(t *testing.T) {
		everyMoment(t, func(t *testing.T, w *world) {
			v, x := w.sourced()
			var a, b volume.Snapshot
			var errB error
			errA := w.disturbedBy(func() { errB = w.clean(freezes(&b, "y", v.ID)) }, freezes(&a, "y", v.ID))
			w.must(w.again(errA, freezes(&a, "y", v.ID)))
			w.must(w.again(errB, freezes(&b, "y", v.ID)))
			if a != b {
				t.Errorf("made %v and %v", a, b)
			}
			w.tidied()
			w.keeps([]volume.Volume{v}, []volume.Snapshot{x, a}, sourceTree...)
			w.restores(a)
		})
	})
}

// TestDeletedWhileMade: what is being filled or frozen is deleted by another process. It is there whole, or not at all.
func TestDeletedWhileMade(t *testing.T) {
	for _, dir := range []string{"a", "ns/a"} {
		t.Run("volume "+dir, func(t *testing.T) {
			everyMoment(t, func(t *testing.T, w *world) {
				v, x := w.sourced()
				r := filling("pvc-1", dir, volume.Delete, volume.Source{Volume: &v.ID})
				id, err := r.ID()
				w.must(err)
				var a volume.Volume
				err = w.disturbedBy(func() { w.must(w.until(deletes(id))) }, creates(&a, r))
				if err != nil && !final(err) { // whoever wanted it gone comes again too
					w.must(w.until(deletes(id)))
				}
				volumes, want := []volume.Volume{v}, slices.Clone(sourceTree)
				if _, parent := w.fs.Lstat(t.Context(), "ns"); parent == nil {
					want = append(want, "ns/")
				}
				if err == nil && w.exists(dir) {
					volumes, want = append(volumes, a), append(want, copied(dir)...)
				}
				w.tidied()
				w.emptied()
				w.keeps(volumes, []volume.Snapshot{x}, want...)
			})
		})
	}
	t.Run("snapshot", func(t *testing.T) {
		everyMoment(t, func(t *testing.T, w *world) {
			v, x := w.sourced()
			var y volume.Snapshot
			id := volume.SnapshotID{Location: place, Name: "y", Source: "pvc-0"}
			err := w.disturbedBy(func() { w.must(w.until(thaws(id))) }, freezes(&y, "y", v.ID))
			if err != nil && !final(err) {
				w.must(w.until(thaws(id)))
			}
			snapshots := []volume.Snapshot{x}
			if err == nil && w.exists(volume.Reserved+"/snapshots/y") {
				snapshots = append(snapshots, y)
				w.restores(y)
			}
			w.tidied()
			w.emptied()
			w.keeps([]volume.Volume{v}, snapshots, sourceTree...)
		})
	})
}

func (w *world) exists(name string) bool {
	_, err := w.fs.Lstat(w.Context(), name)
	return err == nil
}

// TestSourceDeletedWhileCopied: the copy is whole, or there is none.
func TestSourceDeletedWhileCopied(t *testing.T) {
	for _, policy := range []volume.Policy{volume.Delete, volume.Archive, volume.Retain} {
		t.Run(string(policy), func(t *testing.T) {
			everyMoment(t, func(t *testing.T, w *world) {
				v, x := w.sourced()
				w.must(w.clean(func(p *process) error {
					return p.Modify(p.ctx, v.ID, volume.Changes{Policy: policy, UID: -1, GID: -1}, nil)
				}))
				var y volume.Snapshot
				err := w.disturbedBy(func() { w.must(w.until(deletes(v.ID))) }, freezes(&y, "y", v.ID))
				snapshots := []volume.Snapshot{x}
				if err == nil {
					snapshots = append(snapshots, y)
					w.restores(y)
				} else if !errors.Is(err, volume.ErrNotFound) {
					t.Error(err)
				}
				w.tidied()
				w.emptied()
				if policy == volume.Retain { // its record stays, see volume.Record
					w.must(w.fs.Remove(t.Context(), volume.Reserved+"/volumes/pvc-0.json"))
				}
				w.keeps(nil, snapshots, map[volume.Policy][]string{volume.Archive: copied("archived-data"), volume.Retain: sourceTree}[policy]...)
			})
		})
	}
	t.Run("snapshot", func(t *testing.T) {
		everyMoment(t, func(t *testing.T, w *world) {
			v, x := w.sourced()
			var a volume.Volume
			do := creates(&a, filling("pvc-1", "a", volume.Delete, volume.Source{Snapshot: &x.ID}))
			err := w.disturbedBy(func() { w.must(w.until(thaws(x.ID))) }, do)
			volumes, want := []volume.Volume{v}, slices.Clone(sourceTree)
			if err == nil {
				volumes, want = append(volumes, a), append(want, copied("a")...)
			} else if !errors.Is(err, volume.ErrNotFound) {
				t.Error(err)
			}
			w.tidied()
			w.emptied()
			w.keeps(volumes, nil, want...)
		})
	})
}

// TestPartOfASource: a source is deleted, and a part of it removed, while it is copied: the copy lacks that part and
// nothing fails, and all the same it never becomes a snapshot or a volume.
func TestPartOfASource(t *testing.T) {
	for name, do := range map[string]func(v volume.Volume) func(p *process) error{
		"snapshot": func(v volume.Volume) func(p *process) error { return freezes(new(volume.Snapshot), "y", v.ID) },
		"clone": func(v volume.Volume) func(p *process) error {
			return creates(new(volume.Volume), filling("pvc-1", "a", volume.Delete, volume.Source{Volume: &v.ID}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, fs: memfs.New()}
			v, x := w.sourced()
			p := newProcess(w.fs, "", 0, 0)
			defer p.Close()
			p.hooked.Before = func(ctx context.Context, c sharetest.Call) error {
				if c.Op == "CopyTree" {
					return w.fs.RemoveAll(ctx, "data/sub", nil)
				}
				return nil
			}
			p.hooked.After = func(_ context.Context, c sharetest.Call) error {
				if c.Op == "CopyTree" {
					w.must(w.clean(deletes(v.ID)))
				}
				return nil
			}
			if err := do(v)(p); !errors.Is(err, volume.ErrNotFound) {
				t.Errorf("got %v, want ErrNotFound", err)
			}
			w.emptied()
			w.keeps(nil, []volume.Snapshot{x})
		})
	}
}

// TestFillMeanwhile: another volume is made, in the same directory, above or below, at any moment of a copy.
func TestFillMeanwhile(t *testing.T) {
	for _, dirs := range [][2]string{{"a", "a"}, {"ns", "ns/a"}, {"ns/a", "ns"}, {"ns/a", "ns/a/b"}, {"ns/a", "ns/b"}} {
		for _, both := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s and %s both %v", dirs[0], dirs[1], both), func(t *testing.T) {
				everyMoment(t, func(t *testing.T, w *world) {
					v, x := w.sourced()
					var a, b volume.Volume
					first := creates(&a, filling("pvc-a", dirs[0], volume.Delete, volume.Source{Volume: &v.ID}))
					second := creates(&b, request("pvc-b", dirs[1], volume.Delete, false))
					if both {
						second = creates(&b, filling("pvc-b", dirs[1], volume.Delete, volume.Source{Snapshot: &x.ID}))
					}
					var errB error
					errA := w.disturbedBy(func() { errB = w.clean(second) }, first)
					errA, errB = w.again(errA, first), w.again(errB, second)
					volumes := []volume.Volume{v}
					for made, err := range map[*volume.Volume]error{&a: errA, &b: errB} {
						if err == nil {
							volumes = append(volumes, *made)
						} else if !errors.Is(err, volume.ErrExists) {
							t.Error(err)
						}
					}
					if apart := dirs[1] == "ns/b"; apart && len(volumes) != 3 || !apart && len(volumes) > 2 {
						t.Errorf("made %v", volumes)
					}
					w.tidied()
					w.must(sharetest.AuditAll(t.Context(), w.fs, volumes, []volume.Snapshot{x}))
					w.wholeIf(errA == nil, dirs[0])
					w.wholeIf(errB == nil && both, dirs[1])
				})
			})
		}
	}
}

func (w *world) wholeIf(made bool, dir string) {
	w.Helper()
	if !made {
		return
	}
	if tree := w.tree(dir); !slices.Equal(append([]string{dir + "/"}, tree...), copied(dir)) {
		w.Errorf("%q holds %q", dir, tree)
	}
}

// TestChangedWhileDeleted: a volume is expanded and changed by one process and deleted by another. Nothing of it comes
// back, and what was to be kept is kept.
func TestChangedWhileDeleted(t *testing.T) {
	for _, policy := range []volume.Policy{volume.Delete, volume.Retain, volume.Archive} {
		t.Run(string(policy), func(t *testing.T) {
			everyMoment(t, func(t *testing.T, w *world) {
				var v volume.Volume
				w.must(w.clean(creates(&v, request("pvc-1", "a", policy, false))))
				w.write("a/file", "x")
				err := w.disturbedBy(func() { w.must(w.until(deletes(v.ID))) }, func(p *process) error {
					if _, err := p.Expand(p.ctx, v.ID, 5<<20, 0, nil); err != nil {
						return err
					}
					return p.Modify(p.ctx, v.ID, volume.Changes{UID: 7, GID: 8}, nil)
				})
				if err != nil && !errors.Is(err, volume.ErrNotFound) && !errors.Is(err, volume.ErrUnavailable) {
					t.Error(err)
				}
				w.tidied()
				w.emptied()
				w.holds(nil, map[volume.Policy][]string{volume.Retain: {"a/", "a/file=x"}, volume.Archive: {"archived-a/", "archived-a/file=x"}}[policy]...)
			})
		})
	}
}

// TestChangedTwice: two processes change one volume, each something else. One of the changes may get lost, the record
// not; and once both are asked for again they are there.
func TestChangedTwice(t *testing.T) {
	everyMoment(t, func(t *testing.T, w *world) {
		var v volume.Volume
		w.must(w.clean(creates(&v, request("pvc-1", "a", volume.Delete, false))))
		expand := func(p *process) error { _, err := p.Expand(p.ctx, v.ID, 5<<20, 0, nil); return err }
		modify := func(p *process) error {
			return p.Modify(p.ctx, v.ID, volume.Changes{Policy: volume.Archive, UID: -1, GID: -1}, nil)
		}
		var errB error
		errA := w.disturbedBy(func() { errB = w.clean(modify) }, expand)
		w.must(w.again(errA, expand))
		w.must(w.again(errB, modify))
		w.must(w.clean(func(p *process) error { _, err := p.Get(p.ctx, v.ID); return err }))
		w.must(w.clean(expand))
		w.must(w.clean(modify))
		w.must(w.clean(func(p *process) error {
			got, err := p.Get(p.ctx, v.ID)
			if got.CapacityBytes != 5<<20 {
				t.Errorf("it is %+v", got)
			}
			return err
		}))
		w.must(w.clean(deletes(v.ID)))
		w.holds(nil, "archived-a/")
	})
}
