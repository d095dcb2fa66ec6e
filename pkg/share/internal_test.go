package share

import (
	"errors"
	"strings"
	"testing"

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

func FuzzToken(f *testing.F) {
	f.Add("server:/a", "a.json")
	f.Add("", "")
	locations := []volume.Location{{Server: "server", Share: "/a"}, {Server: "fe80::1", Share: "/"}}
	f.Fuzz(func(t *testing.T, location, file string) {
		p := position{location, file}
		got, err := parseToken(p.token(), locations)
		if err == nil && got != p && p != (position{}) {
			t.Errorf("%q is read as %q", p, got)
		}
		if _, err := parseToken(location, locations); err != nil && !errors.Is(err, volume.ErrToken) {
			t.Error(err)
		}
	})
}

// FuzzOwner: nobody writes anything but one element of a path between prefix and suffix.
func FuzzOwner(f *testing.F) {
	f.Add("../volumes/a.json")
	f.Add("../volumes/../a.json")
	f.Add("/etc/passwd")
	f.Fuzz(func(t *testing.T, target string) {
		key, ok := ownerIn(target)
		if ok && (linkTarget(key) != target || strings.Contains(key, "/") || key == "") {
			t.Errorf("%q names %q", target, key)
		}
		if own := volume.Key(target); target != "" {
			if got, ok := ownerIn(linkTarget(own)); !ok || got != own {
				t.Errorf("link to %q names %q", own, got)
			}
		}
	})
}

func FuzzArchiveName(f *testing.F) {
	f.Add("a/b", "-x")
	f.Add(strings.Repeat("é", 127), "-pvc-1")
	f.Fuzz(func(t *testing.T, dir, suffix string) {
		d, err := volume.ParseDir(dir)
		if err != nil || len(suffix) > 210 || strings.ContainsAny(suffix, "/\x00") {
			return
		}
		name := string(archiveName(d, suffix))
		if !strings.HasPrefix(name, volume.ArchivePrefix) || !strings.HasSuffix(name, suffix) {
			t.Errorf("archive of %q is %q", d, name)
		}
		if strings.Count(name, "/") != strings.Count(string(d), "/") {
			t.Errorf("archive of %q is %q", d, name)
		}
		for _, e := range strings.Split(name, "/") {
			if e == "" || len(e) > maxElement {
				t.Errorf("archive of %q has the element %q", d, e)
			}
		}
	})
}
