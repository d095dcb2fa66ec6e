package nfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// grove is a server's trees in memory, with owners that it enforces. Paths are handles.
type grove struct {
	client // nil: whatever the walker must not use

	mu       sync.Mutex
	nodes    map[string]*node
	squash   bool          // root is nobody
	refill   string        // this directory gets a new file whenever one is removed from it
	stays    string        // a name that has this in it cannot be removed
	readOnly bool          // nothing can be changed below the top
	vague    int           // so many more listings are empty and not the last page, or of a place that is not known
	circles  bool          // listings go back from their second page to that page
	hollow   bool          // listings have nothing on their second page, not even a place
	noAttr   bool          // listings do not describe entries
	astray   string        // a listing of this directory is of another one
	pause    time.Duration // of each call
	parent   []uint32      // uids that worked in the tree's parent
	inFlight atomic.Int32
	most     atomic.Int32
}

type node struct {
	attr     file.Attr
	children map[string]bool
}

const (
	groveBatch = 4
	groveCalls = 3
)

// plant makes a tree: a trailing slash makes a directory, owner and mode are of all of it.
func (g *grove) plant(uid, mode uint32, paths ...string) {
	if g.nodes == nil {
		g.nodes = map[string]*node{"": {attr: file.Attr{Type: fs.ModeDir, Mode: 0o755}, children: map[string]bool{}}}
	}
	for _, path := range paths {
		name, isDir := strings.CutSuffix(path, "/")
		n := &node{attr: file.Attr{UID: uid, GID: uid, Mode: mode, FileID: uint64(len(g.nodes))}}
		if isDir {
			n.attr.Type, n.children = fs.ModeDir, map[string]bool{}
		}
		g.nodes[name] = n
		dir, base := parentOf(name)
		g.nodes[dir].children[base] = true
	}
}

func parentOf(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}

func joined(dir file.Handle, name string) string {
	return strings.TrimPrefix(string(dir)+"/"+name, "/")
}

func (g *grove) enter(ctx context.Context) func() {
	n := g.inFlight.Add(1)
	for most := g.most.Load(); n > most && !g.most.CompareAndSwap(most, n); most = g.most.Load() {
		continue
	}
	_ = rpc.Sleep(ctx, g.pause)
	g.mu.Lock()
	return func() {
		g.mu.Unlock()
		g.inFlight.Add(-1)
	}
}

func fail(op string, code status.Code) error { return &status.Error{Version: 4, Op: op, Code: code} }

// open finds a directory in which cred may do everything.
func (g *grove) open(cred *rpc.Credential, dir file.Handle) (*node, error) {
	n := g.nodes[string(dir)]
	switch {
	case n == nil:
		return nil, fail("PUTFH", status.Stale)
	case dir == "", cred.UID == 0 && !g.squash, cred.UID != 0 && n.attr.Mode == 0o777, cred.UID != 0 && cred.UID == n.attr.UID && n.attr.Mode&0o700 == 0o700:
		return n, nil
	}
	return nil, fail("ACCESS", status.Access)
}

func (g *grove) Batch() (int, int) { return groveBatch, groveCalls }

func (g *grove) Lookup(ctx context.Context, cred *rpc.Credential, path []string) (file.Handle, file.Attr, error) {
	return g.LookupIn(ctx, cred, "", strings.Join(path, "/"))
}

func (g *grove) LookupIn(ctx context.Context, _ *rpc.Credential, dir file.Handle, name string) (file.Handle, file.Attr, error) {
	defer g.enter(ctx)()
	n := g.nodes[joined(dir, name)]
	if n == nil {
		return "", file.Attr{}, fail("LOOKUP", status.NoEnt)
	}
	return file.Handle(joined(dir, name)), n.attr, nil
}

