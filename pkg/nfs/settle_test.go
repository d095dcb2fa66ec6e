package nfs

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// afterwards is a server as it is found after an answer was lost: every change is refused with err, and what is there
// can be looked at.
type afterwards struct {
	client // nil: whatever need not be asked

	err     error
	attr    *file.Attr // of what is under the name, nil for nothing
	entries int
	content string // of the file or link
	removed bool
	set     []file.Set
}

func (a *afterwards) Mkdir(context.Context, *rpc.Credential, []string, file.Set) error { return a.err }
func (a *afterwards) Symlink(context.Context, *rpc.Credential, string, []string) error { return a.err }
func (a *afterwards) CreateFile(_ context.Context, _ *rpc.Credential, _ []string, data []byte, _ uint32) error {
	if a.removed {
		a.content = string(data)
		return nil
	}
	return a.err
}
func (a *afterwards) Rename(context.Context, *rpc.Credential, []string, []string) error { return a.err }

// Remove succeeds for what is half written.
func (a *afterwards) Remove(context.Context, *rpc.Credential, []string) error {
	if a.removed = a.content != ""; a.removed {
		return nil
	}
	return a.err
}

func (a *afterwards) Getattr(context.Context, *rpc.Credential, []string) (file.Attr, error) {
	if a.attr == nil {
		return file.Attr{}, fail("LOOKUP", status.NoEnt)
	}
	return *a.attr, nil
}

func (a *afterwards) List(context.Context, *rpc.Credential, []string, file.Cookie) (file.Page, error) {
	return file.Page{Entries: make([]file.Entry, a.entries), EOF: true}, nil
}

func (a *afterwards) Setattr(_ context.Context, _ *rpc.Credential, _ []string, set file.Set) (file.Attr, error) {
	a.set = append(a.set, set)
	return *a.attr, nil
}

func (a *afterwards) Readlink(context.Context, *rpc.Credential, []string) (string, error) {
	return a.content, nil
}

func (a *afterwards) ReadFile(context.Context, *rpc.Credential, []string, int64) ([]byte, error) {
	return []byte(a.content), nil
}

// TestSettle: an answer that may be about our own first request is looked into; one that cannot be is believed.
func TestSettle(t *testing.T) { synctest.Test(t, testSettle) }

