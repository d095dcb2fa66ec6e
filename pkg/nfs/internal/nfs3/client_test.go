package nfs3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// one is one operation, and what there is to see of it afterwards.
type one struct {
	name string
	proc procedure // the call that changes something
	do   func(ctx context.Context, c *Client) error
	done func(f *fake) bool
}

// ones are all that change something; "dir" and "dir/file" are there before.
var ones = []one{
	{"Mkdir", procMkdir,
		func(ctx context.Context, c *Client) error {
			return c.Mkdir(ctx, root, []string{"dir", "new"}, wanted())
		},
		func(f *fake) bool { n := f.at("dir", "new"); return n != nil && n.attr.IsDir() && n.attr.Mode == 0o750 }},
	{"Symlink", procSymlink,
		func(ctx context.Context, c *Client) error {
			return c.Symlink(ctx, root, "target", []string{"dir", "new"})
		},
		func(f *fake) bool { n := f.at("dir", "new"); return n != nil && n.target == "target" }},
	{"CreateFile", procCreate,
		func(ctx context.Context, c *Client) error {
			return c.CreateFile(ctx, root, []string{"dir", "new"}, bytes.Repeat([]byte("x"), 70_000), 0o640)
		},
		func(f *fake) bool {
			n := f.at("dir", "new")
			return n != nil && len(n.data) == 70_000 && n.attr.Mode == 0o640
		}},
	{"MakeFiles", procCreate,
		func(ctx context.Context, c *Client) error {
			dir, _, err := c.Lookup(ctx, root, []string{"dir"})
			if err == nil {
				_, err = c.MakeFiles(ctx, root, dir, []*file.Copy{{Name: "new", Data: []byte("content")}})
			}
			return err
		},
		func(f *fake) bool { n := f.at("dir", "new"); return n != nil && string(n.data) == "content" }},
	{"Setattr", procSetattr,
		func(ctx context.Context, c *Client) error {
			_, err := c.Setattr(ctx, root, []string{"dir", "file"}, wanted())
			return err
		},
		func(f *fake) bool { return f.at("dir", "file").attr.Mode == 0o750 }},
	{"Rename", procRename,
		func(ctx context.Context, c *Client) error {
			return c.Rename(ctx, root, []string{"dir", "file"}, []string{"moved"})
		},
		func(f *fake) bool { return f.at("dir", "file") == nil && f.at("moved") != nil }},
	{"Remove", procRemove,
		func(ctx context.Context, c *Client) error { return c.Remove(ctx, root, []string{"dir", "file"}) },
		func(f *fake) bool { return f.at("dir", "file") == nil }},
}

