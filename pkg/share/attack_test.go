package share_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// plants are what a pod that mounts the share itself may put in the place of something of ours.
var plants = map[string]func(w *world, name string){
	"link to a directory outside": func(w *world, name string) { w.link("../../outside", name) },
	"link to a file outside":      func(w *world, name string) { w.link("../../outside/secret", name) },
	"absolute link":               func(w *world, name string) { w.link("/etc/passwd", name) },
	"link to itself":              func(w *world, name string) { w.link(path.Base(name), name) },
	"link to another volume":      func(w *world, name string) { w.link("../volumes/pvc-b.json", name) },
	"second name of a file":       func(w *world, name string) { w.must(w.fs.Link(w.Context(), "outside/secret", name)) },
	"garbage":                     func(w *world, name string) { w.write(name, "\x00{]\xff") },
	"nothing":                     func(w *world, name string) { w.write(name, "") },
	"a record of elsewhere": func(w *world, name string) {
		w.write(name, `{"version":1,"name":"pvc-1","directory":"../outside","policy":"delete","created":"2026-01-01T00:00:00Z"}`)
	},
	"a record of the outside": func(w *world, name string) {
		w.write(name, `{"version":1,"name":"other","directory":"outside","volume":"pvc-1","inode":2,"archived":"2020-01-01T00:00:00Z","expires":"2020-01-02T00:00:00Z"}`)
	},
	"a huge file": func(w *world, name string) {
		w.write(name, `{"version":1,"name":"`+strings.Repeat("x", 1<<20)+`"}`)
	},
	"a deep text": func(w *world, name string) { w.write(name, strings.Repeat(`[`, 60<<10)) },
	"a directory": func(w *world, name string) { w.mkdir(name, name+"/below") },
	"a FIFO":      func(w *world, name string) { w.must(w.fs.Mknod(w.Context(), name, fs.ModeNamedPipe|0o666, 0, 0)) },
	"a device": func(w *world, name string) {
		w.must(w.fs.Mknod(w.Context(), name, fs.ModeDevice|fs.ModeCharDevice|0o666, 1, 5))
	},
}

func (w *world) link(target, name string) { w.must(w.fs.Symlink(w.Context(), target, name)) }

// TestPlanted: whatever a pod puts in the place of anything of ours, every operation ends soon, and nothing outside the volume that
// it was asked about is touched; other volumes live on.
func TestPlanted(t *testing.T) {
	for _, at := range []string{
		"volumes/pvc-1.json", "directories/a", "snapshots/x.json", "snapshots/x", "snapshots/y.json", "archives/archived-old.json", "archives/outside.json",
		"trash/pvc-9-20200101T000000Z-RANDOM.json", "trash/pvc-9-20200101T000000Z-RANDOM", "staging/v+pvc-1+RANDOM", "staging/s+x+RANDOM", "staging/d+pvc-1+RANDOM",
		"staging/d+pvc-1+RANDOM.json", "staging/l+pvc-1+RANDOM", "staging/v+pvc-9+RANDOM", "staging/pvc-1.json", "volumes/stranger.json", "directories/stranger",
		"parents/ns", "parents/outside",
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			for what, plant := range plants {
				t.Run(what, func(t *testing.T) { planted(t, volume.Reserved+"/"+at, plant) })
			}
		})
	}
}

