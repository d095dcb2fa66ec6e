package jobs

import (
	"fmt"
	"strconv"
	"sync"
	"time"
)

// State is how far a job is.
type State struct {
	Op           string    // what it is
	Began        time.Time // it may be waiting for others first
	Files, Bytes int64     // done of what is being done now
	// TotalFiles and TotalBytes are what there is to do; 0 while that is not known.
	TotalFiles, TotalBytes int64
}

// Progress is told how far a job is. All of its methods may be called at once.
type Progress struct {
	mu    sync.Mutex
	doing string // in words
	at    State
}

// newProgress is that of a job which just begins; op names what it does.
func newProgress(op string) *Progress {
	return &Progress{at: State{Op: op, Began: time.Now()}, doing: "looking at the share"}
}

// Now says what is being done.
func (p *Progress) Now(doing string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing, p.at.Files, p.at.Bytes = doing, 0, 0
}

// Copied says how much of it is done.
func (p *Progress) Copied(files, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at.Files, p.at.Bytes = files, bytes
}

// Total says how much there is to copy.
func (p *Progress) Total(files, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at.TotalFiles, p.at.TotalBytes = files, bytes
}

func (p *Progress) state() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// String says it to the user who waits for it: "copying: 43 % (1.2 GiB of 2.9 GiB, 12,034 of 26,000 files)".
func (p *Progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.Files == 0 {
		return p.doing
	}
	if p.at.TotalFiles == 0 {
		return fmt.Sprintf("%s: %s, %s files so far", p.doing, size(p.at.Bytes), grouped(p.at.Files))
	}
	return fmt.Sprintf("%s: %d %% (%s of %s, %s of %s files)", p.doing, p.percent(), size(p.at.Bytes), size(p.at.TotalBytes), grouped(p.at.Files), grouped(p.at.TotalFiles))
}

// percent is of the bytes and of the files, half each: many small files take as long as a few large ones.
func (p *Progress) percent() int64 {
	part := func(n, of int64) int64 {
		if of == 0 {
			return 100
		}
		return min(100, 100*n/of)
	}
	return (part(p.at.Bytes, p.at.TotalBytes) + part(p.at.Files, p.at.TotalFiles)) / 2
}

// size prints bytes with one digit after the point in the largest unit that fits.
func size(n int64) string {
	value, unit := float64(n), "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, larger
	}
	if unit == "B" {
		return strconv.FormatInt(n, 10) + " B"
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + unit
}

// grouped prints n with a comma after each thousand.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
