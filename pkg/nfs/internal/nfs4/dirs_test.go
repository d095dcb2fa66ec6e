package nfs4

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// onEach runs a test on a server of version 4.0 and on one of 4.1.
func onEach(t *testing.T, run func(t *testing.T, f *fake, c *Client)) {
	for minor := range uint32(2) {
		t.Run("4."+string(rune('0'+minor)), func(t *testing.T) {
			f := startFake(t)
			f.minor = minor
			run(t, f, f.connect(time.Minute))
		})
	}
}

// TestMkdir makes directories that do not come out as wanted at first.
func TestMkdir(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode uint32 // that the server makes of it
		at   uint32
		what fault
		code status.Code
		sets int // SETATTRs
	}{
		{"as wanted", 0o755, opRemove, fault{}, status.OK, 0},
		{"another mode", 0o2755, opRemove, fault{}, status.OK, 1},
		{"delay at GETATTR", 0o755, opCreate, fault{op: opGetattr, code: status.Delay}, status.OK, 1},
		{"refused afterwards", 0o700, opSetattr, fault{op: opSetattr, code: status.Perm}, status.Perm, 1},
		{"refused", 0o755, opCreate, fault{op: opCreate, code: status.Access}, status.Access, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, f *fake, c *Client) {
				f.mode = tt.mode
				sets, fail := 0, once(tt.at, tt.what)
				f.set(func(ops []uint32) fault {
					if slices.Contains(ops, opSetattr) {
						sets++
					}
					return fail(ops)
				})
				err := c.Mkdir(t.Context(), nobody, []string{"dir"}, wanted())
				if status.Of(err) != tt.code || f.names["dir"] != (err == nil) || sets != tt.sets {
					t.Errorf("%v, done: %s, %d SETATTRs, want %d", err, f.done(), sets, tt.sets)
				}
			})
		})
	}
}

// TestRename tells a directory that is not empty from a name that is taken.
func TestRename(t *testing.T) {
	onEach(t, func(t *testing.T, f *fake, c *Client) {
		f.names["a"] = true
		if err := c.Rename(t.Context(), nobody, []string{"a"}, []string{"b"}); err != nil || f.done() != "rename a b" {
			t.Errorf("%v, done: %s", err, f.done())
		}
		if err := c.Rename(t.Context(), nobody, []string{"a"}, []string{"c"}); !status.Is(err, status.NoEnt) {
			t.Errorf("what is gone: %v", err)
		}
		f.names["full"] = true // the fake lists the same everywhere
		if err := c.Rename(t.Context(), nobody, []string{"b"}, []string{"full"}); !status.Is(err, status.NotEmpty) {
			t.Errorf("onto a directory that is not empty: %v", err)
		}
		f.names["link"] = true
		if err := c.Rename(t.Context(), nobody, []string{"b"}, []string{"link"}); !status.Is(err, status.Exist) {
			t.Errorf("onto a link: %v", err)
		}
	})
}

// TestListPages lists a directory by path and by handle, page by page.
func TestListPages(t *testing.T) {
	onEach(t, func(t *testing.T, f *fake, c *Client) {
		for _, name := range strings.Split("dir a b c d e link", " ") {
			f.names[name] = true
		}
		byPath := func(from file.Cookie) (file.Page, error) { return c.List(t.Context(), nobody, []string{"dir"}, from) }
		byHandle := func(from file.Cookie) (file.Page, error) { return c.ReadPage(t.Context(), nobody, "dir", from) }
		for _, list := range []func(file.Cookie) (file.Page, error){byPath, byHandle} {
			var got []string
			page, err := list(file.Cookie{})
			for ; err == nil; page, err = list(page.Cookie) {
				for _, e := range page.Entries {
					got = append(got, e.Name)
				}
				if page.EOF {
					break
				}
			}
			if err != nil || strings.Join(got, " ") != "a b c d dir e link" {
				t.Errorf("%q, %v", got, err)
			}
		}
		page, err := byHandle(file.Cookie{})
		if err != nil || page.Entries[0].Handle != "a" || !page.Entries[0].Attr.IsDir() {
			t.Errorf("%+v, %v", page.Entries, err)
		}
		f.names["file"], f.files["file"] = true, nil
		if _, err := c.List(t.Context(), nobody, []string{"file"}, file.Cookie{}); !status.Is(err, status.NotDir) {
			t.Errorf("a file: %v", err)
		}
		f.set(once(opReaddir, fault{op: opReaddir, code: status.NoEnt})) // something vanished under the server
		if _, err := byPath(file.Cookie{}); err != nil {
			t.Errorf("by path: %v", err)
		}
		f.set(once(opReaddir, fault{op: opReaddir, code: status.NoEnt}))
		if _, err := byHandle(file.Cookie{}); err != nil {
			t.Errorf("by handle: %v", err)
		}
	})
}

