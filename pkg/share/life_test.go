package share_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// TestTidyMarks: a mark whose directory has gone goes when the share is opened; others stay, and so does what is no mark.
func TestTidyMarks(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var v volume.Volume
	w.must(w.clean(creates(&v, request("pvc-1", "ns/team/a", volume.Delete, false))))
	marks := volume.Reserved + "/parents/"
	w.link("../../gone", marks+"gone")
	w.link("../../gone", marks+"other")
	w.link("../../../gone", marks+"up")
	w.write(marks+"file", "x")
	w.must(w.clean(func(p *process) error {
		_, err := p.Space(p.ctx, place, nil)
		for deadline := time.Now().Add(20 * time.Second); w.exists(marks+"gone") && time.Now().Before(deadline); {
			pause()
		}
		return err
	}))
	var got []string
	for _, info := range w.list(marks[:len(marks)-1]) {
		got = append(got, info.Name())
	}
	if want := []string{"file", "ns", "ns%2Fteam", "other", "up"}; !slices.Equal(got, want) {
		t.Errorf("marks are %q, want %q", got, want)
	}
}

// TestNoGrowth makes and deletes 1,000 volumes: one share is opened, and no goroutine is left over.
func TestNoGrowth(t *testing.T) {
	const cycles = 1000
	opened := 0
	fsys := memfs.New()
	m := share.NewManager(share.Config{Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
		opened++
		return fsys, io.NopCloser(nil), nil
	}})
	defer m.Close()
	policies := []volume.Policy{volume.Delete, volume.Retain, volume.Archive}
	before := 0
	for i := range cycles {
		name := fmt.Sprint("pvc-", i)
		v, err := m.Create(t.Context(), request(name, "ns/"+name, policies[i%len(policies)], false))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Delete(t.Context(), v.ID, nil); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			before = settled(t, m, 0)
		}
	}
	after := settled(t, m, before)
	t.Logf("goroutines: %d after one cycle, %d after %d; opened %d", before, after, cycles, opened)
	if after > before || opened != 1 {
		t.Errorf("%d goroutines after one cycle, %d after %d; opened %d times", before, after, cycles, opened)
	}
	if err := sharetest.Audit(t.Context(), fsys); err != nil {
		t.Error(err)
	}
}

// settled waits until the trash is empty and counts goroutines, which may take a moment to go down to want.
func settled(t *testing.T, m *share.Manager, want int) int {
	deadline := time.Now().Add(10 * time.Second)
	for {
		n := runtime.NumGoroutine()
		if m.Trash() == 0 && (n <= want || want == 0) || time.Now().After(deadline) {
			return n
		}
		time.Sleep(time.Millisecond)
	}
}

// TestLayoutRemoved: somebody takes .nfs-csi or a part of it away while we run. Volumes are made and deleted all the same.
func TestLayoutRemoved(t *testing.T) {
	for _, part := range []string{"", "/volumes", "/directories", "/trash", "/staging"} {
		t.Run(part, func(t *testing.T) {
			w := &world{T: t, fs: memfs.New()}
			p := newProcess(w.fs, "", 0, 0)
			defer p.Close()
			var a, b volume.Volume
			w.must(creates(&a, request("pvc-a", "a", volume.Delete, false))(p))
			w.must(deletes(a.ID)(p))
			w.must(creates(&a, request("pvc-a", "a", volume.Delete, false))(p))
			w.must(w.fs.RemoveAll(t.Context(), volume.Reserved+part, nil))
			if part == "/staging" {
				w.write(volume.Reserved+"/volumes/pvc-b.json", "torn")
			}
			w.must(creates(&b, request("pvc-b", "b", volume.Delete, false))(p))
			w.must(w.fs.RemoveAll(t.Context(), volume.Reserved+part, nil))
			for _, v := range []volume.Volume{a, b} {
				if err := deletes(v.ID)(p); err != nil && !errors.Is(err, volume.ErrUnavailable) {
					t.Error(err)
				}
				w.must(deletes(v.ID)(p))
			}
			w.emptied()
			w.holds(nil)
		})
	}
}