// ReadPage lists at most five entries. A cookie is the number of entries before it, which moves what a removal makes
// the listing skip.
func (g *grove) ReadPage(ctx context.Context, cred *rpc.Credential, dir file.Handle, from file.Cookie) (file.Page, error) {
	defer g.enter(ctx)()
	n, err := g.open(cred, dir)
	if err != nil {
		return file.Page{}, err
	}
	if g.vague > 0 {
		if g.vague--; g.vague%2 == 0 || from == (file.Cookie{}) {
			return file.Page{}, nil
		}
		return file.Page{}, fail("READDIR", status.BadCookie)
	}
	page := file.Page{EOF: true, ID: n.attr.FileID}
	if g.hollow && from.Value > 0 {
		return file.Page{}, nil
	}
	if g.astray != "" && string(dir) == g.astray {
		page.ID++
	}
	names := slices.Sorted(maps.Keys(n.children))
	for _, name := range names[min(int(from.Value), len(names)):] {
		if len(page.Entries) == 5 {
			page.EOF = false
			break
		}
		page.Cookie.Value = from.Value + uint64(len(page.Entries)) + 1
		e := file.Entry{Name: name, Attr: g.nodes[joined(dir, name)].attr, Handle: file.Handle(joined(dir, name))}
		if g.noAttr {
			e = file.Entry{Name: name, NoAttr: true}
		}
		page.Entries = append(page.Entries, e)
	}
	if g.circles && from.Value > 0 {
		page.Cookie, page.EOF = from, false
	}
	return page, nil
}

func (g *grove) RemoveNames(ctx context.Context, cred *rpc.Credential, dir file.Handle, entries []file.Entry) (int, error) {
	defer g.enter(ctx)()
	n, err := g.open(cred, dir)
	if err != nil {
		return 0, err
	}
	if len(entries) > groveBatch {
		return 0, fail("REMOVE", status.TooManyOps)
	}
	if g.readOnly && dir != "" {
		return 0, fail("REMOVE", 30)
	}
	for i, e := range entries {
		child := g.nodes[joined(dir, e.Name)]
		if child == nil {
			return i, fail("REMOVE", status.NoEnt)
		}
		if g.stays != "" && strings.Contains(e.Name, g.stays) {
			return i, fail("REMOVE", 10046)
		}
		if len(child.children) > 0 {
			return i, fail("REMOVE", status.NotEmpty)
		}
		delete(n.children, e.Name)
		delete(g.nodes, joined(dir, e.Name))
		if g.refill != "" && string(dir) == g.refill {
			g.plant(0, 0o644, joined(dir, fmt.Sprint(e.Name, "x")[:1+len(e.Name)%50]))
		}
	}
	return len(entries), nil
}

func (g *grove) Remove(ctx context.Context, cred *rpc.Credential, path []string) error {
	g.mu.Lock()
	g.parent = append(g.parent, cred.UID)
	g.mu.Unlock()
	_, err := g.RemoveNames(ctx, &rpc.Credential{UID: 0}, "", []file.Entry{{Name: strings.Join(path, "/")}})
	return err
}

func (g *grove) SetMode(ctx context.Context, cred *rpc.Credential, dir file.Handle, mode uint32) error {
	defer g.enter(ctx)()
	n := g.nodes[string(dir)]
	if cred.UID != n.attr.UID {
		return fail("SETATTR", status.Perm)
	}
	n.attr.Mode = mode
	return nil
}

func (g *grove) fs(uid uint32) *FS {
	return &FS{client: g, cred: rpc.Credential{UID: uid, GID: uid}, observe: func(string, time.Duration, error) {}}
}

func tall(g *grove) {
	g.plant(0, 0o755, "keep", "t/")
	for i := range 7 {
		dir := fmt.Sprintf("t/%d/", i)
		g.plant(0, 0o755, dir, dir+"sub/")
		for j := range 13 {
			g.plant(0, 0o644, fmt.Sprint(dir, j), fmt.Sprint(dir, "sub/", j))
		}
	}
}

func TestRemoveAllEmpties(t *testing.T) {
	for name, prepare := range map[string]func(g *grove){
		"as listed":       func(*grove) {},
		"not described":   func(g *grove) { g.noAttr = true },
		"slow":            func(g *grove) { g.pause = time.Millisecond },
		"a file":          func(g *grove) { g.nodes = nil; g.plant(0, 0, "keep", "t") },
		"nothing":         func(g *grove) { g.nodes = nil; g.plant(0, 0, "keep") },
		"empty directory": func(g *grove) { g.nodes = nil; g.plant(0, 0, "keep", "t/") },
	} {
		t.Run(name, func(t *testing.T) {
			g := &grove{}
			tall(g)
			prepare(g)
			if err := g.fs(0).RemoveAll(t.Context(), "t", nil); err != nil {
				t.Error(err)
			}
			if len(g.nodes) != 2 || g.nodes["keep"] == nil {
				t.Errorf("left: %d", len(g.nodes))
			}
			if most := g.most.Load(); most > groveCalls {
				t.Errorf("%d calls in flight", most)
			}
		})
	}
}

