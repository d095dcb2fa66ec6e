package share_test

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// sourced makes the volume pvc-0 in directory data with something in it, and a snapshot x of that.
func (w *world) sourced() (v volume.Volume, x volume.Snapshot) {
	w.Helper()
	w.must(w.clean(creates(&v, request("pvc-0", "data", volume.Delete, false))))
	w.write("data/file", "x")
	w.mkdir("data/sub")
	w.write("data/sub/file", "y")
	w.must(w.clean(freezes(&x, "x", v.ID)))
	return v, x
}

// sourceTree is what sourced leaves on the share.
var sourceTree = []string{"data/", "data/file=x", "data/sub/", "data/sub/file=y"}

// below are the entries of a copy of sourceTree at dir, besides its parents.
func copied(dir string) []string {
	return []string{dir + "/", dir + "/file=x", dir + "/sub/", dir + "/sub/file=y"}
}

// refusedOf says whether err is that of the test's own refusal.
func (w *world) refusedOf(err error) bool {
	return w.used.failure == refused && errors.Is(err, volume.ErrNoSpace)
}

// TestSnapshotFailures: whatever fails, the next call completes the snapshot; after a final error there is nothing.
func TestSnapshotFailures(t *testing.T) {
	everyFailure(t, func(t *testing.T, w *world) {
		v, x := w.sourced()
		var y volume.Snapshot
		do := freezes(&y, "y", v.ID)
		err := w.again(w.disturbed(do), do)
		switch {
		case err == nil:
			w.keeps([]volume.Volume{v}, []volume.Snapshot{x, y}, sourceTree...)
			w.restores(y)
		case w.refusedOf(err):
			w.keeps([]volume.Volume{v}, []volume.Snapshot{x}, sourceTree...)
		default:
			t.Error(err)
		}
		w.emptied()
	})
}

// restores checks that a snapshot holds all of its source.
func (w *world) restores(x volume.Snapshot) {
	w.Helper()
	got := w.tree(volume.Reserved + "/snapshots/" + x.ID.Name)
	dir := volume.Reserved + "/snapshots/" + x.ID.Name + "/"
	if want := []string{dir + "file=x", dir + "sub/", dir + "sub/file=y"}; !slices.Equal(got, want) {
		w.Errorf("snapshot holds %q, want %q", got, want)
	}
}

// TestThawFailures: whatever fails, the next call completes the deletion of a snapshot, and at no time is there half of one.
func TestThawFailures(t *testing.T) {
	everyFailure(t, func(t *testing.T, w *world) {
		v, x := w.sourced()
		err := w.disturbed(thaws(x.ID))
		w.must(w.clean(func(p *process) error {
			found, _, err := p.ListSnapshots(p.ctx, volume.SnapshotFilter{}, "", 0)
			if len(found) == 1 {
				w.restores(found[0])
			}
			return err
		}))
		if err != nil {
			w.must(w.clean(thaws(x.ID)))
		}
		w.emptied()
		w.keeps([]volume.Volume{v}, nil, sourceTree...)
		w.must(w.clean(thaws(x.ID)))
	})
}

