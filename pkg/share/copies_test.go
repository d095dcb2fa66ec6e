package share_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// gate is a world whose copies wait until they are let through.
type gate struct {
	*world
	p *process

	mu     sync.Mutex
	begun  int
	opened chan error // what each copy gets; closed: nothing more waits
}

func newGate(t *testing.T) (g *gate, source volume.Volume) {
	g = &gate{world: &world{T: t, fs: memfs.New()}, opened: make(chan error)}
	source, _ = g.sourced()
	g.p = newProcess(g.fs, "", 0, 0)
	g.p.hooked.Before = func(ctx context.Context, c sharetest.Call) error {
		if c.Op != "CopyTree" {
			return nil
		}
		g.mu.Lock()
		g.begun++
		g.mu.Unlock()
		select {
		case err := <-g.opened:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t.Cleanup(func() { g.must(g.p.Close()) })
	return g, source
}

// try calls do with a time that is over soon, and wants to be told that it is being copied.
func (g *gate) try(do func(p *process) error, words ...string) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), 50*time.Millisecond)
	defer cancel()
	err := do(&process{Manager: g.p.Manager, ctx: ctx})
	if !errors.Is(err, volume.ErrBusy) {
		g.Fatalf("got %v, want ErrBusy", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			g.Errorf("error %q does not say %q", err, w)
		}
	}
}

// copying waits until so many copies have come to the gate.
func (g *gate) copying(n int) {
	g.Helper()
	g.until(func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.begun == n
	})
}

func (g *gate) until(is func() bool) {
	g.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); pause() {
		if time.Now().After(deadline) {
			g.Fatal("it never came")
		}
	}
}

// TestRetryJoins: a copy goes on when its caller has gone, and whoever comes again gets what it makes.
func TestRetryJoins(t *testing.T) {
	g, v := newGate(t)
	var a volume.Volume
	do := creates(&a, filling("pvc-1", "a", volume.Delete, volume.Source{Volume: &v.ID}))
	g.try(do)
	g.copying(1)
	g.try(do, "copying")
	running := g.p.Copies()
	if len(running) != 1 || running[0].Op != "clone" || running[0].Name != "pvc-1" || running[0].Location != place || running[0].Began.IsZero() {
		t.Errorf("running are %+v", running)
	}
	g.holdsStill(v, a)

	// Another request for the same volume waits too, and is judged by what was made.
	other := filling("pvc-1", "a", volume.Delete, volume.Source{Volume: &v.ID})
	other.RequiredBytes = 2 << 20
	var wrong volume.Volume
	refused := make(chan error, 1)
	go func() { refused <- creates(&wrong, other)(g.p) }()
	g.opened <- nil
	g.must(do(g.p))
	if err := <-refused; !errors.Is(err, volume.ErrExists) {
		t.Errorf("the other request got %v", err)
	}
	if n := len(g.p.Copies()); n != 0 {
		t.Errorf("still running: %d", n)
	}
	if g.copying(1); a.ID.Dir != "a" {
		t.Errorf("made %+v", a)
	}
}

// holdsStill: while a copy runs neither its source nor its target can be deleted, and the source can be used otherwise.
func (g *gate) holdsStill(source, _ volume.Volume) {
	g.Helper()
	target := volume.ID{Location: place, Dir: "a", UUID: "pvc-1", Policy: volume.Delete}
	for id, words := range map[volume.ID]string{source.ID: "is being copied", target: "on volume"} {
		if err := deletes(id)(g.p); !errors.Is(err, volume.ErrBusy) || !strings.Contains(err.Error(), words) {
			g.Errorf("deleting %v: %v", id, err)
		}
	}
	if _, err := g.p.Expand(g.p.ctx, source.ID, 0, 0, nil); err != nil {
		g.Error(err)
	}
	g.must(g.p.Modify(g.p.ctx, source.ID, volume.Unchanged(), nil))
	if _, err := g.p.Expand(g.p.ctx, target, 0, 0, nil); !errors.Is(err, volume.ErrBusy) {
		g.Errorf("expanding the target: %v", err)
	}
}

