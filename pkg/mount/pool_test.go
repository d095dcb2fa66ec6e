package mount

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func testPool(t *testing.T, helper string) *pool {
	t.Helper()
	p := newPool([]string{os.Args[0], helper}, slog.New(slog.DiscardHandler))
	t.Cleanup(p.close)
	return p
}

// ready waits until p has an idle worker, which it answers.
func ready(t *testing.T, p *pool) *worker {
	t.Helper()
	w, l, err := p.take(t.Context(), "nas")
	if err != nil {
		t.Fatal(err)
	}
	p.give(l, w)
	return w
}

// nothing is a request that does nothing, whoever makes it: its failure says that it was answered.
func nothing() request { return request{Operation: "nothing"} }

func wantAnswered(t *testing.T, err error) {
	t.Helper()
	var f *failure
	if !errors.As(err, &f) || f.Doing != `operation "nothing"` {
		t.Errorf("answered %v", err)
	}
}

func TestPoolUsesAWorkerAgain(t *testing.T) {
	p := testPool(t, "mount-helper")
	for range 3 {
		wantAnswered(t, p.run(t.Context(), nothing()))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) != 1 {
		t.Errorf("%d workers are idle", len(p.idle))
	}
}

func TestPoolServesManyAtOnce(t *testing.T) {
	p := testPool(t, "mount-helper")
	p.warm("nas")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { wantAnswered(t, p.run(t.Context(), nothing())) })
	}
	all.Wait()
}

func TestPoolReplacesAWorkerThatDied(t *testing.T) {
	p := testPool(t, "mount-helper")
	wantAnswered(t, p.run(t.Context(), nothing()))
	p.mu.Lock()
	died := p.idle[0]
	p.mu.Unlock()
	if !died.kill() {
		t.Fatal("a killed worker does not end")
	}
	wantAnswered(t, p.run(t.Context(), nothing()))
}

func TestPoolEndsAWorkerThatHangs(t *testing.T) {
	p := testPool(t, "hang")
	w := ready(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := p.run(ctx, nothing())
	if !errors.Is(err, errKilled) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended with %v", err)
	}
	if w.alive() {
		t.Error("the worker that hangs is alive")
	}
}

func TestPoolSaysWhyThereIsNoWorker(t *testing.T) {
	for helper, words := range map[string]string{
		"crash": "exit status 3): it crashed", "nonsense": "the mount helper ended", "unknown": "exit status 9",
	} {
		if err := testPool(t, helper).run(t.Context(), nothing()); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", helper, err, words)
		}
	}
	p := newPool([]string{"/nonexistent"}, slog.New(slog.DiscardHandler))
	defer p.close()
	if err := p.run(t.Context(), nothing()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A child that is never ready was given nothing to do: that is no server's fault, and no call's end.
func TestAWorkerThatIsNeverReady(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w, err := startWorker(ctx, []string{os.Args[0], "never-ready"})
	if !errors.Is(err, errNoWorker) || errors.Is(err, errKilled) || w != nil {
		t.Errorf("%v, %v", w, err)
	}
}

// A worker that hangs when asked is not waited for by others.
func TestPoolStartsAnotherBesideOneThatHangs(t *testing.T) {
	p := testPool(t, "hang")
	ctx, cancel := context.WithCancel(t.Context())
	stuck, l, err := p.take(ctx, "nas")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- stuck.do(ctx, nothing()) }()
	other, _, err := p.take(t.Context(), "nas")
	if err != nil {
		t.Fatal(err)
	}
	p.give(l, other)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	stuck.kill()
}

// Any number of requests that wait for a dead server are in the way of none for another, and leave no lane behind.
func TestPoolLanesAreNotInEachOthersWay(t *testing.T) {
	p := testPool(t, "hang-when-asked-to-unmount")
	ctx, cancel := context.WithCancel(t.Context())
	var dead sync.WaitGroup
	for range 60 {
		dead.Go(func() {
			if err := p.run(ctx, request{Operation: operationUnmount, server: "dead"}); !errors.Is(err, context.Canceled) {
				t.Errorf("the dead server's request ended with %v", err)
			}
		})
	}
	for waiting := 0; waiting < 50; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		waiting = len(p.lane("dead").waiting)
		p.mu.Unlock()
	}
	for range 3 {
		wantAnswered(t, p.run(t.Context(), request{Operation: "nothing", server: "well"}))
	}
	p.mu.Lock()
	if waiting := len(p.lane("dead").waiting); waiting == 0 {
		t.Error("the other server's requests were done after all of the dead one's")
	}
	p.mu.Unlock()
	cancel()
	dead.Wait()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		left := len(p.lanes)
		p.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d lanes are left", left)
		}
	}
}

func TestPoolLetsGoOfWhoGivesUpWaiting(t *testing.T) {
	p := testPool(t, "never-ready")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.run(ctx, nothing()); !errors.Is(err, errNoWorker) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		if len(l.waiting) != 0 {
			t.Errorf("%d still wait", len(l.waiting))
		}
	}
}

func TestPoolRefusesWorkWhenClosed(t *testing.T) {
	p := testPool(t, "mount-helper")
	w, l, err := p.take(t.Context(), "nas")
	if err != nil {
		t.Fatal(err)
	}
	p.close()
	if err := p.run(t.Context(), nothing()); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
	p.give(l, w)
	if w.alive() {
		t.Error("a worker given back to a closed pool lives on")
	}
}

func TestPoolRetiresIdleWorkers(t *testing.T) {
	p := testPool(t, "mount-helper")
	w := ready(t, p)
	p.drop(w) // as its timer does
	if w.alive() || len(p.idle) != 0 {
		t.Errorf("alive %t, %d idle", w.alive(), len(p.idle))
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var end tail
	for range 3 {
		if n, err := end.Write([]byte(strings.Repeat("x", tailBytes-1) + "\n")); n != tailBytes || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := end.Write([]byte("the end\n")); err != nil {
		t.Fatal(err)
	}
	if got := end.String(); len(got) != tailBytes-1 || !strings.HasSuffix(got, "x\nthe end") {
		t.Errorf("%d bytes: …%q", len(got), got[len(got)-20:])
	}
}
