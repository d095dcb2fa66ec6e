package copytree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// run copies "from" to "to" as uid.
func (s *server) run(ctx context.Context, uid uint32, progress func(files, bytes int64)) error {
	cred := rpc.Credential{UID: uid, GID: uid + 1}
	to, err := s.create(&cred, s.root(), "to", fs.ModeDir, 0o700)
	if err != nil {
		return err
	}
	from := s.at("from")
	ways, err := Run(ctx, s, cred, Directory{from.handle, from.attr}, Directory{to.handle, to.attr}, Options{Progress: progress, Compare: s.compare, bounds: s.bounds})
	s.ways = ways
	return err
}

// shot describes a tree: attributes and content by path, and the first path of each inode.
func (s *server) shot(n *node, path string, inodes map[uint64]string, shot map[string]string) map[string]string {
	first, met := inodes[n.attr.FileID]
	if !met {
		first = path
		inodes[n.attr.FileID] = path
	}
	content := n.target + string(bytes.TrimRight(n.data, "\x00"))
	shot[path] = fmt.Sprint(n.attr.Type, n.attr.Mode, n.attr.UID, n.attr.GID, n.attr.Major, n.attr.Minor, n.attr.Mtime, n.attr.Atime,
		len(n.data), first, content, n.xattrs)
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		s.shot(s.nodes[n.children[name]], path+"/"+name, inodes, shot)
	}
	return shot
}

func (s *server) tree(path string) map[string]string {
	return s.shot(s.at(path), ".", map[uint64]string{}, map[string]string{})
}

func compare(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s: %s: %.200s\ncopy: %.200s", what, path, want[path], got[path])
		}
	}
	for path := range got {
		if want[path] == "" {
			t.Errorf("%s: %s is too much", what, path)
		}
	}
}

// forest plants one of everything.
func forest(s *server) {
	s.plant(0o755, 0, "from/")
	s.plant(0o4755, 7, "from/a:3", "from/b:0", "from/big:50000", "from/exact:8192", "from/link -> ../x", "from/link2 -> caf\xe9")
	s.plant(0o2770, 8, "from/d/", "from/d/sub/", "from/empty/")
	s.plant(0o1777, 9, "from/d/sub/sticky/", "from/d/sub/sticky/file:9000")
	for i := range 17 {
		s.plant(0o640, uint32(i%3), fmt.Sprintf("from/d/%d:%d", i, 100*i), fmt.Sprintf("from/d/sub/%d:%d", i, 1000*i))
	}
	for i, typ := range []fs.FileMode{fs.ModeNamedPipe, fs.ModeSocket, fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice} {
		n := s.add(s.at("from/d"), fmt.Sprint("special", i), typ, 0o600, 3)
		if typ&fs.ModeDevice != 0 {
			n.attr.Major, n.attr.Minor = 8, uint32(i)
		}
	}
	for _, of := range []string{"from/a", "from/big", "from/d/special0"} { // three names each
		n := s.at(of)
		n.attr.Nlink = 4 // and one elsewhere
		s.at("from/d").children["1"+of[5:6]] = n.handle
		s.at("from/d/sub").children["0"+of[5:6]] = n.handle
	}
	holes := s.add(s.at("from"), "holes", 0, 0o600, 4)
	s.write(holes, 20_000, []byte("data"))
	s.write(holes, 60_000, []byte("data"))
	holes.data = append(holes.data, make([]byte, 30_000)...)
	holes.attr.Size, holes.stable = uint64(len(holes.data)), holes.data
	for i, path := range []string{"from", "from/a", "from/b", "from/big", "from/d", "from/d/sub/sticky/file", "from/empty"} {
		s.at(path).xattrs = map[string]string{"name": fmt.Sprint(i), "other": ""}
	}
	for _, n := range s.nodes { // planting changed them
		n.attr.Mtime = n.attr.Atime
	}
}

