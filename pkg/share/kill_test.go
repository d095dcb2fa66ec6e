package share_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// deed is an operation during which a process is killed.
type deed struct {
	prepare func(w *world)
	do      func(p *process) error
	volumes []string // that there are once it was tried again
	owned   string   // a directory that is then as owned says
	after   []string // what the share holds then, besides what sourced makes
	gone    []string // and when it was never tried again and what has no owner was deleted
}

// deeds are all operations that change a share.
func deeds() map[string]deed {
	var v volume.Volume
	source := volume.ID{Location: place, Dir: "data", UUID: "pvc-0", Policy: volume.Delete}
	of := volume.SnapshotID{Location: place, Name: "x", Source: "pvc-0"}
	id := func(policy volume.Policy) volume.ID {
		return volume.ID{Location: place, Dir: "a", UUID: "pvc-1", Policy: policy}
	}
	has := func(policy volume.Policy) func(w *world) {
		return func(w *world) {
			w.must(w.clean(creates(&v, request("pvc-1", "a", policy, false))))
			w.write("a/file", "x")
		}
	}
	all := map[string]deed{
		"create": {do: creates(&v, request("pvc-1", "a", volume.Delete, false)), volumes: []string{"pvc-1"}, after: []string{"a/"}},
		"owned":  {do: creates(&v, owned("pvc-1", "a")), volumes: []string{"pvc-1"}, owned: "a", after: []string{"a/"}},
		"nested": {do: creates(&v, request("pvc-1", "ns/team/a", volume.Delete, false)), volumes: []string{"pvc-1"}, after: []string{"ns/", "ns/team/", "ns/team/a/"}},
		"adopt": {
			prepare: func(w *world) { w.mkdir("old"); w.write("old/file", "x") },
			do:      creates(&v, request("pvc-1", "old", volume.Retain, true)), volumes: []string{"pvc-1"},
			after: []string{"old/", "old/file=x"}, gone: []string{"old/", "old/file=x"},
		},
		"clone":    {do: creates(&v, filling("pvc-1", "ns/a", volume.Delete, volume.Source{Volume: &source})), volumes: []string{"pvc-1"}, after: append([]string{"ns/"}, copied("ns/a")...)},
		"restore":  {do: creates(&v, filling("pvc-1", "a", volume.Delete, volume.Source{Snapshot: &of})), volumes: []string{"pvc-1"}, after: copied("a")},
		"snapshot": {do: freezes(new(volume.Snapshot), "y", source)},
		"thaw": {prepare: func(w *world) { w.must(w.clean(freezes(new(volume.Snapshot), "y", source))) },
			do: thaws(volume.SnapshotID{Location: place, Name: "y", Source: "pvc-0"})},
		"change": {prepare: has(volume.Delete), volumes: []string{"pvc-1"}, after: []string{"a/", "a/file=x"}, do: func(p *process) error {
			if _, err := p.Expand(p.ctx, id(volume.Delete), 5<<20, 0, nil); err != nil {
				return err
			}
			return p.Modify(p.ctx, id(volume.Delete), volume.Changes{UID: 7, GID: 8}, nil)
		}},
		"purge": {prepare: has(volume.Delete), do: func(p *process) error {
			err := p.Delete(p.ctx, id(volume.Delete), nil)
			for err == nil && !p.killed() && p.Trash() > 0 {
				pause()
			}
			return err
		}},
	}
	for policy, kept := range map[volume.Policy][]string{
		volume.Delete: nil, volume.Retain: {"a/", "a/file=x"}, volume.Archive: {"archived-a/", "archived-a/file=x"}, volume.ArchiveFlat: {"archived-a/", "archived-a/file=x"},
	} {
		all[string(policy)] = deed{prepare: has(policy), do: deletes(id(policy)), after: kept, gone: kept}
	}
	return all
}

func (p *process) killed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// killer ends a process at its nth call, whichever that is and whoever makes it: nothing happens after it in that process, no undoing
// and nothing beside calls. The call itself is not made, made, or made by half.
type killer struct {
	*process
	w    *world
	left int
	how  int // 0: not made, 1: made, 2: by half
}

