package share_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// errLost stands for a connection that broke: nobody knows whether the call was made.
var errLost = errors.New("connection lost")

// failure is how a call fails.
type failure int

const (
	refused    failure = iota // not done, for a reason that stays
	lost                      // not done, and nobody knows
	lostReply                 // done, and nobody knows
	timedOut                  // done, and the caller's time is over
	died                      // not done, and the process is no more
	diedAfter                 // done, and the process is no more
	numFailure         = iota

	meanwhile failure = -1 // no failure: somebody else does something just before
)

func (f failure) String() string {
	if f == meanwhile {
		return "meanwhile"
	}
	return [...]string{"refused", "lost", "lost reply", "timed out", "died before", "died after"}[f]
}

// process is a Manager, and the point at which one of its calls fails.
type process struct {
	*share.Manager
	hooked sharetest.Hooked
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	op      string // which calls count
	left    int    // how many of them until one fails; below 0: it has
	failure failure
	dead    bool
	rival   func() // what happens meanwhile
}

var place = volume.Location{Server: "server.test", Share: "/exports"}

// newProcess makes a Manager whose nth call of op fails. With n 0 none does.
func newProcess(fsys share.FS, op string, n int, f failure) *process {
	p := &process{op: op, left: n, failure: f}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.hooked = sharetest.Hooked{FS: fsys, Before: p.before, After: p.after}
	p.Manager = share.NewManager(share.Config{
		Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
			return &p.hooked, io.NopCloser(nil), nil
		},
		Locations:  []volume.Location{place},
		PurgeDelay: time.Nanosecond,
	})
	return p
}

// fired says whether the call that fails was made.
func (p *process) fired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left < 0
}

// hit counts a call and says whether it is the one. The calls of the purger are not counted: they come at any time.
func (p *process) hit(c sharetest.Call) bool {
	if c.Op != p.op || p.left <= 0 || c.Op == "RemoveAll" || c.Op == "ReadDir" && (path.Base(c.Names[0]) == "trash" || path.Base(c.Names[0]) == "archives") {
		return false
	}
	p.left--
	return p.left == 0
}

// tidies says whether a call is the first one of tidying, which a share's opening begins.
func tidies(c sharetest.Call) bool { return c.Op == "ReadDir" && path.Base(c.Names[0]) == "parents" }

// before lets calls fail. Tidying is kept from beginning in the process with the fault: its calls come at any time, and were sometimes the one
// that fails, with the operation going on beside it.
func (p *process) before(ctx context.Context, c sharetest.Call) error {
	if p.op != "" && tidies(c) {
		<-ctx.Done()
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errLost
	}
	if !p.hit(c) {
		return nil
	}
	switch p.failure {
	case refused:
		p.left = -1
		return syscall.ENOSPC
	case lost:
		p.left = -1
		return errLost
	case died:
		p.left, p.dead = -1, true
		return errLost
	case meanwhile:
		p.left = -1
		p.mu.Unlock()
		p.rival()
		p.mu.Lock()
	}
	return nil // after sees that left is 0
}

func (p *process) after(_ context.Context, c sharetest.Call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left != 0 || c.Op != p.op || p.op == "" {
		return nil
	}
	p.left = -1
	switch p.failure {
	case timedOut:
		p.cancel()
		return context.Canceled
	case diedAfter:
		p.dead = true
	}
	return errLost
}

// ops are all calls that an operation makes; each is failed wherever it comes up.
var ops = []string{"Mkdir", "Rename", "Remove", "CreateFile", "Symlink", "ReadDir", "ReadFile", "Readlink", "Lstat",
	"CopyTree", "Chmod", "Chown"}

// everyFailure runs do with each call that it makes failing in each way, in a world of its own.
func everyFailure(t *testing.T, do func(t *testing.T, w *world)) {
	points := 0
	for f := failure(0); f < numFailure; f++ {
		points += everyCall(t, f, do)
	}
	if points < 10 {
		t.Errorf("only %d failures were tried", points)
	}
	t.Logf("%d failures", points)
}

// everyCall runs do with each call that it makes failing in one way. It ends for an op when do has been seen to make
// no more calls of it.
func everyCall(t *testing.T, f failure, do func(t *testing.T, w *world)) (points int) {
	return everyCallOf(t, ops, f, do)
}

func everyCallOf(t *testing.T, ops []string, f failure, do func(t *testing.T, w *world)) (points int) {
	for _, op := range ops {
		for n := 1; ; n++ {
			w := &world{fs: memfs.New()}
			w.faulty = func() *process { return newProcess(w.fs, op, n, f) }
			t.Run(fmt.Sprintf("%v %s %d", f, op, n), func(t *testing.T) {
				w.T = t
				do(t, w)
			})
			if t.Failed() || !w.used.fired() {
				break
			}
			points++
		}
	}
	return points
}

