package nfs3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	oracle "github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// sent has an implementation generated from the RFC read the arguments of the last call of a procedure, all of them.
func (f *fake) sent(t *testing.T, p procedure, into io.ReaderFrom) {
	t.Helper()
	f.lock.Lock()
	defer f.lock.Unlock()
	r := bytes.NewReader(f.args[p])
	if _, err := into.ReadFrom(r); err != nil || r.Len() > 0 {
		t.Errorf("%s: %v, %d bytes left", procedureNames[p], err, r.Len())
	}
}

// TestArgumentsOracle has the oracle read what is sent for each kind of thing.
func TestArgumentsOracle(t *testing.T) {
	f, c := planted(t)
	dir, _, err := c.Lookup(t.Context(), root, []string{"dir"})
	if err != nil {
		t.Fatal(err)
	}
	h, _, err := c.LookupIn(t.Context(), root, dir, "file")
	if err != nil {
		t.Fatal(err)
	}
	if data, eof, err := c.ReadAt(t.Context(), root, h, 1, 2); err != nil || string(data) != "23" || eof {
		t.Errorf("%q, %v, %v", data, eof, err)
	}
	var read oracle.Read3args
	if f.sent(t, procRead, &read); read.Offset != 1 || read.Count != 2 || string(read.File.Data) != string(h) {
		t.Errorf("READ %+v", read)
	}
	if err := c.LinkIn(t.Context(), root, h, dir, "second"); err != nil || f.at("dir", "second") != f.at("dir", "file") {
		t.Error(err)
	}
	var link oracle.Link3args
	if f.sent(t, procLink, &link); string(link.File.Data) != string(h) || string(link.Link.Dir.Data) != string(dir) || link.Link.Name != "second" {
		t.Errorf("LINK %+v", link)
	}
	part := &file.Copy{To: h}
	if err := c.WriteAt(t.Context(), root, part, []file.Segment{{Offset: 4, Data: []byte("5678")}}); err != nil || !part.Written {
		t.Error(err)
	}
	var write oracle.Write3args
	if f.sent(t, procWrite, &write); write.Offset != 4 || write.Count != 4 || write.Stable != oracle.UNSTABLE || string(write.Data) != "5678" {
		t.Errorf("WRITE %+v", write)
	}
	if _, err := c.Access(t.Context(), root, 0x1f); err != nil {
		t.Error(err)
	}
	var access oracle.Access3args
	if f.sent(t, procAccess, &access); access.Access != 0x1f {
		t.Errorf("ACCESS %+v", access)
	}
}

// TestMakeIn makes one of everything that is no regular file.
func TestMakeIn(t *testing.T) {
	for _, bare := range []bool{false, true} {
		f, c := planted(t)
		f.bare = bare
		dir, _, err := c.Lookup(t.Context(), root, []string{"dir"})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range []file.Node{
			{Type: fs.ModeDir, Mode: 0o2750}, {Type: fs.ModeSymlink, Target: "../caf\xe9"}, {Type: fs.ModeNamedPipe, Mode: 0o600}, {Type: fs.ModeSocket, Mode: 0o640},
			{Type: fs.ModeDevice, Mode: 0o660, Major: 8, Minor: 1}, {Type: fs.ModeDevice | fs.ModeCharDevice, Mode: 0o620, Major: 5, Minor: 2},
		} {
			n.Name = fmt.Sprint("new", i)
			h, a, err := c.MakeIn(t.Context(), root, dir, n)
			made := f.at("dir", n.Name)
			if err != nil || made == nil || a.Type != n.Type || made.attr.Type != n.Type || made.attr.Mode != n.Mode {
				t.Fatalf("%v: %v, %+v, %v", n.Type, a, made, err)
			}
			if n.Type == fs.ModeSymlink {
				if target, err := c.ReadlinkOf(t.Context(), root, h); err != nil || target != n.Target {
					t.Errorf("%q, %v", target, err)
				}
			}
		}
		var device oracle.Mknod3args
		f.sent(t, procMknod, &device)
		if is, ok := device.What.(*oracle.Mknoddata3_NF3CHR); !ok || is.Device.Spec != (oracle.Specdata3{Specdata1: 5, Specdata2: 2}) {
			t.Errorf("MKNOD %+v", device.What)
		}
		if _, _, err := c.MakeIn(t.Context(), root, dir, file.Node{Name: "x", Type: fs.ModeIrregular}); !status.Is(err, status.BadType) {
			t.Error(err)
		}
		if _, _, err := c.MakeIn(t.Context(), root, dir, file.Node{Name: "new0", Type: fs.ModeDir}); !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	}
}