// TestListGone tells a directory that is gone from one that the server does not find when it lists it, by the operation
// that fails.
func TestListGone(t *testing.T) {
	onEach(t, func(t *testing.T, f *fake, c *Client) {
		f.names["dir"] = true
		byPath := func(ctx context.Context) error { return second(c.List(ctx, nobody, []string{"dir"}, file.Cookie{})) }
		byHandle := func(ctx context.Context) error { return second(c.ReadPage(ctx, nobody, "dir", file.Cookie{})) }
		for _, tt := range []struct {
			list func(ctx context.Context) error
			op   uint32 // that does not find it
			gone bool
		}{{byPath, opLookup, true}, {byPath, opReaddir, false}, {byHandle, opPutFH, true}, {byHandle, opReaddir, false}} {
			ctx, leave := context.WithCancel(t.Context())
			lists := 0
			f.set(func([]uint32) fault {
				if lists++; lists == 3 {
					leave()
				}
				return fault{op: tt.op, code: status.NoEnt}
			})
			err := tt.list(ctx)
			if leave(); errors.Is(err, fs.ErrNotExist) != tt.gone || errors.Is(err, context.Canceled) == tt.gone || tt.gone && lists != 1 {
				t.Errorf("%s: %v, listed %d times", opNames[tt.op], err, lists)
			}
		}
	})
}

// TestLook asks about what is there and what is not.
func TestLook(t *testing.T) {
	onEach(t, func(t *testing.T, f *fake, c *Client) {
		f.names["dir"], f.names["link"], f.names["file"], f.files["file"] = true, true, true, []byte("12345")
		if h, a, err := c.Lookup(t.Context(), nobody, []string{"dir", "file"}); err != nil || h != "file" || a.Size != 5 {
			t.Errorf("Lookup: %q, %+v, %v", h, a, err)
		}
		if h, a, err := c.LookupIn(t.Context(), nobody, "dir", "link"); err != nil || h != "link" || a.Type != fileType(typeLink) {
			t.Errorf("LookupIn: %q, %+v, %v", h, a, err)
		}
		if _, _, err := c.LookupIn(t.Context(), nobody, "dir", "none"); !status.Is(err, status.NoEnt) {
			t.Errorf("LookupIn: %v", err)
		}
		if target, err := c.Readlink(t.Context(), nobody, []string{"link"}); err != nil || target != "target of link" {
			t.Errorf("Readlink: %q, %v", target, err)
		}
		if _, err := c.Readlink(t.Context(), nobody, []string{"file"}); !status.Is(err, status.Inval) {
			t.Errorf("Readlink of a file: %v", err)
		}
		if granted, err := c.Access(t.Context(), nobody, 7); err != nil || granted != 6 {
			t.Errorf("Access: %d, %v", granted, err)
		}
		if u, err := c.Usage(t.Context(), nobody); err != nil || u != (file.Usage{Total: 3, Free: 2, Available: 1}) {
			t.Errorf("Usage: %+v, %v", u, err)
		}
		if a, err := c.Setattr(t.Context(), nobody, []string{"file"}, wanted()); err != nil || a.Mode != 0o755 {
			t.Errorf("Setattr: %+v, %v", a, err)
		}
		if err := c.SetMode(t.Context(), &rpc.Credential{UID: 1}, "dir", 0o700); err != nil {
			t.Errorf("SetMode: %v", err)
		}
		if err := c.Symlink(t.Context(), nobody, strings.Repeat("t", mostOfTarget+1), []string{"long"}); err == nil || f.names["long"] {
			t.Errorf("Symlink with a target that no server takes: %v", err)
		}
	})
}