// TestCreateFailures: whatever fails, the next call completes the volume; after a final error there is nothing.
func TestCreateFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		dir     string
		adopt   bool
		prepare func(w *world)
		before  []string // on the share before, and after a refusal
		after   []string // with the volume
	}{
		"plain":  {dir: "a", after: []string{"a/"}},
		"nested": {dir: "ns/team/a", after: []string{"ns/", "ns/team/", "ns/team/a/"}},
		"torn": {dir: "a", after: []string{"a/"}, prepare: func(w *world) {
			w.mkdir(volume.Reserved, volume.Reserved+"/volumes", volume.Reserved+"/staging")
			w.write(volume.Reserved+"/volumes/pvc-1.json", "{")
			w.write(volume.Reserved+"/staging/pvc-1.json", "{")
		}},
		"adopt": {dir: "old", adopt: true, before: []string{"old/", "old/file=x"}, after: []string{"old/", "old/file=x"}, prepare: func(w *world) {
			w.mkdir("old")
			w.write("old/file", "x")
		}},
		"adopt nothing": {dir: "ns/a", adopt: true, after: []string{"ns/", "ns/a/"}},
		"taken empty":   {dir: "old", before: []string{"old/"}, prepare: func(w *world) { w.mkdir("old") }},
		"taken": {dir: "old", before: []string{"old/", "old/file=x"}, prepare: func(w *world) {
			w.mkdir("old")
			w.write("old/file", "x")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			everyFailure(t, func(t *testing.T, w *world) {
				if tt.prepare != nil {
					tt.prepare(w)
				}
				var v volume.Volume
				do := creates(&v, request("pvc-1", tt.dir, volume.Delete, tt.adopt))
				err := w.disturbed(do)
				if err != nil && !final(err) {
					err = w.clean(do)
				}
				switch {
				case err == nil && tt.after != nil:
					w.holds([]volume.Volume{v}, tt.after...)
				case err == nil:
					t.Error("a taken directory was used")
				case errors.Is(err, volume.ErrExists) && tt.after == nil, w.used.failure == refused && errors.Is(err, volume.ErrNoSpace):
					w.leftovers(name == "torn")
					w.holds(nil, tt.before...)
				default:
					t.Error(err)
				}
			})
		})
	}
}

// leftovers takes away what was torn before and was never looked at.
func (w *world) leftovers(torn bool) {
	if torn {
		w.must(w.fs.RemoveAll(w.Context(), volume.Reserved+"/volumes/pvc-1.json", nil))
		w.must(w.fs.RemoveAll(w.Context(), volume.Reserved+"/staging/pvc-1.json", nil))
	}
}

// TestDeleteFailures: whatever fails, the next call completes the deletion, and what a policy keeps is kept once.
func TestDeleteFailures(t *testing.T) {
	kept := map[volume.Policy][]string{
		volume.Delete:      {"ns/"},
		volume.Retain:      {"ns/", "ns/a/", "ns/a/file=x"},
		volume.Archive:     {"archived-ns/", "archived-ns/a-pvc-1/", "archived-ns/a-pvc-1/file=x", "archived-ns/a/", "ns/"},
		volume.ArchiveFlat: {"archived-a-pvc-1/", "archived-a-pvc-1/file=x", "archived-a/", "ns/"},
	}
	for policy, want := range kept {
		for _, recorded := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s recorded %v", policy, recorded), func(t *testing.T) {
				everyFailure(t, func(t *testing.T, w *world) {
					w.mkdir("ns")
					if policy == volume.Archive {
						w.mkdir("archived-ns", "archived-ns/a")
					}
					if policy == volume.ArchiveFlat {
						w.mkdir("archived-a")
					}
					v := volume.Volume{ID: volume.ID{Location: place, Dir: "ns/a", UUID: "pvc-1", Policy: policy}}
					if recorded {
						w.must(w.clean(creates(&v, request("pvc-1", "ns/a", policy, false))))
					} else {
						w.mkdir("ns/a")
					}
					w.write("ns/a/file", "x")
					if err := w.disturbed(deletes(v.ID)); err != nil {
						w.must(w.clean(deletes(v.ID)))
					}
					w.emptied()
					w.holds(nil, want...)
					w.must(w.clean(deletes(v.ID)))
					w.holds(nil, want...)
				})
			})
		}
	}
}