// TestReadFile reads what is a regular file and short enough, in as many pieces as it takes.
func TestReadFile(t *testing.T) {
	f, c := planted(t)
	long := bytes.Repeat([]byte("0123456789"), c.chunk/4)
	if err := errors.Join(c.CreateFile(t.Context(), root, []string{"long"}, long, 0o600), c.Symlink(t.Context(), root, "long", []string{"link"}),
		c.CreateFile(t.Context(), root, []string{"empty"}, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		limit int
		want  string
		err   error
	}{
		{"long", len(long), string(long), nil}, {"long", len(long) - 1, "", syscall.EFBIG}, {"empty", 0, "", nil},
		{"dir", 100, "", syscall.EISDIR}, {"link", 100, "", syscall.ELOOP}, {"none", 100, "", fs.ErrNotExist},
	} {
		got, err := c.ReadFile(t.Context(), root, []string{tt.name}, int64(tt.limit))
		if string(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s up to %d: %d bytes, %v", tt.name, tt.limit, len(got), err)
		}
	}
	f.at("long").data = append(long, "more"...) // since it was looked at
	c.forget(nil)
	f.once(procLookup, fault{spoil: func(reply []byte) []byte { return shorter(reply, len(long)) }})
	if got, err := c.ReadFile(t.Context(), root, []string{"long"}, int64(len(long))); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("a file that has grown: %d bytes, %v", len(got), err)
	}
}

// shorter has the attributes in the reply of LOOKUP say another size.
func shorter(reply []byte, size int) []byte {
	const before = 4 + 4 + 4 + 4 + 5*4 // status, handle of up to four bytes, that attributes follow, what is before the size
	reply[before+6], reply[before+7] = byte(size>>8), byte(size)
	reply[before+4], reply[before+5] = byte(size>>24), byte(size>>16)
	return reply
}

// TestCreateWithoutVerifiers makes files on servers that have no exclusive creation, and gives them the mode that a umask took.
func TestCreateWithoutVerifiers(t *testing.T) {
	f, c := planted(t)
	f.unguided = true
	if err := c.CreateFile(t.Context(), root, []string{"new"}, []byte("content"), 0o640); err != nil {
		t.Fatal(err)
	}
	if n := f.at("new"); string(n.data) != "content" || n.attr.Mode != 0o640 {
		t.Errorf("%+v", n)
	}
	if err := c.CreateFile(t.Context(), root, []string{"new"}, []byte("other"), 0o640); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	f.bare = true // nothing says which mode it has
	if err := c.CreateFile(t.Context(), root, []string{"second"}, nil, 0o600); err != nil || f.at("second").attr.Mode != 0o600 {
		t.Error(err)
	}
}

