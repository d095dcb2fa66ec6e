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
	silent bool // what is lost is noticed by patience only
}

// mishaps that a client must live through without anybody noticing.
var mishaps = []mishap{
	{name: "cut before the call", faults: onCall(lose)},
	{name: "cut in the middle of the call", faults: onCall(half)},
	{name: "cut before the reply", faults: onReply(lose)},
	{name: "cut in the middle of the reply", faults: onReply(half)},
	{name: "cut before three replies", faults: slices.Repeat(onReply(lose), 3), slow: true},
	{name: "cut before the call and before the next reply", faults: slices.Concat(onCall(lose), onReply(lose)), slow: true},
	{name: "reply delayed", faults: onReply(late)},
	{name: "reply twice", faults: onReply(twice)},
	{name: "call twice", faults: onCall(twice), exact: true},
	{name: "reply in pieces", faults: onReply(pieces)},
	{name: "strange records before the reply", faults: onReply(strange)},
	{name: "record too long", faults: onReply(endless)},
	{name: "call swallowed", faults: deaf(onCall(swallow)), slow: true, silent: true},
	{name: "reply swallowed", faults: deaf(onReply(swallow)), slow: true, silent: true},
	{name: "reply to nobody", faults: deaf(onReply(rubbish)), slow: true, silent: true},
}

// deaf are faults after which nothing is heard on the connection, not even that the server is there: else a client waits for minutes.
func deaf(faults []nfsserver.Fault) []nfsserver.Fault {
	for i := range faults {
		faults[i].Deaf = true
	}
	return faults
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

// All of this must hold where many trials share a server and two processors: a server that is only slow must not be taken for a silent
// one, whose calls are sent once more and make it slower still.
const (
	operationTimeout = 3 * time.Minute  // of one operation, whatever happens to it
	dialTimeout      = time.Minute      // no trial keeps a server from taking connections
	patience         = 20 * time.Second // where nothing is swallowed
	littlePatience   = 4 * time.Second  // where something is: each takes so long
)

// faulty is a client of a target behind a proxy.
type faulty struct {
	*testing.T
	target target
	proxy  *nfsserver.Proxy
	fs     *nfs.FS
	runs   int

	longest time.Duration // of them
	what    string        // came of that one
}

// withFaults runs a trial with a client behind a proxy, and checks that it leaves nothing behind.
func withFaults(t *testing.T, on target, tried trial) {
	t.Helper()
	p := &nfsserver.Proxy{Dial: on.Dial}
	defer p.Close()
	on.hurry = on.hurry || testing.Short()
	patient := patience
	if tried.silent {
		patient = littlePatience
	}
	c := on.Config
	c.Dial, c.DialTimeout, c.CallTimeout = p.Connect, dialTimeout, patient
	f := &faulty{T: t, target: on, proxy: p, fs: open(t, c)}
	began := time.Now()
	tried.judge(f)
	p.Plan(0)
	f.allSlotsWork()
	t.Logf("%d runs in %v, the longest %v (%s)", f.runs, time.Since(began).Round(time.Millisecond), f.longest.Round(time.Millisecond), f.what)
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
	began := time.Now()
	o.answer, o.err = op.do(ctx, f.fs, name)
	if took := time.Since(began); took > f.longest {
		f.longest, f.what = took, fmt.Sprintf("%s, call %d: %v", op.name, before, o.err)
	}
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
	name   string
	judge  func(f *faulty)
	silent bool // something is never answered
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
		}, m.silent})
	}
	for _, op := range operations {
		all = append(all,
			trial{"damaged replies/" + op.name, func(f *faulty) { f.resist(op) }, false},
			trial{"caller leaves/" + op.name, func(f *faulty) { f.leave(op) }, false})
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
