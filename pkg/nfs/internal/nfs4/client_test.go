package nfs4

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

var nobody = &rpc.Credential{}

func wanted() file.Set {
	mode := uint32(0o755)
	return file.Set{Mode: &mode, UID: -1, GID: -1}
}

func (f *fake) done() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.did, ", ")
}

// TestFaults makes one directory while something goes wrong once, and looks at how often it was made, in how many
// sessions, and what the client says.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name     string
		fault    fault
		sessions int
		code     status.Code // of the error
		resent   bool        // the error says that it may be ours
	}{
		{"nothing", fault{}, 1, status.OK, false},
		{"reply lost", fault{hangUp: true}, 1, status.OK, false},
		{"slot busy", fault{sequence: status.Delay}, 1, status.OK, false},
		{"server busy", fault{op: opCreate, code: status.Delay}, 1, status.OK, false},
		{"grace", fault{op: opCreate, code: status.Grace}, 1, status.OK, false},
		{"session forgotten", fault{forget: true}, 2, status.OK, false},
		{"dead session", fault{sequence: status.DeadSession}, 2, status.OK, false},
		{"lease expired", fault{sequence: status.Expired}, 2, status.OK, false},
		{"bad slot", fault{sequence: status.BadSlot}, 2, status.OK, false},
		{"numbers differ", fault{sequence: status.SeqMisordered}, 2, status.OK, false},
		{"handle of the export stale", fault{op: opPutFH, code: status.Stale}, 1, status.OK, false},
		{"reply and session lost", fault{hangUp: true, late: true}, 2, status.Exist, true},
		{"refused", fault{op: opCreate, code: status.Access}, 1, status.Access, false},
		{"too many operations", fault{sequence: status.TooManyOps}, 1, status.TooManyOps, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := startFake(t)
			c := f.connect(time.Minute)
			f.set(once(opCreate, tt.fault))
			err := c.Mkdir(t.Context(), nobody, []string{"dir"}, wanted())
			if status.Of(err) != tt.code || (err == nil) != (tt.code == status.OK) {
				t.Errorf("Mkdir: %v", err)
			}
			if status.MaybeOurs(err, "CREATE") != tt.resent {
				t.Errorf("%v: may it be ours? want %v", err, tt.resent)
			}
			refused := tt.code != status.OK && !tt.resent
			if got := f.done(); (got != "create dir" || refused) && (got != "" || !refused) {
				t.Errorf("done: %q", got)
			}
			if f.made != tt.sessions {
				t.Errorf("%d sessions, want %d", f.made, tt.sessions)
			}
			// All slots must still be good.
			for i := range 3 * int(f.slots) {
				if err := c.Mkdir(t.Context(), nobody, []string{fmt.Sprint(i)}, wanted()); err != nil {
					t.Fatal(err)
				}
			}
			if f.made != tt.sessions {
				t.Errorf("%d sessions at the end, want %d", f.made, tt.sessions)
			}
		})
	}
}

// TestExportMoved: the handle of an export that a server does not know any more is looked up again.
func TestExportMoved(t *testing.T) {
	for minor := range uint32(2) {
		for _, code := range []status.Code{status.Stale, status.BadHandle, status.FHExpired} {
			f := startFake(t)
			f.minor = minor
			c := f.connect(time.Minute)
			f.set(once(opCreate, fault{op: opPutFH, code: code}))
			if err := c.Mkdir(t.Context(), nobody, []string{"dir"}, wanted()); err != nil {
				t.Errorf("4.%d: %v", minor, err)
			}
			f.set(func(ops []uint32) fault { return fault{op: opPutFH, code: code} })
			if err := c.Mkdir(t.Context(), nobody, []string{"other"}, wanted()); !status.Is(err, code) {
				t.Errorf("4.%d: %v", minor, err)
			}
		}
	}
}

// TestUncachedReplyLost: a request that changes nothing is asked again, in the same session.
func TestUncachedReplyLost(t *testing.T) {
	f := startFake(t)
	c := f.connect(time.Minute)
	f.set(once(opGetattr, fault{hangUp: true}))
	if _, err := c.Getattr(t.Context(), nobody, nil); err != nil || f.made != 1 {
		t.Errorf("%v, %d sessions", err, f.made)
	}
}