// TestRemoveNames tells an empty directory from a full one, also where the server has one word for many things.
func TestRemoveNames(t *testing.T) {
	f, c := planted(t)
	top, _, err := c.Lookup(t.Context(), root, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Mkdir(t.Context(), root, []string{"empty"}, wanted()), c.CreateFile(t.Context(), root, []string{"file"}, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	dir := file.Attr{Type: fs.ModeDir}
	done, err := c.RemoveNames(t.Context(), root, top, []file.Entry{{Name: "file"}, {Name: "empty", Attr: dir}, {Name: "dir", Attr: dir}, {Name: "never"}})
	if done != 2 || !errors.Is(err, syscall.ENOTEMPTY) || f.at("empty") != nil || f.at("file") != nil || f.at("dir") == nil {
		t.Errorf("%d done, %v", done, err)
	}
	f.once(procRmdir, fault{code: status.IO})
	if _, err := c.RemoveNames(t.Context(), root, top, []file.Entry{{Name: "dir", Attr: dir}}); !status.Is(err, status.NotEmpty) {
		t.Errorf("a server that only says EIO: %v", err)
	}
	f.once(procRename, fault{code: status.IO})
	if err := c.Rename(t.Context(), root, []string{"dir", "file"}, []string{"dir"}); !status.Is(err, status.NotEmpty) {
		t.Errorf("renaming onto a full directory: %v", err)
	}
	f.once(procRename, fault{code: status.IO})
	if err := c.Rename(t.Context(), root, []string{"dir", "file"}, []string{"none"}); !status.Is(err, status.IO) {
		t.Errorf("renaming where nothing is: %v", err)
	}
}

// TestWhatIsLater: version 3 has none of what came with 4.2.
func TestWhatIsLater(t *testing.T) {
	_, c := planted(t)
	_, _, _, seek := c.Segment(t.Context(), root, "", 0)
	_, clone := c.CloneFile(t.Context(), root, nil)
	_, copied := c.CopyRange(t.Context(), root, nil, 0, 0)
	for _, err := range []error{seek, clone, copied} {
		if !errors.Is(err, syscall.ENOTSUP) {
			t.Error(err)
		}
	}
	if _, err := c.CopyXattrs(t.Context(), root, nil); !errors.Is(err, file.ErrNoXattrs) {
		t.Error(err)
	}
	if l, err := c.Limits(t.Context()); err != nil || l.Clone || l.Chunk != c.chunk || l.Files < 1 || l.Calls < 1 {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestLooks asks for what is known of the export and of what is in it.
func TestLooks(t *testing.T) {
	f, c := planted(t)
	for _, bare := range []bool{false, true} {
		f.bare = bare
		if a, err := c.Getattr(t.Context(), root, []string{"dir", "file"}); err != nil || a.Size != 4 || a.IsDir() {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err := c.Getattr(t.Context(), root, nil); err != nil || !a.IsDir() || a.FileID != 1 {
			t.Errorf("%+v, %v", a, err)
		}
		if u, err := c.Usage(t.Context(), root); err != nil || u != (file.Usage{Total: 3, Free: 2, Available: 1}) {
			t.Errorf("%+v, %v", u, err)
		}
		if granted, err := c.Access(t.Context(), root, 0x1f); err != nil || granted != 0x1e {
			t.Errorf("%x, %v", granted, err)
		}
	}
	dir, _, err := c.Lookup(t.Context(), root, []string{"dir"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetMode(t.Context(), root, dir, 0o711); err != nil || f.at("dir").attr.Mode != 0o711 {
		t.Error(err)
	}
	if a, err := c.SetattrOf(t.Context(), root, dir, file.Set{UID: -1, GID: -1}); err != nil || a.Mode != 0o711 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := c.List(t.Context(), root, []string{"dir", "file"}, file.Cookie{}); !errors.Is(err, syscall.ENOTDIR) {
		t.Error(err)
	}
	if names, calls := c.Batch(); names != 1 || calls < 1 {
		t.Errorf("%d names, %d calls", names, calls)
	}
	long := strings.Repeat("x", 300)
	if _, _, err := c.LookupIn(t.Context(), &rpc.Credential{}, dir, long); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestListGone: what is gone is not there for those who list it, by its handle too.
func TestListGone(t *testing.T) {
	f, c := startFake(t)
	if err := c.Mkdir(t.Context(), root, []string{"dir"}, wanted()); err != nil {
		t.Fatal(err)
	}
	dir, _, err := c.Lookup(t.Context(), root, []string{"dir"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	f.lock.Lock()
	f.fault = func(p procedure) fault {
		if p != procReaddirplus {
			return fault{}
		}
		if f.calls[p] == 3 {
			leave()
		}
		return fault{code: status.NoEnt}
	}
	f.lock.Unlock()
	if _, err := c.List(ctx, root, []string{"dir"}, file.Cookie{}); !errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is there: %v", err)
	}
	if err := c.Remove(t.Context(), root, []string{"dir"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadPage(t.Context(), root, dir, file.Cookie{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is gone, by handle: %v", err)
	}
	if _, err := c.List(t.Context(), root, []string{"dir"}, file.Cookie{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is gone, by path: %v", err)
	}
	if n := f.called(procReaddirplus); n != 4 {
		t.Errorf("listed %d times", n)
	}
}