// TestRemoveAllAsOwner: whoever owns a directory empties it, but the tree's own name is removed by us alone.
func TestRemoveAllAsOwner(t *testing.T) {
	for _, uid := range []uint32{0, 1000} {
		g := &grove{squash: true}
		g.plant(1000, 0o755, "t/", "t/file")
		g.plant(2000, 0o700, "t/a/", "t/a/file", "t/a/sub/", "t/a/sub/file")
		g.plant(3000, 0, "t/locked/", "t/locked/file")
		g.plant(3000, 0o500, "t/locked/sub/", "t/locked/sub/file")
		if err := g.fs(uid).RemoveAll(t.Context(), "t", nil); err != nil {
			t.Error(err)
		}
		if len(g.nodes) != 1 {
			t.Errorf("as %d: %d left", uid, len(g.nodes))
		}
		for _, by := range g.parent {
			if by != uid {
				t.Errorf("as %d: somebody worked in the parent as %d", uid, by)
			}
		}
	}
}

// TestRemoveAllRefused: what even the owner may not do is an error, with the name of the directory.
func TestRemoveAllRefused(t *testing.T) {
	g := &grove{squash: true}
	g.plant(1000, 0o755, "t/")
	g.plant(0, 0o755, "t/roots/", "t/roots/file")
	g.plant(0, 0o777, "t/open/", "t/open/file")
	err := g.fs(1000).RemoveAll(t.Context(), "t", nil)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), `"roots"`) {
		t.Errorf("got %v", err)
	}
	if g.nodes["t/roots/file"] == nil {
		t.Error("removed all the same")
	}
	if g.nodes["t/open/file"] != nil {
		t.Error("what root lets everybody remove is still there")
	}
}

func TestRemoveAllStaysOnFileSystem(t *testing.T) {
	g := &grove{}
	g.plant(0, 0o755, "t/", "t/file", "t/mnt/", "t/mnt/data")
	g.nodes["t/mnt"].attr.FSID.Major = 7
	for range 2 {
		err := g.fs(0).RemoveAll(t.Context(), "t", nil)
		if !errors.Is(err, syscall.EXDEV) || !strings.Contains(err.Error(), `"mnt"`) {
			t.Errorf("got %v", err)
		}
	}
	if g.nodes["t/mnt/data"] == nil {
		t.Error("another file system was emptied")
	}
}

// TestRemoveAllAstray: a directory that is not the one that was found keeps what is in it.
func TestRemoveAllAstray(t *testing.T) {
	for _, astray := range []string{"t", "t/a"} {
		g := &grove{astray: astray}
		g.plant(0, 0o755, "t/", "t/a/", "t/a/file", "t/b/", "t/b/file")
		err := g.fs(0).RemoveAll(t.Context(), "t", nil)
		if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "another directory") || g.nodes["t/a/file"] == nil {
			t.Errorf("%s: %v", astray, err)
		}
		if (g.nodes["t/b"] == nil) != (astray == "t/a") {
			t.Errorf("%s: t/b is there: %v", astray, g.nodes["t/b"] != nil)
		}
	}
}

// TestRemoveAllEndless: somebody makes new files faster than they are removed.
func TestRemoveAllEndless(t *testing.T) {
	g := &grove{refill: "t/busy"}
	g.plant(0, 0o755, "t/", "t/busy/", "t/busy/file")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.fs(0).RemoveAll(ctx, "t", nil); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("got %v", err)
	}
}