// TestSnapshotIsHeld: a snapshot that is being made or restored from cannot be deleted, its volume once it is made.
func TestSnapshotIsHeld(t *testing.T) {
	g, v := newGate(t)
	var y volume.Snapshot
	var a volume.Volume
	freeze := freezes(&y, "y", v.ID)
	g.try(freeze)
	g.copying(1)
	y.ID = volume.SnapshotID{Location: place, Name: "y", Source: "pvc-0"}
	for _, do := range []func(p *process) error{thaws(y.ID), deletes(v.ID)} {
		if err := do(g.p); !errors.Is(err, volume.ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
	}
	if found, _, err := g.p.ListSnapshots(g.p.ctx, volume.SnapshotFilter{ID: &y.ID}, "", 0); err != nil || len(found) != 0 {
		t.Errorf("listed before it is made: %v, %v", found, err)
	}
	g.opened <- nil
	g.must(freeze(g.p))
	thaw := creates(&a, filling("pvc-1", "a", volume.Delete, volume.Source{Snapshot: &y.ID}))
	g.try(thaw)
	g.copying(2)
	if err := thaws(y.ID)(g.p); !errors.Is(err, volume.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	g.must(deletes(v.ID)(g.p))
	g.opened <- nil
	g.must(thaw(g.p))
	g.must(thaws(y.ID)(g.p))
	g.must(deletes(a.ID)(g.p))
}

// TestFailureIsTold: what made a copy fail reaches the caller that comes again, once; then a new copy begins.
func TestFailureIsTold(t *testing.T) {
	g, v := newGate(t)
	var a volume.Volume
	do := creates(&a, filling("pvc-1", "a", volume.Delete, volume.Source{Volume: &v.ID}))
	g.try(do)
	g.opened <- syscall.EDQUOT
	g.until(func() bool { return len(g.p.Copies()) == 0 })
	if err := do(g.p); !errors.Is(err, volume.ErrNoSpace) || !errors.Is(err, syscall.EDQUOT) {
		t.Errorf("got %v", err)
	}
	g.keeps([]volume.Volume{v}, []volume.Snapshot{{
		ID: volume.SnapshotID{Location: place, Name: "x", Source: "pvc-0"}, Source: v.ID.String(), SizeBytes: v.CapacityBytes, Created: g.frozen("x"),
	}}, sourceTree...)
	close(g.opened)
	g.must(do(g.p))
	g.copying(2)
}

// frozen is when a snapshot was made.
func (w *world) frozen(name string) time.Time {
	w.Helper()
	data, err := w.fs.ReadFile(w.Context(), volume.Reserved+"/snapshots/"+name+".json", 1<<20)
	w.must(err)
	r, err := volume.ParseSnapshotRecord(data)
	w.must(err)
	return r.Created
}

// TestFailureOfAnother: what another request failed of is no answer to this one.
func TestFailureOfAnother(t *testing.T) {
	g, v := newGate(t)
	var a volume.Volume
	r := filling("pvc-1", "a", volume.Delete, volume.Source{Volume: &v.ID})
	other := r
	other.RequiredBytes = 2 << 20
	g.try(creates(&a, other))
	g.opened <- syscall.EDQUOT
	g.until(func() bool { return len(g.p.Copies()) == 0 })
	close(g.opened)
	g.must(creates(&a, r)(g.p))
	if a.CapacityBytes != r.RequiredBytes {
		t.Errorf("made %+v", a)
	}
}

// TestCopiesTakeTurns: of many copies of one share a few run at a time, and the others say that they wait.
func TestCopiesTakeTurns(t *testing.T) {
	const all, atOnce = 10, 4
	g, v := newGate(t)
	snapshots := make([]volume.Snapshot, all)
	var errs sync.WaitGroup
	for i := range snapshots {
		errs.Go(func() {
			if err := freezes(&snapshots[i], fmt.Sprint("y", i), v.ID)(g.p); err != nil {
				t.Error(err)
			}
		})
	}
	g.copying(atOnce)
	g.until(func() bool { return len(g.p.Copies()) == all })
	if err := thaws(volume.SnapshotID{Location: place, Name: "none", Source: "pvc-0"})(g.p); err != nil { // others go on
		t.Error(err)
	}
	close(g.opened)
	errs.Wait()
	if found, _, err := g.p.ListSnapshots(g.p.ctx, volume.SnapshotFilter{}, "", 0); err != nil || len(found) != all+1 {
		t.Errorf("%d snapshots, %v", len(found), err)
	}
}

// TestCloseEndsCopies: a process that ends takes its copies along, tells their callers, and the next one begins anew.
func TestCloseEndsCopies(t *testing.T) {
	before := runtime.NumGoroutine()
	g, v := newGate(t)
	var a volume.Volume
	do := creates(&a, filling("pvc-1", "a", volume.Delete, volume.Source{Volume: &v.ID}))
	ended := make(chan error, 1)
	go func() { ended <- do(g.p) }()
	g.copying(1)
	g.must(g.p.Close())
	if err := <-ended; !errors.Is(err, volume.ErrUnavailable) || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("got %v", err)
	}
	if err := do(g.p); !errors.Is(err, volume.ErrUnavailable) {
		t.Errorf("after that got %v", err)
	}
	g.must(g.clean(do))
	g.emptied()
	g.shows(append(copied("a"), sourceTree...)...)
	g.until(func() bool { return runtime.NumGoroutine() <= before })
}

// TestStalledCopy: a copy that makes no progress is given up, so that a retry can begin anew.
func TestStalledCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, fs: memfs.New()}
		v, _ := w.sourced()
		hang := true
		hooked := sharetest.Hooked{FS: w.fs, Before: func(ctx context.Context, c sharetest.Call) error {
			if c.Op == "CopyTree" && hang {
				hang = false
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		m := share.NewManager(share.Config{
			Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
				return &hooked, io.NopCloser(nil), nil
			},
		})
		defer m.Close()
		request := volume.SnapshotRequest{Name: "y", Source: v.ID}
		if _, err := m.CreateSnapshot(t.Context(), request); !errors.Is(err, volume.ErrUnavailable) || !strings.Contains(err.Error(), "no progress") {
			t.Errorf("got %v", err)
		}
		if _, err := m.CreateSnapshot(t.Context(), request); err != nil {
			t.Error(err)
		}
	})
}

// TestForgottenFailure: a failure that nobody asks for is not kept for ever.
func TestForgottenFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, fs: memfs.New()}
		v, _ := w.sourced()
		full := true
		hooked := sharetest.Hooked{FS: w.fs, Before: func(ctx context.Context, c sharetest.Call) error {
			if c.Op != "CopyTree" || !full {
				return nil
			}
			full = false
			time.Sleep(time.Minute)
			return syscall.ENOSPC
		}}
		m := share.NewManager(share.Config{
			Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
				return &hooked, io.NopCloser(nil), nil
			},
			IdleTimeout: time.Hour,
		})
		defer m.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		request := volume.SnapshotRequest{Name: "y", Source: v.ID}
		if _, err := m.CreateSnapshot(ctx, request); !errors.Is(err, volume.ErrBusy) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Hour)
		if _, err := m.CreateSnapshot(t.Context(), request); err != nil {
			t.Errorf("an hour later got %v", err)
		}
	})
}
