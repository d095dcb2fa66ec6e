package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// FuzzKeyBelow compares what keys tell with what the directories themselves say.
func FuzzKeyBelow(f *testing.F) {
	long := strings.Repeat("long", 50)
	for _, seed := range [][2]string{
		{"a", "a/b"}, {"a", "ab"}, {"a", "a"}, {"a%", "a%/b"}, {"a", "a%2Fb"}, {"%-", "%-/x"}, {"é", "é/é"}, {".a", ".a/b"},
		{long, long + "/b"}, {long, long + "b/c"}, {long + "/x", long + "/x/y"}, {"a", "a/" + long}, {long[:165], long[:165] + "/b"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		dir, err := volume.ParseDir(a)
		other, err2 := volume.ParseDir(b)
		if err != nil || err2 != nil {
			return
		}
		want := strings.HasPrefix(string(other), string(dir)+"/")
		is, sure := keyBelow(volume.Key(string(other)), dir)
		if want && !is || sure && is != want {
			t.Errorf("%q below %q: %v, sure %v, want %v", other, dir, is, sure, want)
		}
		if !sure && len(a)+len(b) < 100 && !want && is {
			t.Errorf("%q below %q: not sure though both are short", other, dir)
		}
	})
}

// FuzzOwner: nobody writes anything but one element of a path between prefix and suffix.
func FuzzOwner(f *testing.F) {
	f.Add("../volumes/a.json")
	f.Add("../volumes/../a.json")
	f.Add("/etc/passwd")
	f.Fuzz(func(t *testing.T, target string) {
		key, ok := OwnerIn(target)
		if ok && (linkTarget(key) != target || strings.Contains(key, "/") || key == "") {
			t.Errorf("%q names %q", target, key)
		}
		if own := volume.Key(target); target != "" {
			if got, ok := OwnerIn(linkTarget(own)); !ok || got != own {
				t.Errorf("link to %q names %q", own, got)
			}
		}
	})
}

// FuzzMark: no mark leads to anything but the directory that it was made for.
func FuzzMark(f *testing.F) {
	f.Add("../../ns")
	f.Add("../../ns/team")
	f.Add("../../../ns")
	f.Add("../../.nfs-csi/volumes")
	f.Add("/etc")
	f.Fuzz(func(t *testing.T, target string) {
		dir, ours := markedIn(target)
		if parsed, err := volume.ParseDir(string(dir)); ours && (err != nil || parsed != dir || markTarget(dir) != target) {
			t.Errorf("%q marks %q: %v", target, dir, err)
		}
		if dir, err := volume.ParseDir(target); err == nil {
			if got, ours := markedIn(markTarget(dir)); !ours || got != dir {
				t.Errorf("the mark of %q is of %q", dir, got)
			}
		}
	})
}

// FuzzTrashName: a name in the trash fits a directory and tells its time, whatever the volume was called.
func FuzzTrashName(f *testing.F) {
	f.Add("pvc-1", int64(1e9))
	f.Add(strings.Repeat("é", 300), int64(0))
	f.Fuzz(func(t *testing.T, volumeName string, unix int64) {
		now := time.Unix(min(max(unix, 0), 1e11), 0)
		name := trashName(volume.Key(volumeName), now)
		at, told := TrashedAt(name)
		if !told || !at.Equal(now) {
			t.Errorf("%q tells %v, %v, want %v", name, at, told, now)
		}
		if len(name)+len(RecordSuffix) > 255 || name == trashName(volume.Key(volumeName), now) {
			t.Errorf("%q", name)
		}
		if _, told := TrashedAt(volume.Key(volumeName)); told && !strings.Contains(volumeName, "Z-") {
			t.Errorf("%q tells a time", volumeName)
		}
	})
}

// FuzzBesideNote: no note leads to anything but a directory that bears its random end.
func FuzzBesideNote(f *testing.F) {
	f.Add("pvc-1-20261120T120000Z-RANDOM", "ns/.nfs-csi-trash-RANDOM")
	f.Add("pvc-1-RANDOM", "ns/a")
	f.Add("a-", ".nfs-csi-trash-")
	f.Add("a-x", "../.nfs-csi-trash-x")
	f.Fuzz(func(t *testing.T, trash, dir string) {
		got, ok := NotedDir(trash, fmt.Appendf(nil, `{"version":1,"directory":%q}`, dir))
		if !ok {
			return
		}
		base := string(got[strings.LastIndexByte(string(got), '/')+1:])
		random := strings.TrimPrefix(base, BesidePrefix)
		if random == base || random == "" || !strings.HasSuffix(trash, "-"+random) {
			t.Errorf("the note %q leads to %q", trash, got)
		}
		if parsed, err := volume.ParseDir(string(got)); err != nil || parsed != got {
			t.Errorf("the note %q leads to %q: %v", trash, got, err)
		}
	})
}
