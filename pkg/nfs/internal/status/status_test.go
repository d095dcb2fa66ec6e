package status

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

func TestMeaning(t *testing.T) {
	for _, tt := range []struct {
		code  Code
		name4 string
		want  []error
	}{
		{NoEnt, "NFS4ERR_NOENT", []error{fs.ErrNotExist, syscall.ENOENT}},
		{Exist, "NFS4ERR_EXIST", []error{fs.ErrExist, syscall.EEXIST}},
		{NotEmpty, "NFS4ERR_NOTEMPTY", []error{fs.ErrExist, syscall.ENOTEMPTY}},
		{Access, "NFS4ERR_ACCESS", []error{fs.ErrPermission, syscall.EACCES}},
		{Perm, "NFS4ERR_PERM", []error{fs.ErrPermission, syscall.EPERM}},
		{Inval, "NFS4ERR_INVAL", []error{fs.ErrInvalid, syscall.EINVAL}},
		{28, "NFS4ERR_NOSPC", []error{syscall.ENOSPC}},
		{69, "NFS4ERR_DQUOT", []error{syscall.EDQUOT}},
		{30, "NFS4ERR_ROFS", []error{syscall.EROFS}},
		{63, "NFS4ERR_NAMETOOLONG", []error{syscall.ENAMETOOLONG}},
		{XDev, "NFS4ERR_XDEV", []error{syscall.EXDEV}},
		{NotDir, "NFS4ERR_NOTDIR", []error{syscall.ENOTDIR}},
		{IsDir, "NFS4ERR_ISDIR", []error{syscall.EISDIR}},
		{Symlink, "NFS4ERR_SYMLINK", []error{syscall.ELOOP}},
		{Stale, "NFS4ERR_STALE", []error{syscall.ESTALE}},
		{BadSession, "NFS4ERR_BADSESSION", []error{syscall.EIO}},
		{12345, "nfsstat4 12345", []error{syscall.EIO}},
	} {
		err := fmt.Errorf("doing: %w", &Error{Version: 4, Op: "OP", Code: tt.code})
		if !strings.Contains(err.Error(), "OP: "+tt.name4) || Of(err) != tt.code || !Is(err, OK, tt.code) {
			t.Errorf("%v: %v", tt.code, err)
		}
		for _, want := range tt.want {
			if !errors.Is(err, want) {
				t.Errorf("%v does not match %v", err, want)
			}
		}
		if tt.code != Inval && errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%v is not invalid", err)
		}
	}
	if Of(fs.ErrNotExist) != OK || Is(fs.ErrNotExist, OK) || Is(nil, OK) {
		t.Error("a status where there is none")
	}
}

func TestNames(t *testing.T) {
	for text, err := range map[string]*Error{
		"LOOKUP: NFS3ERR_ACCES":   {Version: 3, Op: "LOOKUP", Code: Access},
		"CREATE: NFS3ERR_JUKEBOX": {Version: 3, Op: "CREATE", Code: Delay},
		"CREATE: NFS4ERR_DELAY":   {Version: 4, Op: "CREATE", Code: Delay},
		"MNT: MNT3ERR_NOENT":      {Version: 3, Op: "MNT", Code: NoEnt},
	} {
		if err.Error() != text {
			t.Errorf("got %q, want %q", err, text)
		}
	}
	for code, hint := range map[Code]string{
		Moved: "that server", LeaseMoved: "that server", BadOwner: "numeric owners", NoSpace: "full", Quota: "quota", ReadOnly: "rw",
		IO: "log", ServerFault: "log", Resource: "short of", ClientIDInUse: "identity", 12345: "the RFCs do not have",
	} {
		if text := (&Error{Version: 4, Op: "SETATTR", Code: code}).Error(); !strings.Contains(text, hint) {
			t.Errorf("%q does not say %q", text, hint)
		}
	}
}

func TestKinds(t *testing.T) {
	e := func(c Code) error { return fmt.Errorf("x: %w", &Error{Version: 4, Op: "REMOVE", Code: c}) }
	for _, tt := range []struct {
		err                  error
		later, refused, dead bool
	}{
		{e(Delay), true, false, false}, {e(Grace), true, false, false}, {e(Access), false, true, false}, {e(Perm), false, true, false},
		{e(Stale), false, false, true}, {e(BadHandle), false, false, true}, {e(FHExpired), false, false, true},
		{e(NoEnt), false, false, false}, {syscall.EACCES, false, false, false}, {nil, false, false, false},
	} {
		if Later(tt.err) != tt.later || Refused(tt.err) != tt.refused || Dead(tt.err) != tt.dead {
			t.Errorf("%v: later %v, refused %v, dead %v", tt.err, Later(tt.err), Refused(tt.err), Dead(tt.err))
		}
	}
}

func TestResent(t *testing.T) {
	first, second := &Error{Version: 3, Op: "REMOVE", Code: Stale, Resent: true}, &Error{Version: 3, Op: "REMOVE", Code: NoEnt}
	before := NoteResent(fmt.Errorf("x: %w", first), false)
	before = NoteResent(syscall.EIO, before)
	if !NoteResent(fmt.Errorf("x: %w", second), before) || !MaybeOurs(second, "RMDIR", "REMOVE") {
		t.Error("an earlier sending is forgotten")
	}
	if MaybeOurs(second, "RMDIR") || MaybeOurs(syscall.ENOENT, "REMOVE") || NoteResent(nil, false) {
		t.Error("taken for ours")
	}
}
