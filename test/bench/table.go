package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// table prints what was measured beside what was wanted, a row at a time.
type table struct {
	out    io.Writer
	headed bool
}

func (t *table) row(what, measured, wanted string) {
	if !t.headed {
		fmt.Fprintf(t.out, "%-62s %-34s %s\n", "what", "measured", "wanted")
		t.headed = true
	}
	fmt.Fprintf(t.out, "%-62s %-34s %s\n", what, measured, wanted)
}

// p50 is the median of d, 0 for none.
func p50(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// spread summarises d: median, lowest and highest.
func spread(d []time.Duration) string {
	return fmt.Sprintf("p50 %s (%s to %s)", ms(p50(d)), ms(slices.Min(d)), ms(slices.Max(d)))
}

// together calls f for 0 to n-1 by callers goroutines and returns the time of each call and of all. After the first
// error no further call starts.
func together(n, callers int, f func(i int) error) (each []time.Duration, all time.Duration, err error) {
	each = make([]time.Duration, n)
	var next int
	var mu sync.Mutex
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= n && err == nil
	}
	start := time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				t := time.Now()
				e := f(i)
				each[i] = time.Since(t)
				if e != nil {
					mu.Lock()
					err = e
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return each, time.Since(start), err
}