func TestRemoveAllCanceled(t *testing.T) {
	g := &grove{pause: time.Hour}
	tall(g)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := g.fs(0).RemoveAll(ctx, "t", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestRemoveAllBusy: what cannot be removed now keeps nothing else, wherever it is, and what keeps it is told.
func TestRemoveAllBusy(t *testing.T) {
	for _, noAttr := range []bool{false, true} {
		g := &grove{stays: ".nfs", noAttr: noAttr}
		tall(g)
		want := []string{"", "keep", "t"}
		for _, dir := range []string{"t/", "t/2/", "t/2/sub/", "t/5/sub/"} {
			for i := range 7 {
				name := fmt.Sprint(dir, i, ".nfs")
				g.plant(0, 0o644, name)
				want = append(want, name)
			}
			want = append(want, strings.TrimSuffix(dir, "/"))
		}
		g.plant(0, 0o755, "t/.nfsdir/", "t/.nfsdir/file")
		want = append(want, "t/5", "t/.nfsdir")
		var files int64
		for range 2 {
			err := g.fs(0).RemoveAll(t.Context(), "t", func(n, _ int64) { files = max(files, n) })
			if !errors.Is(err, syscall.EBUSY) || !strings.Contains(err.Error(), "29 names stay") || !strings.Contains(err.Error(), ".nfs") {
				t.Errorf("got %v", err)
			}
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(g.nodes)); !slices.Equal(got, slices.Compact(want)) {
			t.Errorf("left are %q, want %q", got, want)
		}
		if files != 7*2*13+1+2*5 {
			t.Errorf("told of %d files", files)
		}
		g.stays = ""
		if err := g.fs(0).RemoveAll(t.Context(), "t", nil); err != nil || len(g.nodes) != 2 {
			t.Errorf("in the end: %v, %d left", err, len(g.nodes))
		}
	}
}

// TestRemoveAllVague: a server that loses its place in a listing is asked again, though not for ever.
func TestRemoveAllVague(t *testing.T) {
	for vague, want := range map[int]error{5: nil, 1000: syscall.EIO} {
		g := &grove{vague: vague, stays: ".nfs"}
		g.plant(0, 0o755, "t/", "t/a", "t/b", "t/c")
		if err := g.fs(0).RemoveAll(t.Context(), "t", nil); !errors.Is(err, want) || want == nil && len(g.nodes) != 1 {
			t.Errorf("after %d vague answers: %v", vague, err)
		}
	}
}

// TestRemoveAllCircles: a listing that never ends is not followed for ever past what stays.
func TestRemoveAllCircles(t *testing.T) {
	for _, g := range []*grove{{circles: true}, {hollow: true}} {
		g.stays = ".nfs"
		g.plant(0, 0o755, "t/", "t/a", "t/b")
		for i := range 9 {
			g.plant(0, 0o644, fmt.Sprintf("t/.nfs%d", i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := g.fs(0).RemoveAll(ctx, "t", nil); err == nil || ctx.Err() != nil || g.nodes["t/.nfs8"] == nil {
			t.Errorf("got %v", err)
		}
	}
}

// TestRemoveAllWhereNothingWorks: an error that every name would meet ends the walk.
func TestRemoveAllWhereNothingWorks(t *testing.T) {
	g := &grove{readOnly: true}
	tall(g)
	if err := g.fs(0).RemoveAll(t.Context(), "t", nil); !errors.Is(err, syscall.EROFS) || strings.Contains(err.Error(), "stay") {
		t.Errorf("got %v", err)
	}
}

// TestBackground: while somebody waits for a call, and for a moment after, few of the background's are made at a time.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b background
		b.open(16)
		var inside, most atomic.Int64
		work := func(calls int) time.Duration {
			most.Store(0)
			began := time.Now()
			var workers sync.WaitGroup
			for range 16 {
				workers.Go(func() {
					for range calls {
						if err := b.enter(t.Context()); err != nil {
							t.Error(err)
						}
						most.Store(max(most.Load(), inside.Add(1)))
						time.Sleep(time.Millisecond)
						inside.Add(-1)
						b.leave()
					}
				})
			}
			workers.Wait()
			return time.Since(began)
		}
		if took := work(10); took != 10*time.Millisecond || most.Load() != 16 {
			t.Errorf("alone: %d at once, %v", most.Load(), took)
		}
		end := b.wait()
		if took := work(1); most.Load() != politeCalls || took > 100*time.Millisecond {
			t.Errorf("while somebody waits: %d at once, %v", most.Load(), took)
		}
		end()
		if work(1); most.Load() != politeCalls {
			t.Errorf("just after: %d at once", most.Load())
		}
		time.Sleep(politeTime)
		if took := work(10); took != 10*time.Millisecond {
			t.Errorf("later: %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer b.wait()()
		for range politeCalls {
			if err := b.enter(ctx); err != nil {
				t.Error(err)
			}
		}
		time.AfterFunc(time.Second, cancel)
		if err := b.enter(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