func (w *world) killer(n, how int) *killer {
	k := &killer{process: newProcess(w.fs, "", 0, 0), w: w, left: n, how: how}
	k.hooked.Before, k.hooked.After = k.before, k.after
	return k
}

func (k *killer) before(ctx context.Context, c sharetest.Call) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errLost
	}
	if k.left--; k.left != 0 {
		return nil
	}
	k.dead = true
	if k.how == 1 {
		return nil
	}
	if k.how == 2 {
		k.half(context.WithoutCancel(ctx), c)
	}
	return errLost
}

func (k *killer) after(context.Context, sharetest.Call) error {
	if k.killed() {
		return errLost
	}
	return nil
}

// half makes a part of the calls that are more than one on a server.
func (k *killer) half(ctx context.Context, c sharetest.Call) {
	switch c.Op {
	case "CopyTree":
		if k.w.fs.Mkdir(ctx, c.Names[1], 0o700, -1, -1) == nil {
			k.w.must(k.w.fs.CreateFile(ctx, c.Names[1]+"/file", nil, 0o600))
		}
	case "RemoveAll":
		if infos, err := k.w.fs.ReadDir(ctx, c.Names[0]); err == nil && len(infos) > 0 {
			k.w.must(k.w.fs.RemoveAll(ctx, c.Names[0]+"/"+infos[0].Name(), nil))
		}
	case "Mkdir": // owner and special bits, which ours have none of, come in a second step
		if !strings.HasPrefix(c.Names[0], volume.Reserved) {
			if err := k.w.fs.Mkdir(ctx, c.Names[0], 0o755, 0, 0); !errors.Is(err, fs.ErrNotExist) {
				k.w.must(err)
			}
		}
	case "CreateFile":
		k.w.must(k.w.fs.CreateFile(ctx, c.Names[0], []byte("{"), 0o600))
	}
}

// owned asks for a volume whose directory takes a server two steps to make.
func owned(name, dir string) volume.Request {
	r := request(name, dir, volume.Delete, false)
	r.Class.Mode, r.Class.UID, r.Class.GID = 0o770|fs.ModeSetgid, 7, 8
	return r
}

func (w *world) isOwned(dir string) {
	w.Helper()
	if dir == "" {
		return
	}
	info, err := w.fs.Lstat(w.Context(), dir)
	w.must(err)
	uid, gid := info.Sys().(interface{ Owner() (uid, gid uint32) }).Owner()
	if info.Mode() != fs.ModeDir|fs.ModeSetgid|0o770 || uid != 7 || gid != 8 {
		w.Errorf("%s is %v of %d:%d", dir, info.Mode(), uid, gid)
	}
}

// TestKilled: a process is killed at each of its calls, and another one is asked again, or nobody ever is.
func TestKilled(t *testing.T) {
	for name := range deeds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for how := range 3 {
				for n := 1; ; n++ {
					if !killedAt(t, name, n, how, true) || !killedAt(t, name, n, how, false) || t.Failed() {
						break
					}
					points++
				}
			}
			if points < 20 {
				t.Errorf("killed at %d calls only", points)
			}
			t.Logf("killed at %d calls", points)
		})
	}
}

// killedAt says whether there was an nth call.
func killedAt(t *testing.T, name string, n, how int, retried bool) (fired bool) {
	t.Run(fmt.Sprint(n, how, retried), func(t *testing.T) {
		w := &world{T: t, fs: memfs.New()}
		w.sourced()
		d := deeds()[name]
		if d.prepare != nil {
			d.prepare(w)
		}
		k := w.killer(n, how)
		err := d.do(k.process)
		w.must(k.Close())
		fired = k.killed()
		if retried {
			if err != nil {
				w.must(w.until(d.do))
			}
			w.finds(d.volumes)
			w.isOwned(d.owned)
			w.settledAs(d.after)
		}
		w.collects()
		w.settledAs(d.gone)
		w.must(sharetest.AuditAll(t.Context(), w.fs, w.surveyed("pvc-0"), []volume.Snapshot{w.snapshotX()}))
	})
	return fired
}

