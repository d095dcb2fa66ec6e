package volume

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"
)

func TestParseChanges(t *testing.T) {
	c, err := ParseChanges(map[string]string{"ONDELETE": "Archive", "archiveRetention": "48h", "mountPermissions": "2750", "uid": "0", "gid": "7"})
	if err != nil || c.Policy != Archive || *c.ArchiveRetention != 48*time.Hour || *c.Mode != 0o750|fs.ModeSetgid || c.UID != 0 || c.GID != 7 {
		t.Errorf("changes are %+v, %v", c, err)
	}
	for _, nothing := range []map[string]string{nil, {}, {"onDelete": "", "mountPermissions": "0"}} {
		if c, err := ParseChanges(nothing); err != nil || c != Unchanged() {
			t.Errorf("%v is read as %+v, %v", nothing, c, err)
		}
	}
	if c, err := ParseChanges(map[string]string{"archiveRetention": "0"}); err != nil || c.ArchiveRetention == nil || *c.ArchiveRetention != 0 {
		t.Errorf("for ever is read as %+v, %v", c, err)
	}
}

func TestParseChangesReportsAllMistakes(t *testing.T) {
	c, err := ParseChanges(map[string]string{"onDelete": "shred", "archiveRetention": "-1h", "mountPermissions": "rwx", "uid": "me", "gid": "-1", "server": "s", "GID": "1"})
	if !errors.Is(err, ErrInvalid) || c != Unchanged() {
		t.Fatalf("changes are %+v, %v; want ErrInvalid", c, err)
	}
	for _, words := range []string{`onDelete is "shred"`, `archiveRetention is "-1h"`, `mode "rwx"`, `uid is "me"`, "gid is given twice", `"server" cannot be changed`} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("error %q does not say %q", err, words)
		}
	}
}

func TestClassWithChanges(t *testing.T) {
	class := Class{Policy: Delete, Mode: 0o777, UID: -1, GID: 5, ArchiveRetention: time.Hour}
	if got := class.With(Unchanged()); got.Policy != Delete || got.Mode != 0o777 || got.ModeGiven || got.UID != -1 || got.GID != 5 || got.ArchiveRetention != time.Hour {
		t.Errorf("unchanged it is %+v", got)
	}
	mode, forever := fs.FileMode(0o700), time.Duration(0)
	got := class.With(Changes{Policy: Retain, ArchiveRetention: &forever, Mode: &mode, UID: 0, GID: -1})
	if got.Policy != Retain || got.Mode != 0o700 || !got.ModeGiven || got.UID != 0 || got.GID != 5 || got.ArchiveRetention != 0 {
		t.Errorf("changed it is %+v", got)
	}
	r := Request{Name: "pvc-1", Class: class, Changes: Changes{Policy: Retain, UID: -1, GID: -1}}
	if id, err := r.ID(); err != nil || id.Policy != Retain {
		t.Errorf("its handle is %+v, %v; want the changed policy", id, err)
	}
}

func FuzzParseChanges(f *testing.F) {
	f.Add("retain", "720h", "0770", "1000", "0")
	f.Add("", "", "", "", "-1")
	f.Fuzz(func(t *testing.T, onDelete, retention, mode, uid, gid string) {
		c, err := ParseChanges(map[string]string{ParamOnDelete: onDelete, ParamArchiveRetention: retention, ParamMountPermissions: mode, ParamUID: uid, ParamGID: gid})
		if err != nil {
			if !errors.Is(err, ErrInvalid) || c != Unchanged() {
				t.Fatalf("changes are %+v, error %v", c, err)
			}
			return
		}
		if c.UID < 0 || c.GID < 0 || *c.ArchiveRetention < 0 || c.Mode != nil && *c.Mode == 0 {
			t.Fatalf("changes are %+v", c)
		}
	})
}

func TestParseChangesRefusesLongText(t *testing.T) {
	for words, parameters := range map[string]map[string]string{
		"the name of a parameter is 5000 bytes long": {strings.Repeat("x", 5000): ""},
		`parameter "onDelete" is 5000 bytes long`:    {"onDelete": strings.Repeat("x", 5000)},
	} {
		if _, err := ParseChanges(parameters); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), words) || len(err.Error()) > 200 {
			t.Errorf("error is %v; want ErrInvalid with %q", err, words)
		}
	}
}
