package share_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// archiving asks for a volume that is archived for so long.
func archiving(name, dir string, retention time.Duration) volume.Request {
	r := request(name, dir, volume.Archive, false)
	r.Class.ArchiveRetention = retention
	return r
}

// archives checks what archives a share lists, as "directory volume retention".
func (w *world) archives(want ...string) {
	w.Helper()
	w.must(w.clean(func(p *process) error {
		all, err := p.Archives(p.ctx, place)
		var got []string
		for _, a := range all {
			text := string(a.Dir) + " " + a.Volume
			if !a.Expires.IsZero() {
				text += " " + a.Expires.Sub(a.Archived).String()
			}
			got = append(got, text)
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			w.Errorf("archives are %q, want %q", got, want)
		}
		return err
	}))
}

// TestArchiveFailures: whatever fails while a volume is archived, the archive is recorded once the deletion is through.
func TestArchiveFailures(t *testing.T) {
	everyFailure(t, func(t *testing.T, w *world) {
		var v volume.Volume
		w.must(w.clean(creates(&v, archiving("pvc-1", "ns/a", time.Hour))))
		w.write("ns/a/file", "x")
		if err := w.disturbed(deletes(v.ID)); err != nil {
			w.must(w.clean(deletes(v.ID)))
		}
		w.archives("archived-ns/a pvc-1 1h0m0s")
		want := []string{"archived-ns/", "archived-ns/a/", "archived-ns/a/file=x"}
		if w.exists("ns") && w.used.failure == refused {
			want = append(want, "ns/")
		}
		w.holds(nil, want...)
	})
}

// late is a process whose clock goes ahead.
func late(w *world, p *process, ahead time.Duration) *process {
	w.must(p.Close())
	p.Manager = share.NewManager(share.Config{
		Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
			return &p.hooked, io.NopCloser(nil), nil
		},
		PurgeDelay: time.Nanosecond, Now: func() time.Time { return time.Now().Add(ahead) },
	})
	return p
}

func visits(p *process) error { return p.Visit(p.ctx, place, nil) }

// expires visits two hours later, disturbed, and again where that failed.
func expires(w *world) {
	faulty := w.faulty
	w.faulty = func() *process { return late(w, faulty(), 2*time.Hour) }
	if err := w.disturbed(visits); err != nil {
		w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
	}
	w.tidied()
	w.emptied()
}

// TestExpiryFailures: whatever fails while an archive that is due is removed, the next visit removes it, and nothing else.
func TestExpiryFailures(t *testing.T) {
	everyFailure(t, func(t *testing.T, w *world) {
		var v volume.Volume
		for name, retention := range map[string]time.Duration{"due": time.Hour, "later": 3 * time.Hour, "kept": 0} {
			w.must(w.clean(creates(&v, archiving(name, "ns/"+name, retention))))
			w.write("ns/"+name+"/file", name)
			w.must(w.clean(deletes(v.ID)))
		}
		expires(w)
		w.archives("archived-ns/later later 3h0m0s", "archived-ns/kept kept")
		w.holds(nil, "archived-ns/", "archived-ns/kept/", "archived-ns/kept/file=kept", "archived-ns/later/", "archived-ns/later/file=later")
		w.must(w.clean(func(p *process) error { return visits(late(w, p, 4*time.Hour)) }))
		w.emptied()
		w.archives("archived-ns/kept kept")
	})
}

// TestExpiryOfLongNames: the same of archives whose names are too long for their keys and begin alike.
func TestExpiryOfLongNames(t *testing.T) {
	everyFailure(t, func(t *testing.T, w *world) {
		for _, name := range []string{"1", "2"} {
			var v volume.Volume
			w.must(w.clean(creates(&v, archiving(name, strings.Repeat("d", 200)+name, time.Hour))))
			w.must(w.clean(deletes(v.ID)))
		}
		expires(w)
		w.holds(nil)
	})
}

