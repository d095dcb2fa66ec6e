package nfs

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// forest is a server of trees too large to be kept: it knows how many files and subdirectories a directory has by its
// path, and remembers what was removed only while the directory is there.
type forest struct {
	client
	shape func(depth int) (files, dirs int) // of directories at that depth whose path has only zeros in it
	leaf  func(depth int) (files int)       // of others, which have no subdirectories

	mu      sync.Mutex
	calls   int
	removed int // names
	files   int // among them
	listed  int // entries
	dirs    map[file.Handle]*grown
	most    uint64 // bytes of heap in use, seen now and then
}

type grown struct {
	files, dirs int
	gone        []bool // files, then subdirectories
	left        int
}

// sub is the handle of what the i-th name stands for. The one that is tried first has the subdirectories.
func (d *grown) sub(dir file.Handle, i int) file.Handle {
	return file.Handle(fmt.Sprintf("%s.%d", dir, len(d.gone)-1-i))
}

const forestPage = 800

func (g *forest) Batch() (int, int) { return 16, 16 }

// open finds a directory: its handle is its path, numbers between dots.
func (g *forest) open(h file.Handle) *grown {
	if d := g.dirs[h]; d != nil {
		return d
	}
	d := &grown{}
	if depth := strings.Count(string(h), "."); strings.Trim(string(h), ".0t") == "" {
		d.files, d.dirs = g.shape(depth)
	} else {
		d.files = g.leaf(depth)
	}
	d.left = d.files + d.dirs
	d.gone = make([]bool, d.left)
	g.dirs[h] = d
	return d
}

func (g *forest) enter() func() {
	g.mu.Lock()
	if g.calls++; g.calls%5000 == 0 {
		g.measure()
	}
	return g.mu.Unlock
}

func (g *forest) measure() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	g.most = max(g.most, m.HeapAlloc)
	return m.HeapAlloc
}

func (g *forest) Lookup(context.Context, *rpc.Credential, []string) (file.Handle, file.Attr, error) {
	return "t", file.Attr{Type: fs.ModeDir, Mode: 0o755}, nil
}

func (g *forest) Remove(_ context.Context, _ *rpc.Credential, _ []string) error {
	defer g.enter()()
	if d := g.open("t"); d.left > 0 {
		return fail("REMOVE", status.NotEmpty)
	}
	return nil
}

func (g *forest) ReadPage(_ context.Context, _ *rpc.Credential, dir file.Handle, from file.Cookie) (file.Page, error) {
	defer g.enter()()
	d := g.open(dir)
	var page file.Page
	for i := int(from.Value); i < len(d.gone) && len(page.Entries) < forestPage; i++ {
		page.Cookie.Value = uint64(i + 1)
		if d.gone[i] {
			continue
		}
		e := file.Entry{Name: strings.Repeat("n", 20) + strconv.Itoa(i), Attr: file.Attr{Size: 10}}
		if i >= d.files {
			e.Attr = file.Attr{Type: fs.ModeDir, Mode: 0o755}
			e.Handle = d.sub(dir, i)
		}
		page.Entries = append(page.Entries, e)
	}
	page.EOF = int(page.Cookie.Value) == len(d.gone) || len(d.gone) == 0
	g.listed += len(page.Entries)
	return page, nil
}

func (g *forest) RemoveNames(_ context.Context, _ *rpc.Credential, dir file.Handle, entries []file.Entry) (int, error) {
	defer g.enter()()
	d := g.open(dir)
	for n, e := range entries {
		i, err := strconv.Atoi(strings.TrimLeft(e.Name, "n"))
		if err != nil || i >= len(d.gone) || d.gone[i] {
			return n, fail("REMOVE", status.NoEnt)
		}
		if i >= d.files {
			sub := d.sub(dir, i)
			if g.open(sub).left > 0 {
				return n, fail("REMOVE", status.NotEmpty)
			}
			delete(g.dirs, sub)
		}
		if i < d.files {
			g.files++
		}
		d.gone[i] = true
		d.left--
		g.removed++
	}
	return len(entries), nil
}

func (g *forest) fs() *FS {
	g.dirs = map[file.Handle]*grown{}
	return &FS{client: g, observe: func(string, time.Duration, error) {}}
}

// levels makes the shape of a chain of directories: sizes[i] are those of level i, the last one repeats down to bottom.
func levels(bottom int, sizes ...[2]int) func(depth int) (files, dirs int) {
	return func(depth int) (files, dirs int) {
		size := sizes[min(depth, len(sizes)-1)]
		if depth == bottom {
			size[1] = 0
		}
		return size[0], size[1]
	}
}

// TestRemoveAllMemory removes large trees of every shape in little memory, and without listing much twice.
func TestRemoveAllMemory(t *testing.T) {
	const most = 64 << 20 // bytes, with the garbage of a moment; the trees would take hundreds of millions
	for name, tt := range map[string]struct {
		shape  func(depth int) (files, dirs int)
		leaf   int // files
		total  int
		listed int
	}{
		"1,000,000 files":           {levels(1, [2]int{0, 1000}, [2]int{999, 0}), 999, 1_000_000, 1_000_000},
		"50,000 in a directory":     {levels(0, [2]int{50_000, 0}), 0, 50_000, 50_000},
		"20,000 directories in one": {levels(1, [2]int{0, 20_000}, [2]int{1, 0}), 1, 40_000, 60_000},
		"depth 1,000":               {levels(1000, [2]int{20, 60}), 0, 1000*80 + 20, 200_000},
	} {
		t.Run(name, func(t *testing.T) {
			g := &forest{shape: tt.shape, leaf: func(int) int { return tt.leaf }}
			f := g.fs()
			before := g.measure()
			var files, bytes int64
			if err := f.RemoveAll(t.Context(), "t", func(f, b int64) { files, bytes = f, b }); err != nil {
				t.Fatal(err)
			}
			g.measure()
			grew := int64(g.most) - int64(before)
			t.Logf("%d names with %d calls, %d entries listed, %d KiB", g.removed, g.calls, g.listed, grew>>10)
			if g.removed != tt.total || files != int64(tt.total+1) || bytes != 10*int64(g.files) {
				t.Errorf("removed %d names with %d files, told of %d and %d bytes, want %d names", g.removed, g.files, files, bytes, tt.total)
			}
			if grew > most || g.listed > tt.listed {
				t.Errorf("the heap grew by %d bytes, %d entries were listed", grew, g.listed)
			}
		})
	}
}

// TestRemoveAllBottomless: what lies above a very deep directory is forgotten, and found again.
func TestRemoveAllBottomless(t *testing.T) {
	g := &forest{shape: levels(300, [2]int{3, 4}), leaf: func(int) int { return 2 }}
	f := g.fs()
	attr := file.Attr{Type: fs.ModeDir, Mode: 0o755}
	walks := 0
	for more := true; more; walks++ {
		w := f.newWalker(attr, &tally{})
		w.bottom = 40
		if err := w.empty(t.Context(), "t", attr); err != nil {
			t.Fatal(err)
		}
		more = w.cut
	}
	if left := g.open("t").left; left > 0 || walks < 2 {
		t.Errorf("%d names are left at the top after %d walks", left, walks)
	}
}