// TestDroppedWithItsSession: a request that a server drops together with its session is sent again in the next one, though the
// connection is not silent; that it may have been done is known then.
func TestDroppedWithItsSession(t *testing.T) {
	f := startFake(t)
	c := f.connect(time.Minute)
	dropped := make(chan struct{})
	f.set(func(ops []uint32) fault {
		if !slices.Contains(ops, opCreate) {
			return fault{}
		}
		f.fault = func([]uint32) fault { return fault{} }
		close(dropped)
		return fault{silent: true}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*lastAnswers)
	defer cancel()
	made := make(chan error, 1)
	go func() { made <- c.Mkdir(ctx, nobody, []string{"dir"}, wanted()) }()
	<-dropped
	f.set(once(opGetattr, fault{sequence: status.BadSession}))
	for {
		select {
		case err := <-made:
			if !status.Is(err, status.Exist) || !status.MaybeOurs(err, "CREATE") {
				t.Error(err)
			}
			return
		default:
		}
		if _, err := c.Getattr(ctx, nobody, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAbandoned: callers that leave while the server works keep their slots busy until the outcome is known, over a lost
// connection too; what they asked for is done once.
func TestAbandoned(t *testing.T) {
	f := startFake(t)
	c := f.connect(time.Minute)
	for i := range int(f.slots) {
		ctx, leave := context.WithCancel(t.Context())
		f.set(func(ops []uint32) fault {
			if !slices.Contains(ops, opCreate) {
				return fault{}
			}
			leave()
			return fault{silent: true}
		})
		if err := c.Mkdir(ctx, nobody, []string{fmt.Sprint(i)}, wanted()); !errors.Is(err, context.Canceled) {
			t.Errorf("Mkdir: %v", err)
		}
		leave()
	}
	f.set(func([]uint32) fault { return fault{} })
	f.cut()
	if err := c.Mkdir(t.Context(), nobody, []string{"last"}, wanted()); err != nil {
		t.Error(err)
	}
	if got := f.done(); got != "create 0, create 1, create 2, create 3, create last" {
		t.Errorf("done: %q", got)
	}
	if f.made != 1 {
		t.Errorf("%d sessions", f.made)
	}
}

// TestPatienceEnds: a server that only ever says "later" is waited for until the context ends, and the error tells why.
func TestPatienceEnds(t *testing.T) {
	f := startFake(t)
	c := f.connect(time.Minute)
	f.set(func(ops []uint32) fault {
		if slices.Contains(ops, opRemove) {
			return fault{op: opRemove, code: status.Grace}
		}
		return fault{}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // ends in a long pause between two attempts
	defer cancel()
	err := c.Remove(ctx, nobody, []string{"x"})
	if !errors.Is(err, context.DeadlineExceeded) || !status.Is(err, status.Grace) {
		t.Errorf("got %v", err)
	}
}

// TestRemoveNames stops at the failing name and goes on where the server asked for patience.
func TestRemoveNames(t *testing.T) {
	f := startFake(t)
	c := f.connect(time.Minute)
	var entries []file.Entry
	for i := range 6 {
		name := fmt.Sprint(i)
		f.names[name] = i != 3
		entries = append(entries, file.Entry{Name: name})
	}
	removes := 0
	f.set(func(ops []uint32) fault {
		if removes++; removes == 1 {
			return fault{hangUp: true}
		}
		return fault{}
	})
	done, err := c.RemoveNames(t.Context(), nobody, "handle", entries)
	if done != 3 || !status.Is(err, status.NoEnt) {
		t.Errorf("%d removed, %v", done, err)
	}
	done, err = c.RemoveNames(t.Context(), nobody, "handle", entries[4:])
	if done != 2 || err != nil {
		t.Errorf("%d removed, %v", done, err)
	}
	if got := f.done(); got != "remove 0, remove 1, remove 2, remove 4, remove 5" {
		t.Errorf("done: %q", got)
	}
}

// TestBatch never asks for more than a session can carry.
func TestBatch(t *testing.T) {
	for _, tt := range []struct {
		ops, slots   uint32
		names, calls int
	}{{64, 64, 16, 16}, {16, 4, 14, 4}, {8, 1, 6, 1}} {
		f := startFake(t)
		f.maxOps, f.slots = tt.ops, tt.slots
		if names, calls := f.connect(time.Minute).Batch(); names != tt.names || calls != tt.calls {
			t.Errorf("%d operations, %d slots: %d names, %d calls", tt.ops, tt.slots, names, calls)
		}
	}
}

func TestMinorMissing(t *testing.T) {
	f := startFake(t)
	for has := range uint32(3) {
		f.minor = has
		for asked := range uint32(3) {
			c, err := Connect(t.Context(), f.config(time.Minute), asked)
			if err == nil {
				c.Close()
			}
			if errors.Is(err, ErrMinor) != (asked != has) || (err == nil) != (asked == has) {
				t.Errorf("asked a server of 4.%d for 4.%d: %v", has, asked, err)
			}
		}
	}
}

// TestStorm: many callers, a connection that breaks at every tenth compound, a server that forgets its clients now and
// then. Each name is made and removed once, or the error says that it may have been.
func TestStorm(t *testing.T) {
	for minor := range uint32(2) {
		t.Run(fmt.Sprint("4.", minor), func(t *testing.T) { storm(t, minor) })
	}
}

func storm(t *testing.T, minor uint32) {
	f := startFake(t)
	f.minor = minor
	c := f.connect(time.Minute)
	n := 0
	f.set(func([]uint32) fault {
		n++
		return fault{hangUp: n%10 == 0, forget: n%37 == 0}
	})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				path := []string{fmt.Sprintf("%d-%d", i, j)}
				if err := c.Mkdir(t.Context(), nobody, path, wanted()); err != nil && !status.MaybeOurs(err, "CREATE") {
					t.Errorf("Mkdir: %v", err)
				}
				if err := c.Remove(t.Context(), nobody, path); err != nil && !status.MaybeOurs(err, "REMOVE") {
					t.Errorf("Remove: %v", err)
				}
				path[0] += "f"
				if err := c.CreateFile(t.Context(), nobody, path, []byte("data"), 0o600); err != nil && !status.MaybeOurs(err, "OPEN") {
					t.Errorf("CreateFile: %v", err)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(f.did)
	if len(f.did) != 16*20*3 || len(slices.Compact(f.did)) != 16*20*3 {
		t.Errorf("%d things done, %d different", len(f.did), len(slices.Compact(f.did)))
	}
}
