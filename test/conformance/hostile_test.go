package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// damage is what a hostile server, or bad memory on the way, makes of a reply.
type damage struct {
	name string
	of   func(record []byte) []byte
}

func truncated(n int) damage {
	return damage{fmt.Sprintf("cut off at %d", n), func(record []byte) []byte { return record[:min(n, len(record))] }}
}

func flipped(word int, mask uint32) damage {
	return damage{fmt.Sprintf("word %d changed by %#x", word, mask), func(record []byte) []byte {
		b := slices.Clone(record)
		if at := 4 * word; at+4 <= len(b) {
			binary.BigEndian.PutUint32(b[at:], binary.BigEndian.Uint32(b[at:])^mask)
		}
		return b
	}}
}

// inserted has more in it than it should.
func inserted(word int) damage {
	return damage{fmt.Sprintf("word %d twice", word), func(record []byte) []byte {
		at := min(4*word, len(record))
		return slices.Concat(record[:at], record[max(at-4, 0):at], record[at:])
	}}
}

// Where a reply of n bytes, of so many replies, is damaged: at every word up to mostWords, at fewer where there are many
// replies, or at a few when in a hurry. The first two tell which
// call is answered; without them the client waits until its patience ends, which some [mishaps] try.
const (
	mostWords   = 96
	mostDamages = 600 // of one operation, about
)

func (on *target) damages(n, replies int) []damage {
	words := min(n/4, mostWords)
	step := max(1, 4*words*replies/mostDamages)
	if on.hurry {
		step = max(1, words/4)
	}
	var all []damage
	for w := 2; w < words; w += step {
		all = append(all, truncated(4*w), flipped(w, 0xffffffff), flipped(w, 1), inserted(w+1))
	}
	return append(all, truncated(n-1), truncated(n/2|9), flipped(words-1, 1<<31))
}

const (
	fewReplies  = 4    // are damaged when in a hurry
	mostReplies = 1000 // of one operation
)

// resist damages every reply of the operation in every way. It may answer with an error or be right in the end, but never
// say that something is done which is not, nor touch what it should not.
func (f *faulty) resist(op operation) {
	f.Helper()
	want := f.undisturbed(op)
	sizes := f.replies(op)
	for n, size := range sizes {
		if f.target.hurry && n > fewReplies {
			break
		}
		for _, d := range f.target.damages(size, len(sizes)) {
			got := f.run(f.Context(), op, n, nfsserver.Fault{Reply: func(record []byte) ([]byte, bool) {
				return nfsserver.Frame(d.of(record)), false
			}})
			what := fmt.Sprintf("%s, reply %d %s", op.name, n, d.name)
			if errors.Is(got.err, context.DeadlineExceeded) {
				f.Errorf("%s: %v", what, got.err)
			}
			if diff := differences(got.after, want.after); got.err == nil && diff != "" && !op.trusts {
				f.Errorf("%s: a wrong success:\n%s", what, diff)
			}
			f.keeps(what, got, want)
		}
	}
}

// keeps checks that what the operation does not change has not changed.
func (f *faulty) keeps(what string, got, want outcome) {
	f.Helper()
	for name, text := range want.before {
		if want.after[name] == text && got.after[name] != text {
			f.Errorf("%s: %s was %q and is %q", what, name, text, got.after[name])
		}
	}
}

// replies are the sizes of what an operation gets when nothing happens to it.
func (f *faulty) replies(op operation) []int {
	f.Helper()
	var mu sync.Mutex
	var sizes []int
	o := f.run(f.Context(), op, 0, slices.Repeat(onReply(func(record []byte) ([]byte, bool) {
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, len(record))
		return nfsserver.Pass(record)
	}), mostReplies)...)
	if o.err != nil {
		f.Fatal(o.err)
	}
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(sizes)
}

// leave has the caller go away while each call of the operation is under way: it is told so before any reply comes, what it
// should not touch is as it was, and its slot is free again.
func (f *faulty) leave(op operation) {
	f.Helper()
	want := f.undisturbed(op)
	for n := 0; ; n += f.target.stride(n) {
		ctx, cancel := context.WithCancel(f.Context())
		left := make(chan struct{})
		got := f.runUntil(ctx, left, op, n, nfsserver.Fault{
			Call: func(record []byte) ([]byte, bool) {
				cancel()
				return nfsserver.Pass(record)
			},
			Reply: func(record []byte) ([]byte, bool) {
				<-left
				return nfsserver.Pass(record)
			},
		})
		cancel()
		what := fmt.Sprintf("%s, left at call %d", op.name, n)
		switch {
		case got.err == nil && differences(got.after, want.after) == "": // only tidying up was left
		case !errors.Is(got.err, context.Canceled):
			f.Errorf("%s: %v", what, got.err)
		}
		f.keeps(what, got, want)
		if !got.fired || f.Failed() {
			return
		}
	}
}
