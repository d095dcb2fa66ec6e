package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// mishap is what the network does to calls that follow each other.
type mishap struct {
	name   string
	faults []nfsserver.Fault
	slow   bool // to live through
	exact  bool // only where the protocol promises to do things exactly once
}

// mishaps that a client must live through without anybody noticing. Silence is noticed by patience only.
var mishaps = []mishap{
	{"cut before the call", onCall(lose), false, false},
	{"cut in the middle of the call", onCall(half), false, false},
	{"cut before the reply", onReply(lose), false, false},
	{"cut in the middle of the reply", onReply(half), false, false},
	{"cut before three replies", slices.Repeat(onReply(lose), 3), true, false},
	{"cut before the call and before the next reply", slices.Concat(onCall(lose), onReply(lose)), true, false},
	{"reply delayed", onReply(late), false, false},
	{"reply twice", onReply(twice), false, false},
	{"call twice", onCall(twice), false, true},
	{"reply in pieces", onReply(pieces), false, false},
	{"strange records before the reply", onReply(strange), false, false},
	{"record too long", onReply(endless), false, false},
	{"call swallowed", onCall(swallow), true, false},
	{"reply swallowed", onReply(swallow), true, false},
	{"reply to nobody", onReply(rubbish), true, false},
}

type change = func(record []byte) (raw []byte, cut bool)

func onCall(c change) []nfsserver.Fault  { return []nfsserver.Fault{{Call: c}} }
func onReply(c change) []nfsserver.Fault { return []nfsserver.Fault{{Reply: c}} }

func lose(record []byte) ([]byte, bool)    { return nil, true }
func swallow(record []byte) ([]byte, bool) { return nil, false }

func rubbish(record []byte) ([]byte, bool) { return nfsserver.Frame([]byte{1, 2, 3}), false }

func half(record []byte) ([]byte, bool) {
	raw := nfsserver.Frame(record)
	return raw[:len(raw)/2], true
}

func late(record []byte) ([]byte, bool) {
	time.Sleep(50 * time.Millisecond)
	return nfsserver.Pass(record)
}

func twice(record []byte) ([]byte, bool) {
	return append(nfsserver.Frame(record), nfsserver.Frame(record)...), false
}

// pieces are fragments of a few bytes each.
func pieces(record []byte) ([]byte, bool) {
	var raw []byte
	for size := 5; len(record) > size; size += size {
		raw = binary.BigEndian.AppendUint32(raw, uint32(size))
		raw = append(raw, record[:size]...)
		record = record[size:]
	}
	return append(raw, nfsserver.Frame(record)...), false
}

// strange sends a call of the server's own, the reply of a call that nobody made, and an empty record first.
func strange(record []byte) ([]byte, bool) {
	call := binary.BigEndian.AppendUint32([]byte{1, 2, 3, 4}, 0)
	unknown := append([]byte{^record[0], ^record[1], ^record[2], ^record[3]}, record[4:]...)
	raw := append(nfsserver.Frame(call), nfsserver.Frame(unknown)...)
	raw = append(raw, nfsserver.Frame(nil)...)
	return append(raw, nfsserver.Frame(record)...), false
}

func endless(record []byte) ([]byte, bool) {
	raw := nfsserver.Frame(record)
	raw[0] = 0x7f
	return raw, false
}

// target is an export whose directory this process can look into.
type target struct {
	name string
	nfs.Config
	disk  string // the export's directory
	slots int    // that the server grants to a session; 0 for versions without
	hurry bool   // hit a choice of the calls, and damage a choice of the words
}

const (
	operationTimeout = time.Minute // of one operation, whatever happens to it
	patience         = 2 * time.Second
)

// faulty is a client of a target behind a proxy.
type faulty struct {
	*testing.T
	target target
	proxy  *nfsserver.Proxy
	fs     *nfs.FS
	runs   int
}

// withFaults runs judge with a client behind a proxy, and checks that it leaves nothing behind.
func withFaults(t *testing.T, on target, judge func(f *faulty)) {
	t.Helper()
	p := &nfsserver.Proxy{Dial: on.Dial}
	defer p.Close()
	on.hurry = on.hurry || testing.Short()
	c := on.Config
	c.Dial, c.CallTimeout = p.Connect, patience
	f := &faulty{T: t, target: on, proxy: p, fs: open(t, c)}
	judge(f)
	p.Plan(0)
	f.allSlotsWork()
}

// outcome is what an operation left and said.
type outcome struct {
	before, after map[string]string
	answer        string
	err           error
	fired         bool
}

// run does the operation in a directory of its own while the faults hit the calls after the first before ones.
func (f *faulty) run(ctx context.Context, op operation, before int, faults ...nfsserver.Fault) outcome {
	f.Helper()
	return f.runUntil(ctx, make(chan struct{}), op, before, faults...)
}

