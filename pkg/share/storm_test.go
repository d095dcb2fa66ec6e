package share_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// storms is how often each of these tests plays, every time with other delays.
const storms = 100

// weather delays the calls of one process, each before it is made and before it is answered: most for a moment, some for as
// long as a paused machine does, and now and then all of them at once.
type weather struct {
	mu    sync.Mutex
	rand  *rand.Rand
	still time.Time // nothing is done before
}

func (w *weather) delay(ctx context.Context, _ sharetest.Call) error {
	select {
	case <-time.After(w.next()):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *weather) next() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := time.Duration(w.rand.IntN(int(5 * time.Millisecond)))
	switch w.rand.IntN(40) {
	case 0, 1, 2, 3:
		d *= 20
	case 4:
		d *= 1000
	case 5:
		w.still = time.Now().Add(1000 * d)
	}
	return max(d, time.Until(w.still)+d)
}

// journal is what processes have called, for the reader of a failure.
type journal struct {
	processes atomic.Uint64
	mu        sync.Mutex
	strings.Builder
}

func (j *journal) note(process uint64, air *weather) func(ctx context.Context, c sharetest.Call) error {
	return func(ctx context.Context, c sharetest.Call) error {
		j.mu.Lock()
		fmt.Fprintf(j, "%d: %s %q %v\n", process, c.Op, c.Names, c.Err)
		j.mu.Unlock()
		return air.delay(ctx, c)
	}
}

// stormy plays something some hundred times, each in a world of its own. A process that fly makes is one of several that
// work at the same time.
func stormy(t *testing.T, play func(w *world, fly func() *process)) {
	for seed := range uint64(storms) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{T: t, fs: memfs.New()}
			var log journal
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("calls by process, in their order:\n%s", log.String())
				}
			})
			play(w, func() *process {
				p := newProcess(w.fs, "", 0, 0)
				t.Cleanup(func() { w.must(p.Close()) })
				air := &weather{rand: rand.New(rand.NewPCG(seed, log.processes.Add(1)))}
				p.hooked.Before = air.delay
				p.hooked.After = log.note(log.processes.Load(), air)
				return p
			})
		})
		if t.Failed() {
			t.Logf("in storm %d", seed)
			return
		}
	}
}

// tries repeats do in one process until its error is final; it pauses in between, as those do who ask.
func tries(p *process, do func(p *process) error) error {
	for {
		err := do(p)
		if err == nil || final(err) {
			return err
		}
		time.Sleep(time.Second)
	}
}