func TestCopies(t *testing.T) {
	for name, change := range map[string]func(*server){
		"by reading":       func(*server) {},
		"by clone":         func(s *server) { s.clone = true },
		"by copy":          func(s *server) { s.copy = true },
		"seeking":          func(s *server) { s.seek = true },
		"copying segments": func(s *server) { s.seek, s.copy = true, true },
		"not described":    func(s *server) { s.noAttr = true },
		"one at a time":    func(s *server) { s.limits, s.pageSize = file.Limits{Chunk: 512, Files: 1, Calls: 1}, 1 },
		"all at once":      func(s *server) { s.limits, s.pageSize = file.Limits{Chunk: 1 << 20, Files: 50, Calls: 50}, 1000 },
		"comparing":        func(s *server) { s.compare = true },
		"comparing clones": func(s *server) { s.compare, s.clone = true, true },
		"without clones":   func(s *server) { s.limits.Clone = false },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			forest(s)
			change(s)
			want := s.tree("from")
			var files, length int64
			if err := s.run(t.Context(), 0, func(f, b int64) { files, length = f, b }); err != nil {
				t.Fatal(err)
			}
			got := s.tree("to")
			compare(t, name, got, want)
			if len(got) != len(want) || files != int64(len(want)) || length == 0 {
				t.Errorf("%d copied, %d told of %d bytes, want %d", len(got), files, length, len(want))
			}
			if w := s.ways; (w.Cloned > 0) != s.clone || (w.Copied > 0) != s.copy || (w.Carried > 0) == s.clone || w.Cloned+w.Copied+w.Carried > 2*length {
				t.Errorf("of %d bytes %+v", length, w)
			}
			if !maps.Equal(s.tree("from"), want) {
				t.Error("the source is not what it was")
			}
			if s.most > s.limits.Calls {
				t.Errorf("%d calls in flight, %d are allowed", s.most, s.limits.Calls)
			}
			if used := s.at("to/holes").attr.Used; used > 20_000 {
				t.Errorf("a file with 8 bytes of data takes %d", used)
			}
			for n := range s.nodes {
				if n := s.nodes[n]; string(n.data) != string(n.stable) {
					t.Errorf("inode %d is not on stable storage", n.attr.FileID)
				}
			}
		})
	}
}

// TestActsAsOwners: where root is squashed everything is made by its owner, in directories of others too.
func TestActsAsOwners(t *testing.T) {
	for _, uid := range []uint32{0, 1000} {
		s := newServer()
		s.squash = true
		s.plant(0o755, max(uid, 1000), "from/", "from/mine:3")
		s.plant(0o700, 2000, "from/a/", "from/a/file:10", "from/a/big:30000", "from/a/link -> x")
		s.plant(0o500, 3000, "from/a/locked/", "from/a/locked/file:0", "from/a/locked/sub/")
		s.plant(0o400, 2000, "from/a/locked/sub/other:5", "from/a/locked/other:9000")
		if uid == 0 {
			s.at("from").attr.UID, s.at("from").attr.GID, s.at("from").attr.Mode = nobody, 1, 0o755
		}
		want := s.tree("from")
		if err := s.run(t.Context(), uid, nil); err != nil {
			t.Fatalf("as %d: %v", uid, err)
		}
		compare(t, fmt.Sprint("as ", uid), s.tree("to"), want)
		if !maps.Equal(s.tree("from"), want) {
			t.Errorf("as %d: the source is not what it was", uid)
		}
	}
}

