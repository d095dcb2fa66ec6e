package nfs

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// conversation is a server that says what it was given, one reply to a call, whatever the call is. When it has nothing
// more to say it hangs up for good, and those who call give up.
type conversation struct {
	mu      sync.Mutex
	replies [][]byte // without the transaction id
	over    context.CancelFunc
	wg      sync.WaitGroup
}

var errOver = errors.New("the conversation is over")

func (c *conversation) next() ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.replies) == 0 {
		c.over()
		return nil, false
	}
	reply := c.replies[0]
	c.replies = c.replies[1:]
	return reply, true
}

func (c *conversation) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.replies) == 0 || ctx.Err() != nil {
		return nil, errOver
	}
	ours, theirs := net.Pipe()
	c.wg.Go(func() { c.serve(theirs) })
	return ours, nil
}

func (c *conversation) serve(nc net.Conn) {
	defer nc.Close()
	for {
		var head [8]byte // mark and transaction id
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			return
		}
		rest := int64(binary.BigEndian.Uint32(head[:])&0x7fffffff) - 4
		if _, err := io.CopyN(io.Discard, nc, rest); err != nil {
			return
		}
		reply, ok := c.next()
		if !ok {
			return
		}
		record := binary.BigEndian.AppendUint32(nil, 1<<31|uint32(4+len(reply)))
		record = append(append(record, head[4:]...), reply...)
		if _, err := nc.Write(record); err != nil {
			return
		}
	}
}

// parseConversation takes replies apart: each has its length in two bytes before it.
func parseConversation(b []byte) (replies [][]byte) {
	for len(b) >= 2 {
		n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
		replies = append(replies, b[2:2+n])
		b = b[2+n:]
	}
	return replies
}

// talk does one of everything, in the order in which the recorded conversations were held.
func talk(ctx context.Context, f *FS) {
	for _, do := range []func(){
		func() { f.Mkdir(ctx, "a", 0o750, -1, -1) },
		func() { f.Mkdir(ctx, "a/b", 0o770|fs.ModeSetgid, 1000, 1000) },
		func() { f.CreateFile(ctx, "a/file", []byte("content"), 0o600) },
		func() { f.Symlink(ctx, "target", "a/link") },
		func() { f.Readlink(ctx, "a/link") },
		func() { f.ReadFile(ctx, "a/file", 100) },
		func() { f.Lstat(ctx, "a/b") },
		func() { f.ReadDir(ctx, "a") },
		func() { f.Chmod(ctx, "a/b", 0o700) },
		func() { f.Chown(ctx, "a/b", 2000, -1) },
		func() { f.Rename(ctx, "a/b", "a/c") },
		func() { f.Remove(ctx, "a/c") },
		func() { f.Space(ctx) },
		func() { f.CopyTree(ctx, "a", "copy", nil) },
		func() { f.RemoveAll(ctx, "a", nil) },
	} {
		do() // any error is fine, a panic or a hang is not
	}
}

var spoken = []Version{V3, V40, V41, V42}

// converse holds a conversation with a client of the version.
func converse(version Version, replies [][]byte) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c := &conversation{replies: replies, over: cancel}
	defer c.wg.Wait()
	f, err := Open(ctx, Config{
		Server: "192.0.2.1", Export: "/four/elements/as/recorded", Versions: []Version{version}, Dial: c.dial, Port: 2049, MountPort: 2049,
		DialTimeout: time.Millisecond, CallTimeout: 50 * time.Millisecond,
	})
	if err != nil {
		return
	}
	defer f.Close()
	talk(ctx, f)
}

// within fails a test that has taken longer since start, by the clock of whoever calls.
func within(t *testing.T, start time.Time, limit time.Duration) {
	t.Helper()
	if took := time.Since(start); took > limit {
		t.Errorf("took %v", took)
	}
}

// FuzzConversation: whatever a server says, the client neither panics nor hangs, leaves no goroutine behind, and takes
// memory in proportion. testdata has what real servers said.
func FuzzConversation(f *testing.F) {
	f.Add(byte(0), []byte{0, 4, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, version byte, said []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		// What waits, for a server that asks for patience or says nothing more, waits in a bubble's time.
		synctest.Test(t, func(t *testing.T) {
			defer within(t, time.Now(), time.Minute)
			converse(spoken[int(version)%len(spoken)], parseConversation(said))
		})
		runtime.ReadMemStats(&after)
		within(t, start, time.Minute) // by the clock on the wall
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(64*len(said)+64<<20) {
			t.Errorf("%d bytes of memory for %d that were said", took, len(said))
		}
	})
}