// puts writes into a directory, as a pod does that has it mounted, wherever it may be for a moment.
func (w *world) puts(name, text string) {
	for {
		err := w.fs.CreateFile(w.Context(), name, []byte(text), 0o644)
		if err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// together runs all of these at once and waits for them.
func together(all ...func()) {
	var wg sync.WaitGroup
	for _, do := range all {
		wg.Go(do)
	}
	wg.Wait()
}

// TestStormDeletedTwice: two processes delete the same volume, and one of them makes another in its place.
func TestStormDeletedTwice(t *testing.T) {
	for policy, kept := range map[volume.Policy][]string{
		volume.Delete: nil, volume.Archive: {"archived-data/", "archived-data/old=a"},
	} {
		for _, recorded := range []bool{true, false} {
			t.Run(fmt.Sprint(policy, recorded), func(t *testing.T) {
				stormy(t, func(w *world, fly func() *process) {
					a := volume.Volume{ID: volume.ID{Location: place, Dir: "data", UUID: "pvc-a", Policy: policy}}
					if recorded {
						w.must(w.clean(creates(&a, request("pvc-a", "data", policy, false))))
					} else {
						w.mkdir("data")
					}
					w.write("data/old", "a")
					late, next := fly(), fly()
					var b volume.Volume
					together(func() { w.must(tries(late, deletes(a.ID))) }, func() {
						w.must(tries(next, deletes(a.ID)))
						w.must(tries(next, creates(&b, request("pvc-b", "data", volume.Delete, false))))
						w.puts("data/new", "b")
					})
					w.must(w.clean(deletes(a.ID)))
					w.must(w.clean(creates(&b, request("pvc-b", "data", volume.Delete, false))))
					w.emptied()
					w.holds([]volume.Volume{b}, append([]string{"data/", "data/new=b"}, kept...)...)
				})
			})
		}
	}
}

// TestStormRivals: two processes make volumes that cannot both be, and each deletes its own again.
func TestStormRivals(t *testing.T) {
	for _, dirs := range [][2]string{{"data", "data"}, {"ns", "ns/a"}, {"ns/a", "ns/a/b"}} {
		for _, adopt := range []bool{false, true} {
			t.Run(fmt.Sprint(dirs, adopt), func(t *testing.T) {
				stormy(t, func(w *world, fly func() *process) {
					var volumes [2]volume.Volume
					var errs [2]error
					makes := func(i int) func() {
						p := fly()
						return func() {
							errs[i] = tries(p, creates(&volumes[i], request(fmt.Sprint("pvc-", i), dirs[i], volume.Delete, adopt)))
						}
					}
					together(makes(0), makes(1))
					var made []volume.Volume
					for i, err := range errs {
						if err == nil {
							made = append(made, volumes[i])
						} else if !errors.Is(err, volume.ErrExists) {
							w.Error(err)
						}
					}
					if len(made) > 1 {
						w.Errorf("made are %v", made)
					}
					w.tidied()
					w.must(sharetest.Audit(w.Context(), w.fs, made...))
				})
			})
		}
	}
}

// TestStormMadeAndDeleted: one process makes a volume while another deletes it. In the end it is there whole or not at all,
// and can be deleted or made again.
func TestStormMadeAndDeleted(t *testing.T) {
	for _, source := range []bool{false, true} {
		for _, twice := range []bool{false, true} {
			t.Run(fmt.Sprint(source, twice), func(t *testing.T) {
				stormy(t, func(w *world, fly func() *process) {
					v, x := w.sourced()
					r := request("pvc-1", "ns/a", volume.Delete, false)
					if source {
						r = filling("pvc-1", "ns/a", volume.Delete, volume.Source{Volume: &v.ID})
					}
					id, err := r.ID()
					w.must(err)
					var a volume.Volume
					all := []func(){
						func() { _ = tries(fly(), creates(&a, r)) },
						func() { w.must(tries(fly(), deletes(id))) },
					}
					if twice {
						all = append(all, func() { _ = tries(fly(), creates(new(volume.Volume), r)) })
					}
					together(all...)
					if twice { // the second one may have begun after the deletion, and not come to an end
						w.must(w.until(deletes(id)))
					}
					w.mendable(id)
					w.must(w.until(creates(&a, r)))
					w.tidied()
					w.must(sharetest.AuditAll(w.Context(), w.fs, []volume.Volume{v, a}, []volume.Snapshot{x}))
					w.must(w.clean(deletes(id)))
					w.emptied()
					w.keeps([]volume.Volume{v}, []volume.Snapshot{x}, w.orEmpty(sourceTree, "ns/")...)
				})
			})
		}
	}
}

// mendable checks that a volume is there with all that belongs to it, or with nothing of it.
func (w *world) mendable(id volume.ID) {
	w.Helper()
	parts := []string{volume.Reserved + "/volumes/" + volume.Key(id.Name()) + ".json", volume.Reserved + "/directories/" + volume.Key(string(id.Dir)), string(id.Dir)}
	there := 0
	for _, part := range parts {
		if w.exists(part) {
			there++
		}
	}
	if there != 0 && there != len(parts) {
		w.Errorf("of %q only %d are there", parts, there)
	}
}

// adoptedAtLast checks the volume that was made of an archive's directory, or in its place, while somebody removed the archive: it has its own
// file, and that of the archive, which holds old, or not.
func (w *world) adoptedAtLast(b volume.Volume, old string) {
	w.Helper()
	w.must(w.clean(visits))
	w.emptied()
	w.tidied()
	want := []string{"archived-a/", "archived-a/new=b"}
	if w.exists("archived-a/file") {
		want = append(want, "archived-a/file="+old)
	}
	w.holds([]volume.Volume{b}, want...)
}

// TestStormExpiry: two processes remove an archive that is due while a third one makes a volume of its directory.
func TestStormExpiry(t *testing.T) {
	stormy(t, func(w *world, fly func() *process) {
		var a, b volume.Volume
		w.must(w.clean(creates(&a, archiving("pvc-a", "a", time.Hour))))
		w.write("a/file", "x")
		w.must(w.clean(deletes(a.ID)))
		time.Sleep(2 * time.Hour)
		sweep := func() { _ = visits(fly()) }
		together(sweep, sweep, func() {
			w.must(tries(fly(), creates(&b, request("pvc-b", "archived-a", volume.Retain, true))))
			w.puts("archived-a/new", "b")
		})
		w.adoptedAtLast(b, "x")
		w.archives()
	})
}

// TestStormExpiredByHand: somebody removes an archive that is kept for ever, which a visit takes for interrupted where it takes long, while
// a volume is made of its directory.
func TestStormExpiredByHand(t *testing.T) {
	stormy(t, func(w *world, fly func() *process) {
		var b volume.Volume
		w.archivedOnce(0)
		together(func() { _ = expiresByHand(fly()) }, func() {
			for range 8 {
				_ = visits(fly())
				time.Sleep(10 * time.Minute)
			}
		}, func() {
			w.must(tries(fly(), creates(&b, request("pvc-b", "archived-a", volume.Retain, true))))
			w.puts("archived-a/new", "b")
		})
		w.adoptedAtLast(b, "old")
	})
}

// TestStormLoad: two processes, which both believe to lead, are asked for the same and for other volumes at once, and for the end
// of half of them.
func TestStormLoad(t *testing.T) {
	stormy(t, func(w *world, fly func() *process) {
		made := make([]volume.Volume, 6)
		ask := func(p *process, i int, own *volume.Volume) {
			name := fmt.Sprint("pvc-", i)
			r := request(name, []string{"", "ns/", "other/ns/"}[i%3]+name, volume.Delete, false)
			id, err := r.ID()
			if err == nil {
				err = tries(p, creates(own, r))
			}
			if err == nil && i%2 == 1 {
				err = tries(p, deletes(id))
			}
			if err != nil && !errors.Is(err, volume.ErrExists) { // somebody deletes it just now
				w.Error(err)
			}
		}
		var all []func()
		for range 2 {
			p := fly()
			for i := range made {
				all = append(all, func() { ask(p, i, new(volume.Volume)) })
			}
		}
		together(all...)
		var kept []volume.Volume
		var want []string
		for i := range made {
			w.must(w.clean(func(p *process) error { ask(p, i, &made[i]); return nil }))
			if i%2 == 0 {
				kept = append(kept, made[i])
				want = append(want, string(made[i].ID.Dir)+"/")
			}
		}
		w.emptied()
		w.tidied()
		w.holds(kept, w.orEmpty(want, "ns/", "other/", "other/ns/")...)
		for _, v := range kept {
			w.must(w.clean(deletes(v.ID)))
		}
		w.emptied()
		w.holds(nil, w.orEmpty(nil, "ns/", "other/", "other/ns/")...)
	})
}

// orEmpty is want and those of these directories, outermost first, that are there besides. One may stay when it is made again just when it is
// removed; it must be empty but for the others.
func (w *world) orEmpty(want []string, above ...string) []string {
	want = slices.Clone(want)
	for _, dir := range above {
		if !slices.Contains(want, dir) && w.exists(strings.TrimSuffix(dir, "/")) {
			want = append(want, dir)
		}
	}
	return want
}

// TestStormParents: two processes make and delete volumes below the same directories, and one of them ends a deletion that the other one
// has ended before. No volume is lost with a directory above it.
func TestStormParents(t *testing.T) {
	left := 0
	stormy(t, func(w *world, fly func() *process) {
		var a, b, c volume.Volume
		w.must(w.clean(creates(&a, request("pvc-a", "ns/team/data", volume.Delete, false))))
		w.write("ns/team/data/old", "a")
		late, next, other := fly(), fly(), fly()
		together(func() { w.must(tries(late, deletes(a.ID))) }, func() {
			w.must(tries(next, deletes(a.ID)))
			w.must(tries(next, creates(&b, request("pvc-b", "ns/team/data", volume.Delete, false))))
			w.puts("ns/team/data/new", "b")
		}, func() {
			for range 3 {
				w.must(tries(other, creates(&c, request("pvc-c", "ns/team/c", volume.Delete, false))))
				w.must(tries(other, deletes(c.ID)))
			}
		})
		w.must(w.clean(deletes(a.ID)))
		w.emptied()
		w.holds([]volume.Volume{b}, "ns/", "ns/team/", "ns/team/data/", "ns/team/data/new=b")
		w.must(w.clean(deletes(b.ID)))
		w.emptied()
		want := w.orEmpty(nil, "ns/", "ns/team/")
		w.holds(nil, want...)
		left += len(want)
	})
	t.Logf("%d directories stayed", left)
	if left > storms/2 {
		t.Errorf("%d directories stayed in %d storms", left, storms)
	}
}
