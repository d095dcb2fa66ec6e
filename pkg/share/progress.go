package share

import (
	"fmt"
	"strconv"
	"sync"
	"time"
)

// progress is how far a copy has come.
type progress struct {
	op    string
	began time.Time

	mu                     sync.Mutex
	doing                  string // in words
	files, bytes           int64
	totalFiles, totalBytes int64 // 0: not known
}

func newProgress(op string) *progress {
	return &progress{op: op, began: time.Now(), doing: "looking at the share"}
}

// now says what is being done.
func (p *progress) now(doing string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing, p.files, p.bytes = doing, 0, 0
}

// copied says how much of it is done.
func (p *progress) copied(files, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files, p.bytes = files, bytes
}

// total says how much there is to copy.
func (p *progress) total(files, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.totalFiles, p.totalBytes = files, bytes
}

func (p *progress) describe(key jobKey) Copy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Copy{Location: key.location, Op: p.op, Name: key.name, Began: p.began,
		Files: p.files, Bytes: p.bytes, TotalFiles: p.totalFiles, TotalBytes: p.totalBytes}
}

// String says it to the user who waits for it: "copying: 43 % (1.2 GiB of 2.9 GiB, 12,034 of 26,000 files)".
func (p *progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files == 0 {
		return p.doing
	}
	if p.totalFiles == 0 {
		return fmt.Sprintf("%s: %s, %s files so far", p.doing, size(p.bytes), grouped(p.files))
	}
	return fmt.Sprintf("%s: %d %% (%s of %s, %s of %s files)", p.doing, p.percent(), size(p.bytes), size(p.totalBytes), grouped(p.files), grouped(p.totalFiles))
}

// percent is of the bytes and of the files, half each: many small files take as long as a few large ones.
func (p *progress) percent() int64 {
	part := func(n, of int64) int64 {
		if of == 0 {
			return 100
		}
		return min(100, 100*n/of)
	}
	return (part(p.bytes, p.totalBytes) + part(p.files, p.totalFiles)) / 2
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