// TestMadeMeanwhile: what takes a directory's name at the last moment is ours only if it is just what we would have made.
func TestMadeMeanwhile(t *testing.T) {
	for name, tt := range map[string]struct {
		mode fs.FileMode // 0: a file
		uid  int
		with func(w *world)
		ours bool
	}{
		"ours":       {mode: 0o755, uid: 7, ours: true},
		"other mode": {mode: 0o750, uid: 7},
		"setgid":     {mode: 0o755 | fs.ModeSetgid, uid: 7},
		"owner":      {mode: 0o755, uid: 8},
		"file":       {},
		"content":    {mode: 0o755, uid: 7, with: func(w *world) { w.write("ns/file", "x") }},
		"a volume below": {mode: 0o755, uid: 7, with: func(w *world) {
			w.must(w.fs.Symlink(w.Context(), "../volumes/other.json", volume.Reserved+"/directories/ns%2Fa"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, fs: memfs.New()}
			p := newProcess(w.fs, "", 0, 0)
			defer p.Close()
			p.hooked.Before = func(_ context.Context, c sharetest.Call) error {
				if c.Op != "Mkdir" || c.Names[0] != "ns" {
					return nil
				}
				if tt.mode == 0 {
					return w.fs.CreateFile(t.Context(), "ns", nil, 0o644)
				}
				err := w.fs.Mkdir(t.Context(), "ns", tt.mode, tt.uid, 0)
				if tt.with != nil {
					tt.with(w)
				}
				return err
			}
			r := request("pvc-1", "ns", volume.Delete, false)
			r.Class.Mode, r.Class.UID = 0o755, 7
			v, err := p.Create(t.Context(), r)
			if tt.ours {
				w.must(err)
				w.holds([]volume.Volume{v}, "ns/")
				return
			}
			w.wantsExists(err)
			w.must(w.fs.RemoveAll(t.Context(), volume.Reserved+"/directories/ns%2Fa", nil))
			w.must(sharetest.Audit(t.Context(), w.fs))
		})
	}
}

// TestFoundInsideAnother: a creation that was interrupted finds that a volume above was made at the same time. It goes,
// with the empty directory that it had made.
func TestFoundInsideAnother(t *testing.T) {
	for _, text := range []string{"", "x"} {
		w := &world{T: t, fs: memfs.New()}
		var v volume.Volume
		do := creates(&v, request("pvc-1", "ns/a", volume.Delete, false))
		w.must(w.clean(do))
		above := volume.Reserved + "/directories/ns"
		w.must(w.fs.Symlink(t.Context(), "../volumes/other.json", above))
		want := []string{"ns/"}
		if text != "" {
			w.write("ns/a/file", text)
			want = []string{"ns/", "ns/a/", "ns/a/file=" + text}
		}
		w.wantsExists(w.clean(do))
		w.must(w.fs.Remove(t.Context(), above))
		w.holds(nil, want...)
	}
}

// TestTwoFailures: of two failures at once the one whose outcome is not known counts, so that the call is repeated.
func TestTwoFailures(t *testing.T) {
	for _, full := range []string{"CreateFile", "Symlink"} {
		w := &world{T: t, fs: memfs.New()}
		p := newProcess(w.fs, "", 0, 0)
		p.hooked.Before = func(_ context.Context, c sharetest.Call) error {
			if c.Op == full {
				return syscall.ENOSPC
			}
			return nil
		}
		p.hooked.After = func(_ context.Context, c sharetest.Call) error {
			if c.Op == "CreateFile" || c.Op == "Symlink" {
				return errLost
			}
			return nil
		}
		var v volume.Volume
		do := creates(&v, request("pvc-1", "a", volume.Delete, false))
		err := do(p)
		p.Close()
		if !errors.Is(err, volume.ErrUnavailable) || errors.Is(err, volume.ErrNoSpace) {
			t.Errorf("%s: got %v", full, err)
		}
		w.must(w.clean(do))
		w.holds([]volume.Volume{v}, "a/")
	}
}

// TestUndoneWithoutCaller: what failed is taken back even when the caller has gone meanwhile.
func TestUndoneWithoutCaller(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	p := newProcess(w.fs, "", 0, 0)
	defer p.Close()
	p.hooked.Before = func(_ context.Context, c sharetest.Call) error {
		if c.Op == "Mkdir" && c.Names[0] == "a" {
			p.cancel()
			return syscall.ENOSPC
		}
		return nil
	}
	var v volume.Volume
	if err := creates(&v, request("pvc-1", "a", volume.Delete, false))(p); !errors.Is(err, volume.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	w.holds(nil)
}

// TestPolicyOutlivesCrashes: a handle that says delete does not become true while a retained volume is deleted, as long
// as there is a record. Without one a volume is as its handle says.
func TestPolicyOutlivesCrashes(t *testing.T) {
	everyFailure(t, func(t *testing.T, w *world) {
		var v volume.Volume
		w.must(w.clean(creates(&v, request("pvc-1", "a", volume.Retain, false))))
		w.write("a/file", "x")
		v.ID.Policy = volume.Delete
		err := w.disturbed(deletes(v.ID))
		if err != nil && len(w.list(volume.Reserved+"/volumes")) > 0 {
			w.must(w.clean(deletes(v.ID)))
		}
		w.tidied()
		w.holds(nil, "a/", "a/file=x")
	})
}

// TestAcrossFileSystems: what cannot be moved is kept, and the error says why.
func TestAcrossFileSystems(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var v volume.Volume
	w.must(w.clean(creates(&v, request("pvc-1", "a", volume.Delete, false))))
	p := newProcess(w.fs, "", 0, 0)
	defer p.Close()
	p.hooked.Before = func(_ context.Context, c sharetest.Call) error {
		if c.Op == "Rename" {
			return syscall.EXDEV
		}
		return nil
	}
	err := deletes(v.ID)(p)
	if !errors.Is(err, volume.ErrUnsupported) || !strings.Contains(err.Error(), "another file system") {
		t.Errorf("got %v", err)
	}
	w.holds([]volume.Volume{v}, "a/")
}

// life is a random sequence of operations on a few names and directories of a share that fails now and then, and what
// must be true of it.
type life struct {
	*world
	random  *rand.Rand
	volumes map[string]volume.Volume // by name
	texts   map[string]bool          // what was written into volumes, and not deleted with one
	process *process
}

// TestLives checks after every operation that the share holds exactly the volumes that were made and not deleted, and
// the data that were written and not deleted.
func TestLives(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &life{
				world: &world{T: t, fs: memfs.New()}, random: rand.New(rand.NewPCG(seed, 0)),
				volumes: map[string]volume.Volume{}, texts: map[string]bool{},
			}
			l.through(l.step, l.check)
		})
	}
}

