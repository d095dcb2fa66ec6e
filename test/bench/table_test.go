package main

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestP50(t *testing.T) {
	for _, c := range []struct{ in, want []time.Duration }{
		{nil, []time.Duration{0}},
		{[]time.Duration{5}, []time.Duration{5}},
		{[]time.Duration{9, 1, 5}, []time.Duration{5}},
	} {
		if got := p50(c.in); got != c.want[0] {
			t.Errorf("p50(%v) = %v, want %v", c.in, got, c.want[0])
		}
	}
}

func TestTogetherCallsEachOnce(t *testing.T) {
	var calls [100]atomic.Int32
	each, all, err := together(len(calls), 7, func(i int) error { calls[i].Add(1); return nil })
	if err != nil || len(each) != len(calls) || all <= 0 {
		t.Fatalf("together: %d times, %v in all, %v", len(each), all, err)
	}
	for i := range calls {
		if n := calls[i].Load(); n != 1 {
			t.Errorf("call %d was made %d times", i, n)
		}
	}
}

func TestTogetherStopsAtAnError(t *testing.T) {
	broken := errors.New("broken")
	var calls atomic.Int32
	_, _, err := together(1000, 1, func(i int) error {
		calls.Add(1)
		if i == 3 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) || calls.Load() != 4 {
		t.Errorf("after %d calls: %v", calls.Load(), err)
	}
}

func TestSamples(t *testing.T) {
	got, err := samples(strings.NewReader("# HELP go_goroutines Number\n# TYPE go_goroutines gauge\ngo_goroutines 17\nx{a=\"b c\"} 4\nx{a=\"d\"} 3\nprocess_resident_memory_bytes 1.5e+07\n"))
	if err != nil || got["go_goroutines"] != 17 || got["x"] != 7 || got["process_resident_memory_bytes"] != 1.5e7 {
		t.Errorf("samples: %v, %v", got, err)
	}
}
