package rpc

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

const silence = 10 * time.Second

// pipe connects to a server in the test's bubble.
func pipe(t *testing.T, s script) *Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	go serveConn(theirs, s)
	c := NewConn(ours, silence)
	t.Cleanup(func() { c.Close() })
	return c
}

// isNull tells a question whether the server is there from the calls that request makes, of whose program it must be.
func isNull(t *testing.T, call []byte) bool {
	if len(call) == 44 {
		return false
	}
	d := xdr.NewDecoder(call)
	d.Uint32() // xid
	for i, want := range []uint32{msgCall, rpcVersion, 1, 2, 0, authNone, 0, authNone, 0} {
		if got := d.Uint32(); got != want {
			t.Errorf("word %d is %d, want %d", i, got, want)
		}
	}
	return true
}

// TestSlowCall: a server that takes long for a call and is there keeps its connection, and is not asked anything before and
// after.
func TestSlowCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, nulls := 0, 0
		var slow []byte
		c := pipe(t, func(call []byte) ([]byte, error) {
			if !isNull(t, call) {
				calls++
				slow = call
				return nil, nil
			}
			reply := record(call, 1, accepted()...)
			if nulls++; nulls == 4 {
				reply = append(reply, record(slow, 1, accepted(7)...)...)
			}
			return reply, nil
		})
		time.Sleep(4 * time.Minute)
		start := time.Now()
		body, err := c.Call(t.Context(), request(1))
		synctest.Wait()
		if took := time.Since(start); err != nil || len(body) != 4 || calls != 1 || took < 2*silence {
			t.Errorf("%x, %v, after %v and %d calls", body, err, took, calls)
		}
		time.Sleep(idleTime - time.Minute)
		synctest.Wait()
		if !c.Alive() || nulls != 4 || len(c.pending) != 0 {
			t.Errorf("alive: %v, asked %d times, %d calls are waited for", c.Alive(), nulls, len(c.pending))
		}
		time.Sleep(2 * time.Minute)
		if c.Alive() {
			t.Error("what nobody uses is kept")
		}
	})
}

// TestSilentServer: a server that does not say that it is there is given up as soon as ever, and has been asked once.
func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nulls := 0
		c := pipe(t, func(call []byte) ([]byte, error) {
			if isNull(t, call) {
				nulls++
			}
			return nil, nil
		})
		time.Sleep(time.Minute)
		start := time.Now()
		_, err := c.Call(t.Context(), request(1))
		synctest.Wait()
		if took := time.Since(start); !errors.Is(err, errSilent) || !c.mute() || nulls != 1 || took > silence+silence/4 {
			t.Errorf("%v after %v, asked %d times", err, took, nulls)
		}
	})
}

// TestOwedCall: a server that owes the answer to a call that was given up is asked as well, so that the next call need not
// find out.
func TestOwedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nulls := 0
		c := pipe(t, func(call []byte) ([]byte, error) {
			if isNull(t, call) {
				nulls++
			} else if argument(call) == 1 {
				return nil, nil
			}
			return echo(call)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Call(ctx, request(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		_, err := c.Call(t.Context(), request(2))
		if synctest.Wait(); err != nil || nulls != 1 {
			t.Errorf("%v, asked %d times", err, nulls)
		}
	})
}

// TestForgottenQuietly: where nothing else is asked, a call whose answer never comes is given up within the deadlines of callers.
func TestForgottenQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := pipe(t, func(call []byte) ([]byte, error) {
			if !isNull(t, call) {
				return nil, nil
			}
			return echo(call)
		})
		time.Sleep(time.Minute)
		start := time.Now()
		_, err := c.Call(t.Context(), request(1))
		if took := time.Since(start); !errors.Is(err, errOwing) || c.mute() || took < quietPatience || took > quietPatience+silence/4 {
			t.Errorf("%v after %v, mute: %v", err, took, c.mute())
		}
	})
}

// TestForgottenCall: a call whose answer never comes is given up by a connection that answers everything else, and the server
// is not taken for a silent one.
func TestForgottenCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := pipe(t, func(call []byte) ([]byte, error) {
			if !isNull(t, call) && argument(call) == 1 {
				return nil, nil
			}
			return echo(call)
		})
		start := time.Now()
		forgotten, err := c.Start(request(1))
		if err != nil {
			t.Fatal(err)
		}
		for time.Since(start) < patience {
			if _, err := c.Call(t.Context(), request(2)); err != nil {
				t.Fatalf("after %v: %v", time.Since(start), err)
			}
			time.Sleep(time.Second)
		}
		select {
		case reply := <-forgotten:
			if !errors.Is(reply.Err, errOwing) || !errors.Is(reply.Err, ErrLost) || c.mute() {
				t.Errorf("%v, mute: %v", reply.Err, c.mute())
			}
		case <-time.After(silence):
			t.Error("it is waited for still")
		}
	})
}