// through takes many steps and checks after each of them.
func (l *life) through(step, check func()) {
	l.Helper()
	l.restart()
	for range 60 {
		step()
		l.tidied()
		check()
	}
	l.must(l.process.Close())
	l.emptied()
	check()
}

// restart begins with a new process whose calls fail at random while it says so.
func (l *life) restart() {
	if l.process != nil {
		l.must(l.process.Close())
	}
	p := newProcess(l.fs, "", 0, 0)
	fail := func(context.Context, sharetest.Call) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.op == "any" && l.random.IntN(20) == 0 {
			return []error{errLost, syscall.EIO, context.DeadlineExceeded}[l.random.IntN(3)]
		}
		return nil
	}
	p.hooked.Before, p.hooked.After = fail, fail
	l.process = p
}

func (l *life) failing(op string) {
	l.process.mu.Lock()
	defer l.process.mu.Unlock()
	l.process.op = op
}

func (l *life) step() {
	l.Helper()
	name := fmt.Sprint("pvc-", l.random.IntN(5))
	if l.random.IntN(4) == 0 {
		l.restart()
	}
	if v, exists := l.volumes[name]; exists && l.random.IntN(2) == 0 {
		l.delete(v)
		return
	}
	l.create(name)
}

// persist repeats do, which fails at first, until its error is final.
func (l *life) persist(do func(*process) error) error {
	l.failing("any")
	defer l.failing("")
	for range 3 {
		if err := do(l.process); err == nil || final(err) {
			return err
		}
	}
	l.failing("")
	return do(l.process)
}

func (l *life) create(name string) {
	l.Helper()
	dir := []string{"a", "b", "ns", "ns/a", "ns/a/b", "ns/b", "archived-a"}[l.random.IntN(7)]
	policy := []volume.Policy{volume.Delete, volume.Retain, volume.Archive}[l.random.IntN(3)]
	before, exists := l.volumes[name]
	var v volume.Volume
	err := l.persist(creates(&v, request(name, dir, policy, l.random.IntN(3) == 0)))
	switch {
	case err == nil && !exists:
		l.volumes[name] = v
		text := fmt.Sprintf("%s-%d", name, l.random.Uint64())
		l.texts[text] = true
		l.write(path.Join(string(v.ID.Dir), text), text)
	case err == nil:
		if v != before {
			l.Errorf("made again: %v, was %v", v, before)
		}
	case !errors.Is(err, volume.ErrExists) || exists:
		l.Errorf("creating %s in %s: %v", name, dir, err)
	}
}

func (l *life) delete(v volume.Volume) {
	l.Helper()
	if v.ID.Policy == volume.Delete {
		for text := range l.written(string(v.ID.Dir)) {
			delete(l.texts, text)
		}
	}
	l.must(l.persist(deletes(v.ID)))
	delete(l.volumes, v.ID.Name())
}

// written collects what the files below dir hold.
func (l *life) written(dir string) map[string]bool {
	l.Helper()
	texts := map[string]bool{}
	for _, entry := range l.tree(dir) {
		if _, text, ok := strings.Cut(entry, "="); ok {
			if texts[text] {
				l.Errorf("%q is there twice", text)
			}
			texts[text] = true
		}
	}
	return texts
}

func (l *life) check() {
	l.Helper()
	all := slices.Collect(maps.Values(l.volumes))
	if err := sharetest.Audit(l.Context(), l.fs, all...); err != nil {
		l.Fatal(err)
	}
	if got := l.written("."); !maps.Equal(got, l.texts) {
		l.Fatalf("data are %v, want %v", got, l.texts)
	}
}