// finds checks which volumes are listed besides the source.
func (w *world) finds(want []string) {
	w.Helper()
	var got []string
	w.must(w.clean(func(p *process) error {
		found, _, err := p.List(p.ctx, "", 0)
		for _, v := range found {
			if v.ID.Name() != "pvc-0" {
				got = append(got, v.ID.Name())
			}
		}
		return err
	}))
	if !slices.Equal(got, want) {
		w.Errorf("listed are %q, want %q", got, want)
	}
}

// settledAs waits for what goes on beside calls, and checks what the share holds besides what sourced makes and directories
// that are empty and above others.
func (w *world) settledAs(want []string) {
	w.Helper()
	w.emptied()
	got := w.tree(".")
	for _, above := range []string{"ns/team/", "ns/"} {
		if i := slices.Index(got, above); i >= 0 && !slices.Contains(want, above) {
			if slices.ContainsFunc(got, func(name string) bool { return name != above && strings.HasPrefix(name, above) }) {
				w.Errorf("something is left in %q", above)
			}
			got = slices.Delete(got, i, i+1)
		}
	}
	want = slices.Concat(sourceTree, want)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.Errorf("the share holds %q, want %q", got, want)
	}
}

// collects deletes what is not the source's, as its owner does who finds it in a survey.
func (w *world) collects() {
	w.Helper()
	w.tidiedLate()
	w.must(w.clean(func(p *process) error {
		found, err := p.Survey(p.ctx, place, nil)
		w.must(err)
		for _, v := range found.Volumes {
			if v.Record.Name != "pvc-0" {
				w.must(w.until(deletes(v.Record.ID(place))))
			}
		}
		for _, s := range found.Snapshots {
			if s.Record.Name != "x" {
				w.must(w.until(thaws(s.Record.ID(place))))
			}
		}
		for _, name := range found.Damaged { // by hand, as it is said to do
			w.must(w.fs.Remove(w.Context(), name))
		}
		found, err = p.Survey(p.ctx, place, nil) // what was reserved for a record that was damaged is for none now
		w.must(err)
		for _, r := range found.Reservations {
			w.must(w.fs.Remove(w.Context(), path.Join(volume.Reserved, "directories", r.Name)))
		}
		return nil
	}))
	w.tidiedLate()
}

// tidiedLate waits for what is done when a share is opened. What belongs to something that is recorded stays.
func (w *world) tidiedLate() {
	w.Helper()
	w.must(w.clean(func(p *process) error {
		var mu sync.Mutex
		listed := 0
		p.hooked.After = func(_ context.Context, c sharetest.Call) error {
			mu.Lock()
			defer mu.Unlock()
			if c.Op == "ReadDir" && path.Base(c.Names[0]) == "staging" {
				listed++
			}
			return nil
		}
		_, err := p.Space(p.ctx, place, nil)
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); pause() {
			mu.Lock()
			done := listed > 0
			mu.Unlock()
			if done {
				break
			}
		}
		return err
	}))
}

func (w *world) surveyed(name string) []volume.Volume {
	w.Helper()
	var all []volume.Volume
	w.must(w.clean(func(p *process) (err error) {
		all, _, err = p.List(p.ctx, "", 0)
		return err
	}))
	return slices.DeleteFunc(all, func(v volume.Volume) bool { return v.ID.Name() != name })
}

func (w *world) snapshotX() volume.Snapshot {
	w.Helper()
	var found []volume.Snapshot
	w.must(w.clean(func(p *process) (err error) {
		found, _, err = p.ListSnapshots(p.ctx, volume.SnapshotFilter{}, "", 0)
		return err
	}))
	if len(found) != 1 {
		w.Fatalf("%d snapshots are left", len(found))
	}
	return found[0]
}
