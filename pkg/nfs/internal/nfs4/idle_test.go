package nfs4

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// counts is what the server keeps for its clients.
func (f *fake) counts() (sessions, clients, made int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sessions), len(f.clients), f.made
}

// waitFor waits until the server keeps so many sessions and clients.
func (f *fake) waitFor(sessions, clients int) {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s, c, _ := f.counts()
		if s == sessions && c == clients {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d sessions and %d clients, want %d and %d", s, c, sessions, clients)
		}
	}
}

// TestIdle: a session that nobody uses is given back with the client ID, and made again when it is needed.
func TestIdle(t *testing.T) {
	f := startFake(t)
	cfg := f.config(time.Minute)
	cfg.Idle = 20 * time.Millisecond
	c := f.connectWith(cfg)
	for i := range 3 {
		f.waitFor(0, 0)
		if names, calls := c.Batch(); names != 14 || calls != 4 {
			t.Errorf("without a session: %d names, %d calls", names, calls)
		}
		if err := c.Mkdir(t.Context(), nobody, []string{fmt.Sprint(i)}, wanted()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, made := f.counts(); made != 4 {
		t.Errorf("%d sessions", made)
	}
}

// TestIdleMeanwhile: while sessions are given back all the time, nobody who calls notices.
func TestIdleMeanwhile(t *testing.T) {
	f := startFake(t)
	cfg := f.config(time.Minute)
	cfg.Idle = time.Millisecond
	c := f.connectWith(cfg)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 50 {
				if err := c.Mkdir(t.Context(), nobody, []string{fmt.Sprint(i, "-", j)}, wanted()); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(j%5) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(f.done(), "create"); n != 200 {
		t.Errorf("%d made", n)
	}
}

// TestBusyIsNotIdle: a session with a call under way is kept, however long that takes.
func TestBusyIsNotIdle(t *testing.T) {
	f := startFake(t)
	cfg := f.config(time.Minute)
	cfg.Idle = 10 * time.Millisecond
	c := f.connectWith(cfg)
	f.set(once(opCreate, fault{silent: true}))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Mkdir(ctx, nobody, []string{"x"}, wanted()); err == nil {
		t.Error("an answer where there was none")
	}
	if sessions, clients, _ := f.counts(); f.done() != "create x" || sessions != 1 || clients != 1 {
		t.Errorf("%s: %d sessions, %d clients", f.done(), sessions, clients)
	}
}

// TestClose leaves nothing at the server, and does not wait for one that is deaf.
func TestClose(t *testing.T) {
	f := startFake(t)
	c := f.connect(time.Minute)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if sessions, clients, _ := f.counts(); sessions != 0 || clients != 0 {
		t.Errorf("%d sessions, %d clients are left", sessions, clients)
	}
	if _, err := c.Getattr(t.Context(), nobody, nil); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: %v", err)
	}
	c = f.connect(time.Minute)
	f.mu.Lock()
	f.deaf = true
	f.mu.Unlock()
	start := time.Now()
	if c.Close(); time.Since(start) > 10*time.Second {
		t.Errorf("took %v", time.Since(start))
	}
}

// TestOwnersDiffer: no two clients have one name, and a person can tell them apart.
func TestOwnersDiffer(t *testing.T) {
	f := startFake(t)
	f.connect(time.Minute)
	f.connect(time.Minute)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, owner := range f.clients {
		if seen[owner] || !strings.Contains(owner, host) {
			t.Errorf("owner %q", owner)
		}
		seen[owner] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d clients", len(seen))
	}
}

// TestSetup makes a session while something goes wrong once.
func TestSetup(t *testing.T) {
	for _, tt := range []struct {
		op   uint32
		code status.Code
		want status.Code
	}{
		{opCreateSession, status.StaleClientID, status.OK}, // a restart in between
		{opCreateSession, status.Delay, status.OK},
		{opExchangeID, status.Grace, status.OK},
		{opExchangeID, status.ClientIDBusy, status.OK},
		{opReclaimComplete, status.CompleteAlr, status.OK},
		{opReclaimComplete, status.Delay, status.OK},
		{opExchangeID, status.ClientIDInUse, status.ClientIDInUse},
		{opCreateSession, status.NotSupp, status.NotSupp},
	} {
		f := startFake(t)
		f.set(once(tt.op, fault{op: tt.op, code: tt.code}))
		c, err := Connect(t.Context(), f.config(time.Minute), 1)
		if err == nil {
			_, err = c.Walk(t.Context(), nobody)
			c.Close()
		}
		if status.Of(err) != tt.want || (err == nil) != (tt.want == status.OK) {
			t.Errorf("%s answers %d: %v", opNames[tt.op], tt.code, err)
		}
	}
}

// TestServerCalls: a server that calls us on the connection, though we offered no back channel, is passed over.
func TestServerCalls(t *testing.T) {
	for minor := range uint32(2) {
		f := startFake(t)
		f.minor, f.calls = minor, true
		c := f.connect(time.Minute)
		if err := c.Mkdir(t.Context(), nobody, []string{"x"}, wanted()); err != nil {
			t.Errorf("4.%d: %v", minor, err)
		}
	}
}
