package share_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// TestLayoutRemoved: somebody takes .nfs-csi away while we run. Volumes are made and deleted all the same.
func TestLayoutRemoved(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	p := newProcess(w.fs, "", 0, 0)
	defer p.Close()
	var a, b volume.Volume
	w.must(creates(&a, request("pvc-a", "a", volume.Delete, false))(p))
	w.must(w.fs.RemoveAll(t.Context(), volume.Reserved))
	w.must(creates(&b, request("pvc-b", "b", volume.Delete, false))(p))
	w.holds([]volume.Volume{b}, "a/", "b/")
	w.must(w.fs.RemoveAll(t.Context(), volume.Reserved))
	if err := deletes(b.ID)(p); !errors.Is(err, volume.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	w.must(deletes(b.ID)(p))
	w.must(deletes(a.ID)(p))
	w.emptied()
	w.holds(nil)
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
			l.restart()
			for range 60 {
				l.step()
				l.check()
			}
			l.must(l.process.Close())
			l.emptied()
			l.check()
		})
	}
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