// planted is a fake with "dir" and "dir/file".
func planted(t *testing.T) (*fake, *Client) {
	t.Helper()
	f, c := startFake(t)
	if err := errors.Join(c.Mkdir(t.Context(), root, []string{"dir"}, wanted()), c.CreateFile(t.Context(), root, []string{"dir", "file"}, []byte("1234"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return f, c
}

// TestPatience: a server that asks for patience is asked again, with pauses, until the caller's time is over.
func TestPatience(t *testing.T) {
	for _, o := range ones {
		f, c := planted(t)
		before := f.called(o.proc)
		f.times(3, o.proc, fault{code: status.Delay})
		began := time.Now()
		if err := o.do(t.Context(), c); err != nil || !o.done(f) {
			t.Errorf("%s: %v", o.name, err)
		}
		if took, calls := time.Since(began), f.called(o.proc)-before; took < 300*time.Millisecond || calls < 4 {
			t.Errorf("%s: %d calls in %v", o.name, calls, took)
		}
		f.times(1<<30, o.proc, fault{code: status.Delay})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := o.do(ctx, c)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) && o.proc != procRemove || f.called(o.proc)-before > 20 {
			t.Errorf("%s: %v after %d calls", o.name, err, f.called(o.proc)-before)
		}
	}
}

// TestLostReplies: what was done and not heard of is sent again, and what the repetition finds is marked as maybe our own
// doing, for package nfs to settle. A file is known by its verifier.
func TestLostReplies(t *testing.T) {
	for _, o := range ones {
		f, c := planted(t)
		f.once(o.proc, fault{lose: true})
		err := o.do(t.Context(), c)
		if !o.done(f) && o.name != "Mkdir" {
			t.Errorf("%s: not done, %v", o.name, err)
		}
		if err != nil && (!status.Is(err, status.Exist, status.NoEnt) || !status.MaybeOurs(err, "MKDIR", "SYMLINK", "RENAME", "REMOVE")) {
			t.Errorf("%s: %v", o.name, err)
		}
		if err != nil && (o.proc == procCreate || o.proc == procSetattr) {
			t.Errorf("%s does not know its own doing: %v", o.name, err)
		}
	}
}

// TestRefusedByOthers: a name that somebody else made is not taken for ours.
func TestRefusedByOthers(t *testing.T) {
	for _, o := range ones[:3] {
		_, c := planted(t)
		if err := c.Symlink(t.Context(), root, "somebody's", []string{"dir", "new"}); err != nil {
			t.Fatal(err)
		}
		if err := o.do(t.Context(), c); !status.Is(err, status.Exist) || status.MaybeOurs(err, "MKDIR", "SYMLINK", "CREATE") {
			t.Errorf("%s: %v", o.name, err)
		}
		if target, err := c.Readlink(t.Context(), root, []string{"dir", "new"}); err != nil || target != "somebody's" {
			t.Errorf("%s: %q, %v", o.name, target, err)
		}
	}
}

// TestBareReplies: a server may leave out handles and attributes; they are asked for.
func TestBareReplies(t *testing.T) {
	for _, o := range ones {
		f, c := planted(t)
		f.bare = true
		if err := o.do(t.Context(), c); err != nil || !o.done(f) {
			t.Errorf("%s: %v", o.name, err)
		}
		page, err := c.List(t.Context(), root, []string{"dir"}, file.Cookie{})
		if err != nil || !page.EOF {
			t.Errorf("%+v, %v", page, err)
		}
		for _, e := range page.Entries {
			if !e.NoAttr || e.Handle != "" {
				t.Errorf("%+v", e)
			}
		}
	}
}

// TestDamagedReplies: a reply that is cut off anywhere, or has more than it should where that matters, is an error or makes no
// difference; it never passes for a success that is none.
func TestDamagedReplies(t *testing.T) {
	for _, o := range ones {
		for cut := 0; cut < 64; cut += 4 {
			f, c := planted(t)
			f.once(o.proc, fault{spoil: func(reply []byte) []byte { return reply[:min(cut, len(reply))] }})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if err := o.do(ctx, c); err == nil && !o.done(f) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s cut off at %d: %v", o.name, cut, err)
			}
			cancel()
		}
	}
}

// TestHostileHandles: no empty handle is taken, and none that is too long.
func TestHostileHandles(t *testing.T) {
	for _, length := range []int{0, maxHandle + 1} {
		f, c := planted(t)
		var e xdr.Encoder
		e.Uint32(0)
		e.Opaque(make([]byte, length))
		e.Uint32(0)
		e.Uint32(0)
		f.times(1<<30, procLookup, fault{spoil: func([]byte) []byte { return e.B }})
		c.forget(nil)
		if h, _, err := c.Lookup(t.Context(), root, []string{"dir"}); !errors.Is(err, xdr.ErrMalformed) {
			t.Errorf("%d bytes: %q, %v", length, h, err)
		}
		f.mount = []uint32{0, 0, 0}
		if err := c.remount(t.Context()); !errors.Is(err, xdr.ErrMalformed) {
			t.Errorf("an empty root: %v", err)
		}
	}
}

// TestExportLost: an export that is withdrawn, or has another directory in its place, is not taken for one where a name is
// missing. When it is back, also under another handle, everything goes on.
func TestExportLost(t *testing.T) {
	for name, lose := range map[string]func(f *fake){
		"withdrawn": func(f *fake) { f.mount = []uint32{13} },
		"missing":   func(f *fake) { f.mount = []uint32{2} },
		"replaced": func(f *fake) {
			f.mount = []uint32{0, 4, 0x41414141, 1, authSys}
			f.nodes["AAAA"] = &node{attr: file.Attr{Type: fs.ModeDir, FileID: 2}, children: map[string]string{}}
		},
	} {
		f, c := planted(t)
		c.was = &file.Attr{FileID: 1}
		f.lock.Lock()
		was := f.nodes[rootID]
		delete(f.nodes, rootID)
		lose(f)
		f.lock.Unlock()
		for _, path := range [][]string{{"dir"}, {"dir", "file"}} {
			c.forget(nil)
			if err := c.Remove(t.Context(), root, path); !errors.Is(err, status.ErrNoExport) || status.Of(err) != status.OK {
				t.Errorf("%s: removing %v: %v", name, path, err)
			}
		}
		f.lock.Lock()
		f.nodes["BBBB"], f.mount = was, []uint32{0, 4, 0x42424242, 1, authSys}
		f.lock.Unlock()
		c.forget(nil)
		if err := c.Remove(t.Context(), root, []string{"dir", "file"}); err != nil || was.children["dir"] == "" {
			t.Errorf("%s, when it is back: %v", name, err)
		}
	}
}

// TestStaleDirectory: a handle that is remembered for a directory that others replaced is looked up again.
func TestStaleDirectory(t *testing.T) {
	f, c := planted(t)
	f.lock.Lock()
	dir := f.nodes[rootID].children["dir"]
	f.nodes["other"], f.nodes[rootID].children["dir"] = &node{attr: f.nodes[dir].attr, children: map[string]string{}}, "other"
	delete(f.nodes, dir)
	f.lock.Unlock()
	if err := c.Mkdir(t.Context(), root, []string{"dir", "new"}, wanted()); err != nil || f.at("dir", "new") == nil {
		t.Errorf("got %v", err)
	}
}

// TestLostContent: content that a server loses by a restart before COMMIT is told, to be written again.
func TestLostContent(t *testing.T) {
	f, c := planted(t)
	dir, _, err := c.Lookup(t.Context(), root, []string{"dir"})
	if err != nil {
		t.Fatal(err)
	}
	var files []*file.Copy
	for i := range 3 {
		files = append(files, &file.Copy{Name: fmt.Sprint(i), Data: []byte("content")[:7*i/2]})
	}
	if done, err := c.MakeFiles(t.Context(), root, dir, files); err != nil || done != 3 {
		t.Fatalf("%d made, %v", done, err)
	}
	f.lock.Lock()
	f.verifier++
	f.lock.Unlock()
	done, err := c.FinishFiles(t.Context(), root, files, func(*file.Copy) []file.Set { return []file.Set{wanted()} })
	if err != nil || done != 3 || files[0].Lost || !files[1].Lost || !files[2].Lost || f.at("dir", "1").attr.Mode != 0o750 {
		t.Errorf("%d finished, %v, lost %v %v %v", done, err, files[0].Lost, files[1].Lost, files[2].Lost)
	}
}

// TestUndone: what could not be made as wanted is taken back.
func TestUndone(t *testing.T) {
	for _, o := range []one{ones[0], ones[2]} {
		f, c := planted(t)
		f.times(1<<30, procSetattr, fault{code: status.NoSpace})
		want := wanted()
		want.UID = 1000
		err := o.do(t.Context(), c)
		if o.proc == procMkdir {
			err = c.Mkdir(t.Context(), root, []string{"dir", "owned"}, want)
		}
		if !status.Is(err, status.NoSpace) || f.at("dir", "owned") != nil || o.proc == procCreate && f.at("dir", "new") != nil {
			t.Errorf("%s: %v", o.name, err)
		}
	}
}