func planted(t *testing.T, at string, plant func(w *world, name string)) {
	w := &world{T: t, fs: memfs.New()}
	w.mkdir("outside", "outside/sub")
	w.write("outside/secret", "s")
	w.write("outside/sub/secret", "t")
	var v, b, old, nested volume.Volume
	w.must(w.clean(creates(&old, archiving("old", "old", time.Hour))))
	w.must(w.clean(deletes(old.ID)))
	w.must(w.clean(creates(&b, request("pvc-b", "b", volume.Delete, false))))
	w.write("b/file", "b")
	w.must(w.clean(creates(&v, request("pvc-1", "a", volume.Delete, false))))
	w.write("a/file", "x")
	var x volume.Snapshot
	w.must(w.clean(freezes(&x, "x", v.ID)))
	w.must(w.clean(creates(&nested, request("nested", "ns/nested", volume.Delete, false))))
	w.must(w.fs.RemoveAll(t.Context(), at, nil))
	plant(w, at)
	before := fmt.Sprint(w.tree("outside"), w.tree("b"))
	began := time.Now()
	ops := hostileOps(w, v, x)
	ops["delete what is below ns"] = deletes(nested.ID)
	for name, do := range ops {
		w.explained(name, w.clean(do))
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if after := fmt.Sprint(w.tree("outside"), w.tree("b")); after != before {
		t.Errorf("outside it was %s, is %s", before, after)
	}
	w.must(w.clean(func(p *process) error { _, err := p.Get(p.ctx, b.ID); return err }))
	w.must(w.clean(deletes(b.ID)))
}

// hostileOps are operations on the volume pvc-1 and its snapshot, and what looks at everything.
func hostileOps(w *world, v volume.Volume, x volume.Snapshot) map[string]func(p *process) error {
	ops := map[string]func(p *process) error{
		"get":     func(p *process) error { _, err := p.Get(p.ctx, v.ID); return err },
		"list":    func(p *process) error { _, _, err := p.List(p.ctx, "", 0); return err },
		"survey":  func(p *process) error { _, err := p.Survey(p.ctx, place, nil); return err },
		"expand":  func(p *process) error { _, err := p.Expand(p.ctx, v.ID, 5<<20, 0, nil); return err },
		"modify":  func(p *process) error { return p.Modify(p.ctx, v.ID, volume.Changes{UID: 7, GID: 7}, nil) },
		"again":   creates(new(volume.Volume), request("pvc-1", "a", volume.Delete, false)),
		"clone":   creates(new(volume.Volume), filling("clone", "clone", volume.Delete, volume.Source{Volume: &v.ID})),
		"restore": creates(new(volume.Volume), filling("restored", "restored", volume.Delete, volume.Source{Snapshot: &x.ID})),
		"freeze":  freezes(new(volume.Snapshot), "y", v.ID),
		"thaw":    thaws(x.ID),
		"sweep":   func(p *process) error { return visits(late(w, p, 2*time.Hour)) },
		"delete":  deletes(v.ID),
	}
	ops["snapshots"] = func(p *process) error {
		_, _, err := p.ListSnapshots(p.ctx, volume.SnapshotFilter{}, "", 0)
		return err
	}
	return ops
}

// explained checks that an error is one of those that callers know.
func (w *world) explained(name string, err error) {
	w.Helper()
	for _, kind := range []error{volume.ErrInvalid, volume.ErrExists, volume.ErrNotFound, volume.ErrBusy, volume.ErrUnavailable, volume.ErrUnsupported, volume.ErrRange} {
		if err == nil || errors.Is(err, kind) {
			return
		}
	}
	w.Errorf("%s answers %v", name, err)
}

// TestSwapped: at any moment of an operation a pod swaps the volume's directory, or one above, for a link that leads elsewhere, or
// for a file. Nothing that the link leads to is touched or copied.
func TestSwapped(t *testing.T) {
	for name, do := range map[string]func(v volume.Volume) func(p *process) error{
		"delete":  func(v volume.Volume) func(p *process) error { return deletes(v.ID) },
		"archive": func(v volume.Volume) func(p *process) error { v.ID.Policy = volume.Archive; return deletes(v.ID) },
		"clone": func(v volume.Volume) func(p *process) error {
			return creates(new(volume.Volume), filling("clone", "clone", volume.Delete, volume.Source{Volume: &v.ID}))
		},
		"snapshot": func(v volume.Volume) func(p *process) error { return freezes(new(volume.Snapshot), "x", v.ID) },
		"modify": func(v volume.Volume) func(p *process) error {
			return func(p *process) error { return p.Modify(p.ctx, v.ID, volume.Changes{UID: 7, GID: 7}, nil) }
		},
	} {
		for _, swapped := range []string{"ns/a", "ns"} {
			for _, target := range []string{"outside", "../outside", "/outside", "."} {
				t.Run(fmt.Sprint(name, " ", swapped, " ", target), func(t *testing.T) {
					t.Parallel()
					everyMoment(t, func(t *testing.T, w *world) { w.swapped(name == "archive", do, swapped, target) })
				})
			}
		}
	}
}

func (w *world) swapped(archive bool, do func(v volume.Volume) func(p *process) error, swapped, target string) {
	w.mkdir("outside", "outside/a")
	w.write("outside/secret", "s")
	w.write("outside/a/secret", "t")
	var v volume.Volume
	r := request("pvc-1", "ns/a", volume.Delete, false)
	if archive {
		r.Class.Policy = volume.Archive
	}
	w.must(w.clean(creates(&v, r)))
	w.write("ns/a/file", "x")
	err := w.disturbedBy(func() {
		if w.fs.Rename(context.Background(), swapped, "mine") == nil {
			w.link(target, swapped)
		}
	}, do(v))
	w.explained("it", err)
	w.emptied()
	tree := fmt.Sprint(w.tree("."), w.tree(volume.Reserved))
	if strings.Count(tree, "secret=") != 2 || strings.Count(fmt.Sprint(w.tree("outside")), "secret=") != 2 {
		w.Errorf("what is outside was touched or copied: %s", tree)
	}
	info, err := w.fs.Lstat(w.Context(), "outside/a")
	w.must(err)
	if uid, _ := info.Sys().(interface{ Owner() (uid, gid uint32) }).Owner(); uid == 7 {
		w.Error("what is outside has another owner")
	}
}

// TestCrowded: where a pod has put more names than we take into memory an operation that needs them says so, and the trash is emptied.
func TestCrowded(t *testing.T) {
	for at, do := range map[string]func(p *process) error{
		"volumes":     func(p *process) error { _, _, err := p.List(p.ctx, "", 0); return err },
		"archives":    visits,
		"directories": deletes(volume.ID{Location: place, Dir: "old", UUID: "pvc-1", Policy: volume.Delete}),
		"staging":     deletes(volume.ID{Location: place, Dir: "old", UUID: "pvc-1", Policy: volume.Delete}),
		"trash":       nil,
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := &world{T: t, fs: memfs.New()}
			w.mkdir("old", volume.Reserved, volume.Reserved+"/"+at)
			for i := range 1<<17 + 1 {
				w.write(fmt.Sprintf("%s/%s/%d", volume.Reserved, at, i), "")
			}
			if at == "trash" {
				w.must(w.clean(func(p *process) error {
					_, err := p.Space(p.ctx, place, nil)
					for err == nil && (w.exists(volume.Reserved+"/trash/0") || w.exists(volume.Reserved+"/trash/99999")) {
						pause()
					}
					return err
				}))
				w.emptied()
			} else if err := w.clean(do); !errors.Is(err, volume.ErrInvalid) || !errors.Is(err, syscall.EFBIG) {
				t.Errorf("got %v", err)
			}
		})
	}
}