// TestFillFailures: whatever fails, the next call completes the copy; after a final error there is nothing. What is
// listed is complete.
func TestFillFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		dir      string
		snapshot bool
		prepare  func(w *world)
		class    func(c *volume.Class)
		parents  []string
	}{
		"clone":          {dir: "a"},
		"nested":         {dir: "ns/team/a", parents: []string{"ns/", "ns/team/"}},
		"restore":        {dir: "a", snapshot: true},
		"mode and owner": {dir: "a", class: func(c *volume.Class) { c.Mode, c.ModeGiven, c.UID, c.GID = 0o700, true, 7, 8 }},
		"torn": {dir: "a", prepare: func(w *world) {
			w.write(volume.Reserved+"/volumes/pvc-1.json", "{")
			w.mkdir(volume.Reserved + "/staging/v+pvc-1+left")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			everyFailure(t, func(t *testing.T, w *world) {
				v, x := w.sourced()
				if tt.prepare != nil {
					tt.prepare(w)
				}
				r := filling("pvc-1", tt.dir, volume.Delete, volume.Source{Volume: &v.ID})
				if tt.snapshot {
					r.Source = &volume.Source{Snapshot: &x.ID}
				}
				if tt.class != nil {
					tt.class(&r.Class)
				}
				var a volume.Volume
				do := creates(&a, r)
				err := w.disturbed(do)
				w.listsComplete(v, tt.dir)
				err = w.again(err, do)
				switch {
				case err == nil:
					w.keeps([]volume.Volume{v, a}, []volume.Snapshot{x}, slices.Concat(sourceTree, tt.parents, copied(tt.dir))...)
					if info, err := w.fs.Lstat(t.Context(), tt.dir); err != nil || info.Mode().Perm() != modeOf(tt.class) {
						t.Errorf("the directory is %v, %v", info.Mode(), err)
					}
				case w.refusedOf(err):
					if name == "torn" { // and never looked at
						w.must(w.clean(deletes(volume.ID{Location: place, Dir: "a", UUID: "pvc-1", Policy: volume.Delete})))
					}
					w.tidied()
					w.keeps([]volume.Volume{v}, []volume.Snapshot{x}, sourceTree...)
				default:
					t.Error(err)
				}
				w.emptied()
			})
		})
	}
}

func modeOf(class func(c *volume.Class)) fs.FileMode {
	if class != nil {
		return 0o700
	}
	return 0o770 // that of the source
}

// listsComplete checks that of the volumes that are listed none is incomplete.
func (w *world) listsComplete(source volume.Volume, dir string) {
	w.Helper()
	w.must(w.clean(func(p *process) error {
		found, _, err := p.List(p.ctx, "", 0)
		if len(found) > 0 && found[0] == source {
			found = found[1:]
		}
		tree := w.tree(".")
		for _, entry := range copied(dir) {
			if len(found) > 0 && !slices.Contains(tree, entry) {
				w.Errorf("listed are %v, without %q", found, entry)
			}
		}
		return err
	}))
}

// tidied waits until nothing is in staging that has no record.
func (w *world) tidied() {
	w.Helper()
	w.must(w.clean(func(p *process) error {
		deadline := time.Now().Add(20 * time.Second)
		_, err := p.Space(p.ctx, place, nil)
		for len(w.list(volume.Reserved+"/staging")) > 0 && err == nil {
			if pause(); time.Now().After(deadline) {
				w.Fatalf("left in staging: %q", w.tree(volume.Reserved+"/staging"))
			}
		}
		return err
	}))
}

// TestDeleteUnfilled: a copy fails anywhere, and the volume is deleted: nothing is left, and what others have stays.
func TestDeleteUnfilled(t *testing.T) {
	for _, stranger := range []bool{false, true} {
		everyFailure(t, func(t *testing.T, w *world) {
			v, x := w.sourced()
			r := filling("pvc-1", "a", volume.Delete, volume.Source{Volume: &v.ID})
			var a volume.Volume
			if err := w.disturbed(creates(&a, r)); err == nil && stranger {
				return
			}
			want := slices.Clone(sourceTree)
			if _, absent := w.fs.Lstat(t.Context(), "a"); stranger && absent != nil {
				if _, err := w.fs.Lstat(t.Context(), volume.Reserved+"/volumes/pvc-1.json"); err != nil {
					return // nothing says any more that the directory is not that of the handle
				}
				w.mkdir("a")
				w.write("a/own", "somebody's")
				want = append(want, "a/", "a/own=somebody's")
			}
			id, err := r.ID()
			w.must(err)
			w.must(w.clean(deletes(id)))
			w.tidied()
			w.emptied()
			w.keeps([]volume.Volume{v}, []volume.Snapshot{x}, want...)
		})
	}
}