// TestExpiryKeeps: an archive that is due stays when it may be something else by now.
func TestExpiryKeeps(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *world)
		left   []string
		record bool // stays
	}{
		"another directory": {func(w *world) {
			w.must(w.fs.Rename(w.Context(), "archived-a", "mine"))
			w.mkdir("archived-a")
			w.write("archived-a/new", "x")
		}, []string{"archived-a/", "archived-a/new=x", "mine/", "mine/file=old"}, true},
		"a file": {func(w *world) {
			w.must(w.fs.Rename(w.Context(), "archived-a", "mine"))
			w.write("archived-a", "x")
		}, []string{"archived-a=x", "mine/", "mine/file=old"}, true},
		"nothing": {func(w *world) {
			w.must(w.fs.Rename(w.Context(), "archived-a", "mine"))
		}, []string{"mine/", "mine/file=old"}, false},
		"a volume": {func(w *world) {
			var v volume.Volume
			w.must(w.clean(creates(&v, request("again", "archived-a", volume.Retain, true))))
		}, []string{"archived-a/", "archived-a/file=old"}, false},
		"a volume inside": {func(w *world) {
			var v volume.Volume
			w.must(w.clean(creates(&v, request("again", "archived-a/b", volume.Retain, true))))
		}, []string{"archived-a/", "archived-a/b/", "archived-a/file=old"}, true},
		"a share": {func(w *world) { w.mkdir("archived-a/" + volume.Reserved) }, []string{"archived-a/", "archived-a/.nfs-csi/", "archived-a/file=old"}, true},
		"copied record": {func(w *world) {
			data, err := w.fs.ReadFile(w.Context(), volume.Reserved+"/archives/archived-a.json", 1<<20)
			w.must(err)
			w.must(w.fs.Remove(w.Context(), volume.Reserved+"/archives/archived-a.json"))
			w.write(volume.Reserved+"/archives/other.json", string(data))
		}, []string{"archived-a/", "archived-a/file=old"}, true},
		"torn record": {func(w *world) {
			w.must(w.fs.Remove(w.Context(), volume.Reserved+"/archives/archived-a.json"))
			w.write(volume.Reserved+"/archives/archived-a.json", "{")
		}, []string{"archived-a/", "archived-a/file=old"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, fs: memfs.New()}
			var v volume.Volume
			w.must(w.clean(creates(&v, archiving("pvc-1", "a", time.Hour))))
			w.write("a/file", "old")
			w.must(w.clean(deletes(v.ID)))
			tt.change(w)
			for range 2 {
				w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
			}
			w.emptied()
			if got := w.tree("."); !slices.Equal(got, tt.left) {
				t.Errorf("left are %q, want %q", got, tt.left)
			}
			if n := len(w.list(volume.Reserved + "/archives")); (n == 1) != tt.record {
				t.Errorf("%d records are left", n)
			}
			if name != "a volume" && len(w.list(volume.Reserved+"/directories")) > len(strings.Split(name, "volume"))-1 {
				t.Error("a reservation is left")
			}
		})
	}
}

// TestArchiveInArchive: an archive is not put into another one, and one that is there nevertheless keeps that from going.
func TestArchiveInArchive(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var v volume.Volume
	w.must(w.clean(creates(&v, archiving("pvc-1", "ns", time.Hour))))
	w.must(w.clean(deletes(v.ID)))
	w.must(w.clean(creates(&v, archiving("pvc-2", "ns/x", 3*time.Hour))))
	w.write("ns/x/file", "kept")
	w.must(w.clean(deletes(v.ID)))
	w.holds(nil, "archived-ns/", "archived-ns-x/", "archived-ns-x/file=kept")

	w.must(w.fs.Rename(t.Context(), "archived-ns-x", "archived-ns/x"))
	const flat, nested = volume.Reserved + "/archives/archived-ns-x.json", volume.Reserved + "/archives/archived-ns%2Fx.json"
	record, err := w.fs.ReadFile(t.Context(), flat, 1<<20)
	w.must(err)
	w.must(w.fs.Remove(t.Context(), flat))
	w.write(nested, strings.ReplaceAll(string(record), "archived-ns-x", "archived-ns/x"))
	w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
	if err := w.clean(func(p *process) error { return p.Expire(p.ctx, place, "archived-ns", nil) }); !errors.Is(err, volume.ErrExists) {
		t.Errorf("removing it by hand: %v", err)
	}
	w.emptied()
	w.holds(nil, "archived-ns/", "archived-ns/x/", "archived-ns/x/file=kept")
	w.must(w.clean(func(p *process) error { return visits(late(w, p, 4*time.Hour)) }))
	w.emptied()
	w.holds(nil)
}