func testSettle(t *testing.T) {
	dir := func(uid uint32) *file.Attr { return &file.Attr{Type: fs.ModeDir, UID: uid} }
	const uid, other = 1000, 2000
	mkdir := func(f *FS) error { return f.Mkdir(t.Context(), "x", 0o770, -1, -1) }
	create := func(f *FS) error { return f.CreateFile(t.Context(), "x", []byte("data"), 0o644) }
	empty := func(f *FS) error { return f.CreateFile(t.Context(), "x", nil, 0o644) }
	symlink := func(f *FS) error { return f.Symlink(t.Context(), "target", "x") }
	rename := func(f *FS) error { return f.Rename(t.Context(), "x", "y") }
	remove := func(f *FS) error { return f.Remove(t.Context(), "x") }
	for _, tt := range []struct {
		name string
		do   func(f *FS) error
		op   string
		code status.Code
		a    afterwards
		ours bool
	}{
		{"made", mkdir, "CREATE", status.Exist, afterwards{attr: dir(uid)}, true},
		{"made, v3", mkdir, "MKDIR", status.Exist, afterwards{attr: dir(uid)}, true},
		{"made, odd answer", mkdir, "MKDIR", status.Access, afterwards{attr: dir(uid)}, true},
		{"not empty", mkdir, "MKDIR", status.Exist, afterwards{attr: dir(uid), entries: 1}, false},
		{"another's", mkdir, "MKDIR", status.Exist, afterwards{attr: dir(other)}, false},
		{"a file", mkdir, "MKDIR", status.Exist, afterwards{attr: &file.Attr{UID: uid}}, false},
		{"refused", mkdir, "MKDIR", status.Access, afterwards{}, false},
		{"on the way", mkdir, "LOOKUP", status.Exist, afterwards{attr: dir(uid)}, false},
		{"linked", symlink, "SYMLINK", status.Exist, afterwards{content: "target"}, true},
		{"another link", symlink, "CREATE", status.Exist, afterwards{content: "other"}, false},
		{"written", create, "OPEN", status.Exist, afterwards{attr: &file.Attr{UID: uid}, content: "data"}, true},
		{"half written", create, "CREATE", status.Exist, afterwards{attr: &file.Attr{UID: uid}, content: "da"}, true},
		{"nobody there", create, "OPEN", status.Exist, afterwards{}, false},
		{"another's file", create, "OPEN", status.Exist, afterwards{attr: &file.Attr{UID: other}, content: "data"}, false},
		{"another file", create, "OPEN", status.Exist, afterwards{attr: &file.Attr{UID: uid}, content: "date"}, false},
		{"a directory", create, "OPEN", status.Exist, afterwards{attr: dir(uid)}, false},
		{"empty", empty, "OPEN", status.Exist, afterwards{attr: &file.Attr{UID: uid, Mode: 0o644}}, true},
		{"empty, v3", empty, "CREATE", status.Exist, afterwards{attr: &file.Attr{UID: uid, Mode: 0o644}}, true},
		{"empty, another's", empty, "OPEN", status.Exist, afterwards{attr: &file.Attr{UID: other, Mode: 0o644}}, false},
		{"not empty any more", empty, "OPEN", status.Exist, afterwards{attr: &file.Attr{UID: uid, Mode: 0o644, Size: 1}}, false},
		{"an empty directory", empty, "OPEN", status.Exist, afterwards{attr: &file.Attr{Type: fs.ModeDir, UID: uid, Mode: 0o644}}, false},
		{"moved", rename, "RENAME", status.NoEnt, afterwards{attr: dir(uid)}, true},
		{"moved nowhere", rename, "RENAME", status.NoEnt, afterwards{}, false},
		{"not moved", rename, "RENAME", status.Access, afterwards{attr: dir(uid)}, false},
		{"no directory", rename, "LOOKUP", status.NoEnt, afterwards{attr: dir(uid)}, false},
		{"removed", remove, "REMOVE", status.NoEnt, afterwards{}, true},
		{"removed, v3", remove, "RMDIR", status.NoEnt, afterwards{}, true},
		{"just being removed", remove, "REMOVE", status.Stale, afterwards{}, true},
		{"stale, but there", remove, "REMOVE", status.Stale, afterwards{attr: dir(uid)}, false},
		{"stale parent", remove, "LOOKUP", status.Stale, afterwards{}, false},
		{"not removed", remove, "REMOVE", status.Access, afterwards{}, false},
		{"no parent", remove, "LOOKUP", status.NoEnt, afterwards{}, false},
	} {
		for _, resent := range []bool{true, false} {
			a := tt.a
			a.err = &status.Error{Version: 4, Op: tt.op, Code: tt.code, Resent: resent}
			f := &FS{client: &a, cred: rpc.Credential{UID: uid}, observe: func(string, time.Duration, error) {}}
			if err := tt.do(f); (err == nil) != (tt.ours && resent) || err != nil && !errors.Is(err, a.err) {
				t.Errorf("%s, resent %v: %v", tt.name, resent, err)
			}
			if a.removed && a.content != "data" {
				t.Errorf("%s: %q was left", tt.name, a.content)
			}
			if tt.op == "MKDIR" && tt.ours && resent && (len(a.set) != 1 || *a.set[0].Mode != 0o770) {
				t.Errorf("%s: set %v", tt.name, a.set)
			}
		}
	}
}

// TestSettleUnsure: of an empty file that may be ours and may not, neither is said.
func TestSettleUnsure(t *testing.T) {
	exist := &status.Error{Version: 4, Op: "OPEN", Code: status.Exist, Resent: true}
	a := afterwards{err: exist, attr: &file.Attr{UID: 1000, Mode: 0o600}}
	f := &FS{client: &a, cred: rpc.Credential{UID: 1000}, observe: func(string, time.Duration, error) {}}
	if err := f.CreateFile(t.Context(), "x", nil, 0o644); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("of another mode: %v", err)
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if err := f.settleEmpty(ctx, []string{"x"}, 0o600, exist); !errors.Is(err, context.Canceled) || errors.Is(err, fs.ErrExist) {
		t.Errorf("without time to look: %v", err)
	}
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want error
		text string
	}{
		{&rpc.DeniedError{Stat: 5}, ErrRefused, "sec=sys"},
		{&rpc.DeniedError{Stat: 1}, ErrRefused, "address"},
		{fail("LOOKUP", status.WrongSec), ErrRefused, "sec=sys"},
		{fail("REMOVE", status.Grace), ErrGrace, "NFS4ERR_GRACE"},
		{rpc.ErrLost, ErrUnreachable, "connection lost"},
		{fail("REMOVE", status.NoEnt), fs.ErrNotExist, "NFS4ERR_NOENT"},
	} {
		got := classify(tt.err)
		if !errors.Is(got, tt.want) || !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.text) {
			t.Errorf("%v became %v", tt.err, got)
		}
	}
	f := &FS{server: "host", export: "/exp"}
	want := `rename "a" to "b\n" on host:/exp: REMOVE: NFS4ERR_NOENT`
	if got := f.explain("rename", []string{"a", "b\n"}, fail("REMOVE", status.NoEnt)).Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := over(ctx, fail("REMOVE", status.Grace)); !errors.Is(err, context.Canceled) || !errors.Is(classify(err), ErrGrace) {
		t.Errorf("got %v", err)
	}
}