// TestOwnersCannotBeKept says so, with the owner and the reason.
func TestOwnersCannotBeKept(t *testing.T) {
	for _, path := range []string{"from/roots:3", "from/roots/", "from/roots -> x"} {
		s := newServer()
		s.squash = true
		s.plant(0o755, 1000, "from/")
		s.plant(0o755, 0, path)
		err := s.run(t.Context(), 1000, nil)
		if err == nil || !strings.Contains(err.Error(), "squash") || !strings.Contains(err.Error(), "owner") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestWritesAgain: a server that restarts before COMMIT has lost what it was given.
func TestWritesAgain(t *testing.T) {
	for _, op := range []string{"OPEN", "WRITE", "COMMIT", "COPY"} {
		s := newServer()
		forest(s)
		s.copy = op == "COPY"
		restarts := 0
		s.before = func(did string, _ file.Handle) error {
			if did == op && s.ops[op] > 3 && restarts < 3 {
				restarts++
				s.restart()
			}
			return nil
		}
		want := s.tree("from")
		if err := s.run(t.Context(), 0, nil); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		compare(t, op, s.tree("to"), want)
		if restarts != 3 {
			t.Errorf("%s: %d restarts", op, restarts)
		}
	}
}

// TestGivesUpOnRestarts: content is written again as often as it takes, up to a bound.
func TestGivesUpOnRestarts(t *testing.T) {
	for losses, kept := range map[int]bool{rewrites: true, rewrites + 1: false} {
		s := newServer()
		s.plant(0o644, 0, "from/", "from/file:100")
		s.at("from").attr.Mode = 0o755
		s.before = func(op string, _ file.Handle) error {
			if op == "COMMIT" && s.ops[op] <= losses {
				s.restart()
			}
			return nil
		}
		if err := s.run(t.Context(), 0, nil); (err == nil) != kept || err != nil && !strings.Contains(err.Error(), `"file"`) {
			t.Errorf("%d losses: %v", losses, err)
		}
	}
}

// TestVanishes: what others remove while it is copied is left out, and nothing of it stays.
func TestVanishes(t *testing.T) {
	for _, victim := range []string{"small", "big", "link", "dir", "twin", "dir/inside"} {
		for _, op := range []string{"READ", "READLINK", "READDIR", "CLONE", "COPY", "LOOKUP"} {
			s := newServer()
			s.copy, s.clone, s.noAttr = op == "COPY", op == "CLONE", op == "LOOKUP"
			s.plant(0o755, 0, "from/", "from/small:10", "from/big:50000", "from/link -> x", "from/dir/", "from/dir/inside:10", "from/kept:5", "from/twin:7")
			s.at("from").children["twin2"] = s.at("from/twin").handle
			s.at("from/twin").attr.Nlink = 2
			gone := s.at("from/" + victim).handle
			parent := s.at("from")
			if victim == "dir/inside" {
				parent = s.at("from/dir")
			}
			s.before = func(did string, _ file.Handle) error {
				if did == op && s.ops[op] > 1 {
					delete(s.nodes, gone)
					maps.DeleteFunc(parent.children, func(_ string, h file.Handle) bool { return h == gone })
				}
				return nil
			}
			if err := s.run(t.Context(), 0, nil); err != nil {
				t.Errorf("%s at %s: %v", victim, op, err)
				continue
			}
			s.before = nil
			want := s.tree("from")
			for path, got := range s.tree("to") {
				if want[path] != "" && path != "." && path != "./dir" && got != want[path] {
					t.Errorf("%s at %s: %s is %s, want %s", victim, op, path, got, want[path])
				}
			}
			if s.at("to/kept") == nil {
				t.Errorf("%s at %s: the rest is not there", victim, op)
			}
		}
	}
}

// TestReplaced: what others put in the place of something while it is copied is copied, unless there is no end to it.
func TestReplaced(t *testing.T) {
	for _, tt := range []struct{ victim, op, by string }{
		{"small", "READ", ":20"}, {"big", "READ", ":60000"}, {"big", "CLONE", ":60000"}, {"big", "COPY", ":60000"},
		{"link", "READLINK", " -> y"}, {"small", "READ", "/"}, {"twin", "READ", ":8"}, {"twin", "CLONE", ":8"},
	} {
		for _, times := range []int{1, 3, 1 << 30} {
			s := newServer()
			s.copy, s.clone = tt.op == "COPY", tt.op == "CLONE"
			s.plant(0o755, 0, "from/", "from/small:10", "from/big:50000", "from/link -> x", "from/twin:7")
			s.at("from").children["twin2"] = s.at("from/twin").handle
			s.at("from/twin").attr.Nlink = 2
			replaced := 0
			s.before = func(op string, _ file.Handle) error {
				if op == tt.op && replaced < times {
					replaced++
					s.remove("from/" + tt.victim)
					s.plant(0o755, 0, "from/"+tt.victim+tt.by)
					s.at("from/" + tt.victim).attr.Mtime = began
				}
				return nil
			}
			err := s.run(t.Context(), 0, nil)
			if endless := times == 1<<30; err != nil && !(endless && errors.Is(err, syscall.ESTALE)) {
				t.Errorf("%v, %d times: %v", tt, times, err)
			}
			for name := range s.at("from").children {
				if err == nil && s.at("to/"+name) == nil && s.at("from/"+name) != nil {
					t.Errorf("%v, %d times: there is no copy of %q", tt, times, name)
				}
			}
		}
	}
}

// TestTopVanishes: when the whole source is gone there is no copy to be had.
func TestTopVanishes(t *testing.T) { synctest.Test(t, testTopVanishes) } // it waits

func testTopVanishes(t *testing.T) {
	s := newServer()
	forest(s)
	s.before = func(op string, h file.Handle) error {
		if op == "READDIR" && h == s.at("from").handle {
			return failure("READDIR", status.Stale)
		}
		return nil
	}
	if err := s.run(t.Context(), 0, nil); !errors.Is(err, syscall.ESTALE) {
		t.Errorf("got %v", err)
	}
}

// TestLostTrack: a directory that the server says is gone, and whose name is there, is copied whole or not at all.
func TestLostTrack(t *testing.T) { synctest.Test(t, testLostTrack) } // it waits

func testLostTrack(t *testing.T) {
	for _, code := range []status.Code{status.Stale, status.FHExpired, status.BadHandle, status.NoEnt} {
		for _, op := range []string{"READDIR", "LOOKUP", "LISTXATTRS"} {
			for _, times := range []int{1, 3, 1 << 30} {
				s := newServer()
				s.noAttr = op == "LOOKUP"
				s.plant(0o755, 0, "from/", "from/dir/", "from/dir/sub/", "from/dir/sub/inside:3")
				victim, failed := s.at("from/dir/sub").handle, 0
				s.before = func(did string, h file.Handle) error {
					if did == op && h == victim && failed < times && (op != "LOOKUP" || code != status.NoEnt) {
						failed++
						return failure(op, code)
					}
					return nil
				}
				err := s.run(t.Context(), 0, nil)
				if endless := failed == times || times == 1<<30 && failed > 0; err != nil && !(endless && times > mostLooks && errors.Is(err, syscall.ESTALE)) {
					t.Errorf("%v at %s, %d times: %v", code, op, times, err)
				}
				if err == nil {
					compare(t, fmt.Sprint(code, " at ", op), s.tree("to"), s.tree("from"))
				}
			}
		}
	}
}

// TestHandlesAreForgotten: a server may forget the handles of a directory and of those above it, and give them new ones, while it is
// listed, and while extended attributes of a file in it are read.
func TestHandlesAreForgotten(t *testing.T) {
	for op, at := range map[string]string{"READDIR": "from/dir/sub", "LISTXATTRS": "from/dir/sub/inside"} {
		s := newServer()
		s.plant(0o755, 0, "from/", "from/dir/", "from/dir/sub/", "from/dir/sub/inside:3")
		s.at("from/dir/sub/inside").xattrs = map[string]string{"user.a": "b"}
		forgotten := false
		s.before = func(did string, h file.Handle) error {
			if did != op || forgotten || h != s.at(at).handle {
				return nil
			}
			forgotten = true
			for _, path := range []string{"from/dir/sub", "from/dir"} {
				n, above := s.at(path), s.at(path[:strings.LastIndexByte(path, '/')])
				delete(s.nodes, n.handle)
				n.handle += "'"
				s.nodes[n.handle], above.children[path[strings.LastIndexByte(path, '/')+1:]] = n, n.handle
			}
			return failure("PUTFH", status.Stale)
		}
		if err := s.run(t.Context(), 0, nil); err != nil || !forgotten {
			t.Fatal(op, err)
		}
		compare(t, "the copy, handles forgotten at "+op, s.tree("to"), s.tree("from"))
	}
}

// TestTwinChanges: a file whose names are listed at different times, and that changes in between, is copied as it was met first. A
// file that has got its inode number is another one.
func TestTwinChanges(t *testing.T) {
	for what, change := range map[string]func(s *server, twin *node){
		"size": func(s *server, twin *node) { s.write(twin, 7, []byte("more")) },
		"time": func(_ *server, twin *node) { twin.attr.Mtime = twin.attr.Mtime.Add(time.Second) },
		"mode": func(_ *server, twin *node) { twin.attr.Mode = 0o600 },
		"another": func(s *server, twin *node) {
			s.remove("from/twin")
			s.plant(0o755, 0, "from/dir/twin:9")
			n := s.at("from/dir/twin")
			n.attr.FileID, n.attr.Nlink = twin.attr.FileID, 2
		},
	} {
		s := newServer()
		s.plant(0o755, 0, "from/", "from/twin:7", "from/dir/")
		twin, dir := s.at("from/twin"), s.at("from/dir")
		dir.children["twin"], twin.attr.Nlink = twin.handle, 2
		changed := false
		s.before = func(op string, h file.Handle) error {
			if op == "READDIR" && h == dir.handle && !changed {
				changed = true
				change(s, twin)
			}
			return nil
		}
		if err := s.run(t.Context(), 0, nil); err != nil || !changed {
			t.Errorf("%s: %v", what, err)
			continue
		}
		first, second := s.at("to/twin"), s.at("to/dir/twin")
		if linked := first == second; linked != (what != "another") {
			t.Errorf("%s: the names are linked: %v", what, linked)
		}
		if want := map[bool]int{true: 9, false: 7}[what == "another"]; len(second.data) != want {
			t.Errorf("%s: the second name has %d bytes", what, len(second.data))
		}
	}
}

// TestCopyEndsEarly: a server that says of its COPY that the file ends is not believed.
func TestCopyEndsEarly(t *testing.T) {
	s := newServer()
	s.copy, s.zero, s.limits.Clone = true, true, false
	s.plant(0o755, 0, "from/", "from/big:50000")
	if err := s.run(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	if s.ways.Copied == 0 || s.ways.Carried == 0 {
		t.Errorf("the ways were %+v", s.ways)
	}
	compare(t, "the copy", s.tree("to"), s.tree("from"))
}

// TestOneFileMakesProgress: of a large file is told before all of it is copied, and never of more than there is.
func TestOneFileMakesProgress(t *testing.T) {
	const size = 400_000
	for _, way := range []string{"READ", "COPY"} {
		s := newServer()
		s.copy, s.limits.Clone = way == "COPY", false
		s.plant(0o755, 0, "from/", "from/big:"+fmt.Sprint(size))
		var told []int64
		if err := s.run(t.Context(), 0, func(_, bytes int64) { told = append(told, bytes) }); err != nil {
			t.Fatal(err)
		}
		if first, last := told[0], told[len(told)-1]; first <= 0 || first >= size || last != size {
			t.Errorf("%s: progress was %d first and %d last", way, first, last)
		}
	}
}

// TestShrinks: of a file that becomes shorter the rest is copied.
func TestShrinks(t *testing.T) {
	for _, way := range []string{"READ", "COPY"} {
		s := newServer()
		s.copy = way == "COPY"
		s.plant(0o755, 0, "from/", "from/big:50000", "from/small:3000")
		s.before = func(op string, _ file.Handle) error {
			if op == "OPEN" || op == "READ" {
				for path, length := range map[string]int{"from/big": 20_001, "from/small": 7} {
					n := s.at(path)
					n.data = n.data[:length]
				}
			}
			return nil
		}
		if err := s.run(t.Context(), 0, nil); err != nil {
			t.Error(err)
		}
		for path, length := range map[string]int{"to/big": 20_001, "to/small": 7} {
			if n := s.at(path); n == nil || len(n.data) != length {
				t.Errorf("%s %s: %+v", way, path, n)
			}
		}
	}
}

// TestWrongSize: where a size is wrong, however large, nothing is asked for much beyond the end.
func TestWrongSize(t *testing.T) {
	for _, way := range []string{"READ", "COPY"} {
		s := newServer()
		s.copy = way == "COPY"
		s.plant(0o755, 0, "from/", "from/big:20001")
		s.at("from/big").attr.Size = 1 << 60
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.run(ctx, 0, nil); err != nil {
			t.Error(err)
		}
		if n := s.at("to/big"); n == nil || len(n.data) != 20_001 || s.ops["READ"]+s.ops["COPY"] > 20 {
			t.Errorf("%s: %+v, %v", way, n, s.ops)
		}
	}
}

// TestCompares: other content is found where it is asked for, unless the source is not what it was.
func TestCompares(t *testing.T) {
	for _, tt := range []struct {
		name           string
		compare, clone bool
		change         func(s *server)
		found          bool
	}{
		{"not asked for", false, false, nil, false},
		{"asked for", true, false, nil, true},
		{"of clones", true, true, nil, true},
		{"changed meanwhile", true, false, func(s *server) { s.at("from/small").attr.Ctime = time.Now() }, false},
		{"removed meanwhile", true, false, func(s *server) { s.remove("from/small") }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.compare, s.clone = tt.compare, tt.clone
			s.plant(0o755, 0, "from/", "from/small:100", "from/big:50000")
			spoilt := false
			s.before = func(string, file.Handle) error {
				n := s.at("to/small")
				if n == nil || len(n.data) != 100 || spoilt {
					return nil
				}
				spoilt = true
				n.data = bytes.Clone(n.data)
				n.data[99]++
				n.stable = n.data
				if tt.change != nil {
					tt.change(s)
				}
				return nil
			}
			err := s.run(t.Context(), 0, nil)
			if found := errors.Is(err, errDiffers); found != tt.found || !spoilt || err != nil && !found {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestNotCloned: what cannot be cloned after all is read and written, and what is gone then is left out.
func TestNotCloned(t *testing.T) {
	for name, refuse := range map[string]func(s *server) error{
		"not supported":  func(*server) error { return failure("CLONE", status.NotSupp) },
		"not these":      func(*server) error { return failure("CLONE", status.XDev) },
		"not us":         func(*server) error { return failure("CLONE", status.Access) },
		"gone meanwhile": func(s *server) error { s.remove("from/b"); return failure("PUTFH", status.Stale) },
	} {
		s := newServer()
		s.clone = true
		s.plant(0o755, 0, "from/", "from/a:100", "from/b:200", "from/c:300")
		s.at("from/b").attr.Mtime = began
		want := s.tree("from")
		b, failed := s.at("from/b").handle, false
		s.sharing = func(from file.Handle) error {
			if from != b || failed {
				return nil
			}
			failed = true
			return refuse(s)
		}
		if err := s.run(t.Context(), 0, nil); err != nil || !failed {
			t.Errorf("%s: %v, refused: %v", name, err, failed)
		}
		if name == "gone meanwhile" {
			delete(want, "./b")
		}
		compare(t, name, s.tree("to"), want)
	}
}

// TestTellsWhatIsLost: a server that answers well and does something else is found out.
func TestTellsWhatIsLost(t *testing.T) {
	for name, spoil := range map[string]func(op string, n *node){
		"owners": func(op string, n *node) { n.attr.UID = 77 },
		"modes":  func(op string, n *node) { n.attr.Mode = 0o123 },
		"times":  func(op string, n *node) { n.attr.Mtime = began },
		"bytes":  func(op string, n *node) { n.attr.Size++ },
	} {
		for _, op := range []string{"COMMIT", "SETATTR"} {
			if name == "bytes" && op == "SETATTR" { // of a directory they mean nothing
				continue
			}
			s := newServer()
			s.plant(0o750, 4, "from/", "from/dir/", "from/dir/file:100")
			s.after = func(did string, n *node) error {
				if did == op {
					spoil(op, n)
				}
				return nil
			}
			if err := s.run(t.Context(), 0, nil); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s at %s: %v", name, op, err)
			}
		}
	}
}

func TestStaysOnFileSystem(t *testing.T) {
	s := newServer()
	s.plant(0o755, 0, "from/", "from/mnt/", "from/mnt/data:10")
	s.at("from/mnt").attr.FSID.Major = 7
	if err := s.run(t.Context(), 0, nil); !errors.Is(err, syscall.EXDEV) || !strings.Contains(err.Error(), `"mnt"`) {
		t.Errorf("got %v", err)
	}
	if s.at("to/mnt") != nil {
		t.Error("copied all the same")
	}
}

// TestAstray: what is listed is what was found before.
func TestAstray(t *testing.T) {
	for _, astray := range []string{"from", "from/dir"} {
		s := newServer()
		s.plant(0o755, 0, "from/", "from/dir/", "from/dir/file:10")
		s.astray = s.at(astray).handle
		if err := s.run(t.Context(), 0, nil); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "another directory") || s.at("to/dir/file") != nil {
			t.Errorf("%s: %v", astray, err)
		}
	}
}

// TestCircles: a listing that never ends is an error, of the source and of the copy.
func TestCircles(t *testing.T) {
	for _, path := range []string{"from", "to", "from/d", "to/d"} {
		s := newServer()
		s.plant(0o755, 0, "from/", "from/a:1", "from/d/", "from/d/b:1")
		s.before = func(string, file.Handle) error {
			if n := s.at(path); n != nil {
				s.circle = n.handle
			}
			return nil
		}
		if err := s.run(t.Context(), 0, nil); !errors.Is(err, status.ErrCircle) || s.ops["READDIR"] > 200 {
			t.Errorf("%s: %v after %d listings", path, err, s.ops["READDIR"])
		}
	}
}

// TestErrorsEndIt: whatever goes wrong is the error of the whole, not what others say whom it stopped.
func TestErrorsEndIt(t *testing.T) {
	for _, op := range []string{"OPEN", "WRITE", "CREATE", "LINK", "COMMIT", "SETATTR", "READ", "READLINK", "READDIR", "COPY", "SEEK", "CLONE"} {
		s := newServer()
		forest(s)
		s.copy, s.clone, s.seek = op == "COPY", op == "CLONE", true
		s.before = func(did string, _ file.Handle) error {
			if did == op && s.ops[op] > 1 {
				return failure(op, 28)
			}
			return nil
		}
		if op == "SEEK" {
			s.before = func(did string, _ file.Handle) error {
				if did == op {
					return failure(op, 28)
				}
				return nil
			}
		}
		if err := s.run(t.Context(), 0, nil); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// TestDoubles: a listing that changes meanwhile has names twice; a server that takes two names for one is an error.
func TestDoubles(t *testing.T) {
	s := newServer()
	forest(s)
	lost := 0
	s.before = func(op string, h file.Handle) error {
		if op == "READDIR" && s.ops[op]%5 == 4 && lost < 3 {
			lost++
			return failure("READDIR", status.BadCookie)
		}
		return nil
	}
	want := s.tree("from")
	if err := s.run(t.Context(), 0, nil); err != nil || lost != 3 {
		t.Errorf("%v after %d lost places", err, lost)
	}
	compare(t, "with doubles", s.tree("to"), want)

	s = newServer()
	s.plant(0o755, 0, "from/", "from/A:1", "from/a:2")
	s.after = func(op string, n *node) error {
		if op == "OPEN" && n.children["A"] != "" {
			n.children["a"] = n.children["A"]
			defer delete(n.children, "A")
			return nil
		}
		return nil
	}
	if err := s.run(t.Context(), 0, nil); !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.EIO) {
		t.Errorf("two names that are one: %v", err)
	}
}

// TestOwnDoing: "exists" after a lost reply is our own doing.
func TestOwnDoing(t *testing.T) {
	s := newServer()
	forest(s)
	s.after = func(op string, _ *node) error {
		if (op == "CREATE" || op == "LINK") && s.ops[op]%2 == 0 {
			return &status.Error{Version: 4, Op: op, Code: status.Exist, Resent: true}
		}
		return nil
	}
	want := s.tree("from")
	if err := s.run(t.Context(), 0, nil); err != nil {
		t.Error(err)
	}
	compare(t, "with doubles", s.tree("to"), want)
}

func TestCanceled(t *testing.T) {
	for _, after := range []int{1, 5, 20, 60} {
		s := newServer()
		forest(s)
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		s.before = func(string, file.Handle) error {
			if calls++; calls == after {
				cancel()
			}
			return nil
		}
		if err := s.run(ctx, 0, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("after %d calls: %v", after, err)
		}
		if s.inFlight != 0 {
			t.Errorf("%d calls still under way", s.inFlight)
		}
	}
}

// TestManyTwins has many goroutines wait for each other's files.
func TestManyTwins(t *testing.T) {
	s := newServer()
	s.plant(0o755, 0, "from/")
	for i := range 20 {
		s.plant(0o755, 0, fmt.Sprintf("from/%d/", i))
	}
	for i := range 60 {
		s.plant(0o644, 0, fmt.Sprintf("from/%d/file%d:%d", i%20, i, 300*i))
		n := s.at(fmt.Sprintf("from/%d/file%d", i%20, i))
		for j := range 19 {
			s.at(fmt.Sprintf("from/%d", (i+j+1)%20)).children[fmt.Sprintf("name%d-%d", i, j)] = n.handle
		}
		n.attr.Nlink = 20
	}
	want := s.tree("from")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.run(ctx, 0, nil); err != nil {
		t.Fatal(err)
	}
	compare(t, "twins", s.tree("to"), want)
}

func TestNonzero(t *testing.T) {
	data := make([]byte, 5*block)
	data[0], data[block+7], data[4*block] = 1, 1, 1
	for _, tt := range []struct {
		offset uint64
		data   []byte
		want   string
	}{
		{0, data, "0+8192 16384+4096"},
		{0, data[:2*block], "0+8192"},
		{100, data[100:], "4096+4096 16384+4096"},
		{4100, data[4100 : 4*block+1], "4100+4092 16384+1"},
		{2 * block, data[2*block : 3*block], ""},
		{0, nil, ""},
	} {
		var got []string
		for _, p := range nonzero(tt.offset, tt.data) {
			got = append(got, fmt.Sprintf("%d+%d", p.Offset, len(p.Data)))
			if !bytes.Equal(p.Data, data[p.Offset:int(p.Offset)+len(p.Data)]) {
				t.Errorf("%d: other data", p.Offset)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%d, %d bytes: %q, want %q", tt.offset, len(tt.data), got, tt.want)
		}
	}
}