// TestLongArchive: what has nearly the longest directory has an archive that is listed and expires, too.
func TestLongArchive(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	element := strings.Repeat("d", 190)
	for _, name := range []string{"pvc-1", "pvc-2"} {
		var v volume.Volume
		w.must(w.clean(creates(&v, archiving(name, strings.Join([]string{element, element, element, element}, "/"), time.Hour))))
		w.must(w.clean(deletes(v.ID)))
	}
	flat := "archived-" + element + "-" + strings.Repeat("d", 55)
	w.archives(flat+" pvc-1 1h0m0s", flat[:249]+"-pvc-2 pvc-2 1h0m0s")
	w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
	w.emptied()
	w.holds(nil)
}

// TestAdoptedArchiveIsKept: an archive that became a volume, or has one in it, and was kept when that was deleted, is none any more,
// whatever fails.
func TestAdoptedArchiveIsKept(t *testing.T) {
	for _, dir := range []string{"archived-a", "archived-a/sub"} {
		everyFailure(t, func(t *testing.T, w *world) {
			var a, b volume.Volume
			w.must(w.clean(creates(&a, archiving("pvc-a", "a", time.Hour))))
			w.mkdir("a/sub")
			w.must(w.clean(deletes(a.ID)))
			w.must(w.clean(creates(&b, request("pvc-b", dir, volume.Delete, true))))
			w.must(w.clean(func(p *process) error {
				return p.Modify(p.ctx, b.ID, volume.Changes{Policy: volume.Retain, UID: -1, GID: -1}, nil)
			}))
			if err := w.disturbed(deletes(b.ID)); err != nil {
				w.must(w.clean(deletes(b.ID)))
			}
			w.archives()
			w.must(w.clean(func(p *process) error { return visits(late(w, p, 2*time.Hour)) }))
			w.emptied()
			w.shows("archived-a/", "archived-a/sub/")
		})
	}
}

// TestExpiryMeanwhile: the archive is taken for a volume at any moment of its removal: it is one or the other.
func TestExpiryMeanwhile(t *testing.T) {
	everyMoment(t, func(t *testing.T, w *world) {
		var a, b volume.Volume
		w.must(w.clean(creates(&a, archiving("pvc-a", "a", time.Hour))))
		w.write("a/file", "x")
		w.must(w.clean(deletes(a.ID)))
		faulty := w.faulty
		w.faulty = func() *process { return late(w, faulty(), 2*time.Hour) }
		var adopted error
		adopt := creates(&b, request("pvc-b", "archived-a", volume.Retain, true))
		w.must(w.disturbedBy(func() { adopted = w.clean(adopt) }, visits))
		w.emptied()
		switch adopted = w.again(adopted, adopt); {
		case adopted != nil:
			t.Error(adopted)
		case len(w.tree(".")) == 1:
			w.holds([]volume.Volume{b}, "archived-a/") // it was gone, and the volume is a new one
		default:
			w.holds([]volume.Volume{b}, "archived-a/", "archived-a/file=x")
		}
		w.archives()
	})
}