// TestParentsFailures: whatever fails while the last volume below a directory is deleted, the next call removes that directory, and none
// that holds something or that we did not make.
func TestParentsFailures(t *testing.T) {
	for _, policy := range []volume.Policy{volume.Delete, volume.ArchiveFlat} {
		t.Run(string(policy), func(t *testing.T) {
			everyFailure(t, func(t *testing.T, w *world) {
				w.mkdir("own")
				var a, b volume.Volume
				w.must(w.clean(creates(&a, request("pvc-a", "own/ns/team/a", policy, false))))
				w.must(w.clean(creates(&b, request("pvc-b", "own/ns/b", volume.Delete, false))))
				for _, v := range []volume.Volume{a, b} {
					if err := w.disturbed(deletes(v.ID)); err != nil {
						w.must(w.clean(deletes(v.ID)))
					}
					w.emptied()
					want := []string{"own/"}
					if v == a {
						want = append(want, "own/ns/", "own/ns/b/")
					}
					if policy == volume.ArchiveFlat {
						want = append(want, "archived-a/")
					}
					for _, above := range []string{"own/ns", "own/ns/team"} { // what the server refuses for good stays
						if w.used.failure == refused && w.exists(above) && !slices.Contains(want, above+"/") {
							want = append(want, above+"/")
						}
					}
					w.shows(want...)
				}
				w.must(sharetest.Audit(t.Context(), w.fs))
				w.marks()
			})
		})
	}
}

// TestRivals: one process fails over a directory, another volume wants it, then the first is tried again. One of the
// two has it in the end, whole.
func TestRivals(t *testing.T) {
	for _, dirs := range [][2]string{{"data", "data"}, {"ns", "ns/a"}, {"ns/a", "ns"}, {"ns/a", "ns/a/b"}} {
		for _, adopt := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s and %s adopt %v", dirs[0], dirs[1], adopt), func(t *testing.T) {
				everyFailure(t, func(t *testing.T, w *world) {
					var a, b volume.Volume
					first := creates(&a, request("pvc-a", dirs[0], volume.Delete, adopt))
					second := creates(&b, request("pvc-b", dirs[1], volume.Delete, adopt))
					errA := w.disturbed(first)
					errB := w.clean(second)
					if errA != nil && !final(errA) {
						errA = w.clean(first)
					}
					w.judge(map[*volume.Volume]error{&a: errA, &b: errB})
				})
			})
		}
	}
}

// judge checks that exactly one of two volumes was made.
func (w *world) judge(made map[*volume.Volume]error) {
	w.Helper()
	var won []volume.Volume
	for v, err := range made {
		switch {
		case err == nil:
			won = append(won, *v)
		case !errors.Is(err, volume.ErrExists) && !errors.Is(err, volume.ErrNoSpace):
			w.Error(err)
		}
	}
	if len(won) != 1 {
		w.Errorf("%d have won: %v", len(won), made)
	}
	if err := sharetest.Audit(w.Context(), w.fs, won...); err != nil {
		w.Error(err)
	}
}

// TestDeleteThenRival: a deletion fails, another volume gets the directory's name if it can, and the deletion is
// tried again: it must not touch the new volume.
func TestDeleteThenRival(t *testing.T) {
	for _, policy := range []volume.Policy{volume.Delete, volume.Retain, volume.Archive} {
		t.Run(string(policy), func(t *testing.T) {
			everyFailure(t, func(t *testing.T, w *world) {
				var a, b volume.Volume
				w.must(w.clean(creates(&a, request("pvc-a", "data", policy, false))))
				w.write("data/old", "a")
				err := w.disturbed(deletes(a.ID))
				rival := w.clean(creates(&b, request("pvc-b", "data", volume.Retain, policy == volume.Retain)))
				if rival == nil {
					w.write("data/new", "b")
				} else if !errors.Is(rival, volume.ErrExists) {
					t.Error(rival)
				}
				if err != nil {
					w.must(w.clean(deletes(a.ID)))
				}
				w.emptied()
				var volumes []volume.Volume
				var want []string
				switch policy {
				case volume.Retain:
					want = []string{"data/", "data/old=a"}
				case volume.Archive:
					want = []string{"archived-data/", "archived-data/old=a"}
				}
				if rival == nil {
					volumes = []volume.Volume{b}
					want = append(slices.DeleteFunc(want, func(s string) bool { return s == "data/" }), "data/", "data/new=b")
				}
				w.holds(volumes, want...)
			})
		})
	}
}

// TestErrorsSayWhere: an error names the share.
func TestErrorsSayWhere(t *testing.T) {
	p := newProcess(memfs.New(), "Mkdir", 1, refused)
	defer p.Close()
	_, err := p.Create(p.ctx, request("pvc-1", "a", volume.Delete, false))
	if !errors.Is(err, volume.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), place.String()) {
		t.Error(err)
	}
}