// TestDeleteFilledFailures: whatever fails, the next call completes the deletion of a volume that was filled.
func TestDeleteFilledFailures(t *testing.T) {
	for policy, kept := range map[volume.Policy][]string{volume.Delete: nil, volume.Retain: copied("a"), volume.Archive: copied("archived-a")} {
		t.Run(string(policy), func(t *testing.T) {
			everyFailure(t, func(t *testing.T, w *world) {
				v, x := w.sourced()
				var a volume.Volume
				w.must(w.clean(creates(&a, filling("pvc-1", "a", policy, volume.Source{Volume: &v.ID}))))
				if err := w.disturbed(deletes(a.ID)); err != nil {
					w.must(w.clean(deletes(a.ID)))
				}
				w.emptied()
				w.keeps([]volume.Volume{v}, []volume.Snapshot{x}, slices.Concat(sourceTree, kept)...)
			})
		})
	}
}

// TestChangeFailures: whatever fails, the next call completes the change, and deleting then does what was last said.
func TestChangeFailures(t *testing.T) {
	for _, policy := range []volume.Policy{volume.Delete, volume.Retain, volume.Archive} {
		t.Run(string(policy), func(t *testing.T) {
			everyFailure(t, func(t *testing.T, w *world) {
				var v volume.Volume
				w.must(w.clean(creates(&v, request("pvc-1", "a", volume.Delete, false))))
				w.write("a/file", "x")
				mode := fs.FileMode(0o700)
				do := func(p *process) error {
					if _, err := p.Expand(p.ctx, v.ID, 5<<20, 0, nil); err != nil {
						return err
					}
					return p.Modify(p.ctx, v.ID, volume.Changes{Policy: policy, Mode: &mode, UID: 7, GID: 8}, nil)
				}
				err := w.disturbed(do)
				if w.refusedOf(err) {
					err = w.clean(do)
				}
				w.must(w.again(err, do))
				v.CapacityBytes = 5 << 20
				w.holds([]volume.Volume{v}, "a/", "a/file=x")
				info, err := w.fs.Lstat(t.Context(), "a")
				w.must(err)
				if uid, gid := info.Sys().(interface{ Owner() (uid, gid uint32) }).Owner(); info.Mode().Perm() != mode || uid != 7 || gid != 8 {
					t.Errorf("the directory is %v of %d:%d", info.Mode(), uid, gid)
				}
				w.must(w.clean(deletes(v.ID)))
				w.must(w.clean(deletes(v.ID)))
				w.emptied()
				w.shows(map[volume.Policy][]string{volume.Delete: nil, volume.Retain: {"a/", "a/file=x"}, volume.Archive: {"archived-a/", "archived-a/file=x"}}[policy]...)
			})
		})
	}
}

// TestModifiedDeleteFailures: a volume whose policy was changed to retain keeps its directory, whatever fails while it is
// deleted and however often it is deleted again.
func TestModifiedDeleteFailures(t *testing.T) {
	everyFailure(t, func(t *testing.T, w *world) {
		var v volume.Volume
		w.must(w.clean(creates(&v, request("pvc-1", "a", volume.Delete, false))))
		w.write("a/file", "x")
		w.must(w.clean(func(p *process) error {
			return p.Modify(p.ctx, v.ID, volume.Changes{Policy: volume.Retain, UID: -1, GID: -1}, nil)
		}))
		err := w.disturbed(deletes(v.ID))
		for range 2 {
			if err != nil {
				err = w.clean(deletes(v.ID))
			}
			w.must(err)
			err = errLost
			w.shows("a/", "a/file=x")
		}
		w.tidied()
		var b volume.Volume
		w.must(w.clean(creates(&b, request("pvc-2", "a", volume.Delete, true))))
		w.must(w.clean(deletes(v.ID)))
		w.must(w.clean(func(p *process) error {
			found, _, err := p.List(p.ctx, "", 0)
			if !slices.Equal(found, []volume.Volume{b}) {
				t.Errorf("listed are %v, want %v", found, b)
			}
			return err
		}))
		w.shows("a/", "a/file=x")
	})
}