// TestArchivesGoWhenDue: a Manager that is left alone comes back to a share when its archives are due, even to one that
// it has closed meanwhile, and counts what there is.
func TestArchivesGoWhenDue(t *testing.T) {
	withServer(t, nil, func(t *testing.T, s *server, m *share.Manager) {
		for i := range 3 {
			name := fmt.Sprint("v", i)
			v, err := m.Create(t.Context(), archiving(name, name, time.Duration(i)*24*time.Hour))
			if err == nil {
				err = m.Delete(t.Context(), v.ID, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for _, tt := range []struct {
			at   time.Duration
			left int
		}{{23 * time.Hour, 3}, {25 * time.Hour, 2}, {47 * time.Hour, 2}, {49 * time.Hour, 1}, {2000 * time.Hour, 1}} {
			time.Sleep(tt.at - time.Since(began))
			synctest.Wait()
			stats := m.Stats()
			if len(stats) != 1 || stats[0].Location != place || stats[0].Archives != tt.left || stats[0].Trash != 0 {
				t.Errorf("after %v: %+v, want %d archives", tt.at, stats, tt.left)
			}
			if _, open := s.count(); open != 0 {
				t.Errorf("after %v the share is still open", tt.at)
			}
		}
		if archives, err := m.Archives(t.Context(), place); err != nil || len(archives) != 1 || archives[0].Dir != "archived-v0" {
			t.Errorf("archives %v, %v", archives, err)
		}
	})
}

// bounded is a share whose directory fast is another file system.
func bounded(fsys share.FS) share.FS {
	top := func(name string) string { top, _, _ := strings.Cut(name, "/"); return top }
	return &sharetest.Hooked{FS: fsys, Before: func(_ context.Context, c sharetest.Call) error {
		if c.Op == "Rename" && (top(c.Names[0]) == "fast") != (top(c.Names[1]) == "fast") {
			return syscall.EXDEV
		}
		return nil
	}}
}

// TestOtherFileSystem: a volume on another file system than its share goes as any other does, whatever fails.
func TestOtherFileSystem(t *testing.T) {
	for policy, kept := range map[volume.Policy][]string{
		volume.Delete: {"fast/", "fast/ns/"}, volume.Archive: {"fast/", "fast/ns/", "fast/ns/archived-a/", "fast/ns/archived-a/file=x"},
	} {
		t.Run(string(policy), func(t *testing.T) {
			everyFailure(t, func(t *testing.T, w *world) {
				faulty := w.faulty
				bound := func(p *process, ahead time.Duration) *process {
					p.hooked.FS = bounded(w.fs)
					return late(w, p, ahead)
				}
				w.faulty = func() *process { return bound(faulty(), 0) }
				v := volume.Volume{ID: volume.ID{Location: place, Dir: "fast/ns/a", UUID: "pvc-1", Policy: policy}}
				w.mkdir("fast", "fast/ns")
				w.must(w.clean(creates(&v, request("pvc-1", "fast/ns/a", policy, false))))
				w.write("fast/ns/a/file", "x")
				if err := w.disturbed(deletes(v.ID)); err != nil {
					w.must(w.clean(func(p *process) error { return deletes(v.ID)(bound(p, 0)) }))
				}
				w.must(w.clean(func(p *process) error { // a note whose directory was never moved goes after a while
					bound(p, 2*time.Hour)
					err := visits(p)
					for len(w.list(volume.Reserved+"/trash")) > 0 && w.Context().Err() == nil && err == nil {
						time.Sleep(50 * time.Microsecond)
					}
					return err
				}))
				for _, empty := range []string{"archived-fast/ns", "archived-fast"} { // of an interrupted try
					if _, err := w.fs.Lstat(t.Context(), empty); err == nil {
						w.must(w.fs.Remove(t.Context(), empty))
					}
				}
				w.holds(nil, slices.Clone(kept)...)
			})
		})
	}
}

// TestForgedNotes: what a note in the trash says about anything but a deleted directory is not done.
func TestForgedNotes(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var v volume.Volume
	w.must(w.clean(creates(&v, request("pvc-1", "a", volume.Delete, false))))
	w.write("a/file", "x")
	w.mkdir(".nfs-csi-trash-OTHER")
	for i, dir := range []string{"a", "a/.nfs-csi-trash-", "../x", ".nfs-csi/volumes", ".nfs-csi-trash-OTHER", "", "/"} {
		w.write(fmt.Sprintf("%s/trash/pvc-%d-RANDOM.json", volume.Reserved, i), fmt.Sprintf(`{"version":1,"directory":%q}`, dir))
	}
	w.emptied()
	w.holds([]volume.Volume{v}, ".nfs-csi-trash-OTHER/", "a/", "a/file=x")
}

// TestPurgeIsCounted: what is removed, and what waits for it and since when.
func TestPurgeIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := memfs.New()
		s := &sticky{failing: true, seen: map[string]int{}}
		m := far(&sharetest.Hooked{FS: fsys, Before: s.before}, nil)
		began := time.Now()
		makeAndDelete(t, m, "sticky")
		for _, name := range []string{"a", "b"} {
			v, err := m.Create(t.Context(), request(name, name, volume.Delete, false))
			if err == nil {
				err = errors.Join(fsys.CreateFile(t.Context(), name+"/file", make([]byte, 1000), 0o600), m.Delete(t.Context(), v.ID, nil))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		stats := m.Stats()[0]
		if stats.Trash != 1 || stats.RemovedFiles != 4 || stats.RemovedBytes != 2000 || stats.OldestTrash.Sub(began) < 0 || stats.OldestTrash.Sub(began) > 10*trip {
			t.Errorf("stats are %+v", stats)
		}
		s.fail(false)
		time.Sleep(time.Hour)
		if stats = m.Stats()[0]; stats.Trash != 0 || !stats.OldestTrash.IsZero() {
			t.Errorf("in the end stats are %+v", stats)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}