// runUntil is run that closes over when the operation has ended.
func (f *faulty) runUntil(ctx context.Context, over chan<- struct{}, op operation, before int, faults ...nfsserver.Fault) outcome {
	f.Helper()
	f.runs++
	name := fmt.Sprintf("%x-%d", f.Name(), f.runs)
	if len(name) > 200 {
		name = name[len(name)-200:]
	}
	dir := filepath.Join(f.target.disk, name)
	if err := errors.Join(plantCommon(dir), op.prepare(dir)); err != nil {
		f.Fatal(err)
	}
	var o outcome
	o.before = f.look(dir)
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	f.proxy.Plan(before, faults...)
	o.answer, o.err = op.do(ctx, f.fs, name)
	close(over)
	o.fired = f.proxy.Fired() > 0
	o.after = f.look(dir)
	if !f.Failed() {
		os.RemoveAll(dir) // what is still under way on the server may put something there again
	}
	return o
}

func (f *faulty) look(dir string) map[string]string {
	f.Helper()
	found, err := snapshot(dir)
	if err != nil {
		f.Fatal(err)
	}
	return found
}

// undisturbed is what the operation does when nothing happens to it.
func (f *faulty) undisturbed(op operation) outcome {
	f.Helper()
	o := f.run(f.Context(), op, 0)
	if o.err != nil {
		f.Fatal(o.err)
	}
	return o
}

// stride is how far the next call to be hit is, after the n-th: one, or more when in a hurry and many were hit already.
func (on *target) stride(n int) int {
	if on.hurry && n >= 6 {
		return 6
	}
	return 1
}

// liveThrough lets the mishap happen to every call of the operation, one run for each: the outcome must be the same.
func (f *faulty) liveThrough(op operation, m mishap) {
	f.Helper()
	want := f.undisturbed(op)
	for n := 0; ; n += f.target.stride(n) {
		got := f.run(f.Context(), op, n, m.faults...)
		switch {
		case got.err != nil:
			f.Errorf("%s, call %d: %v", op.name, n, got.err)
		case !maps.Equal(got.after, want.after):
			f.Errorf("%s, call %d left something else:\n%s", op.name, n, differences(got.after, want.after))
		case got.answer != want.answer:
			f.Errorf("%s, call %d answered %q, want %q", op.name, n, got.answer, want.answer)
		}
		if !got.fired || f.Failed() {
			return
		}
	}
}

// allSlotsWork has as many calls under way at once as the session has slots: replies are held back until all are. A slot
// that a fault cost would be missing.
func (f *faulty) allSlotsWork() {
	f.Helper()
	if f.target.slots == 0 || f.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(f.Context(), operationTimeout)
	defer cancel()
	var calls atomic.Int64
	all := make(chan struct{})
	held := nfsserver.Fault{
		Call: func(record []byte) ([]byte, bool) {
			if calls.Add(1) == int64(f.target.slots) {
				close(all)
			}
			return nfsserver.Pass(record)
		},
		Reply: func(record []byte) ([]byte, bool) {
			select {
			case <-all:
			case <-ctx.Done():
			}
			return nfsserver.Pass(record)
		},
	}
	f.proxy.Plan(0, slices.Repeat([]nfsserver.Fault{held}, f.target.slots)...)
	err := atOnce(f.target.slots, 1, func(string) error { _, err := f.fs.Lstat(ctx, "."); return err })
	if n := calls.Load(); n != int64(f.target.slots) || err != nil {
		f.Errorf("%d of %d slots are in use: %v", n, f.target.slots, err)
	}
}

// trial is something that a client goes through.
type trial struct {
	name  string
	judge func(f *faulty)
}

// trials let everything happen to each call of each operation.
func trials() []trial {
	var all []trial
	for _, m := range mishaps {
		all = append(all, trial{m.name, func(f *faulty) {
			for _, op := range operations {
				if m.suits(f, op) {
					f.liveThrough(op, m)
				}
			}
		}})
	}
	for _, op := range operations {
		all = append(all,
			trial{"damaged replies/" + op.name, func(f *faulty) { f.resist(op) }},
			trial{"caller leaves/" + op.name, func(f *faulty) { f.leave(op) }})
	}
	return all
}

// suits tells what is tried with what: all that makes sense, or, in a hurry, what takes long only with a few operations.
func (m mishap) suits(f *faulty, op operation) bool {
	if m.exact && f.target.slots == 0 {
		return false
	}
	return !f.target.hurry || !m.slow || op.name == "Rename" || op.name == "Mkdir as asked"
}
