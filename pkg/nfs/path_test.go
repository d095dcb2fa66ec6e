package nfs

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestSplit(t *testing.T) {
	for name, want := range map[string][]string{
		".": nil, "a": {"a"}, "a/b": {"a", "b"}, "...": {"..."}, "caf\xe9/ ": {"caf\xe9", " "}, strings.Repeat("x", 255): {strings.Repeat("x", 255)},
	} {
		if got, err := split(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "/", "/a", "a/", "a//b", "..", "a/..", "./a", "a/.", "a\x00b"} {
		if got, err := split(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	if _, err := split("a/" + strings.Repeat("x", 256)); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a long name: %v", err)
	}
	if _, err := splitNew("."); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("the root as a new name: %v", err)
	}
}

func TestSplitExport(t *testing.T) {
	for path, want := range map[string][]string{"/": nil, "//": nil, "/a": {"a"}, "/a/b/": {"a", "b"}} {
		if got, err := splitExport(path); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"", "a", "/a/../b", "/.", "/a//b", ".", "/a\x00"} {
		if got, err := splitExport(path); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
}

// FuzzSplit: what passes leads straight down, and is the name again when joined.
func FuzzSplit(f *testing.F) {
	f.Add("a/b")
	f.Add("../x")
	f.Fuzz(func(t *testing.T, name string) {
		elements, err := split(name)
		if err != nil {
			return
		}
		if joined := strings.Join(elements, "/"); joined != name && name != "." {
			t.Errorf("%q became %q", name, joined)
		}
		for _, e := range elements {
			if e == "" || e == "." || e == ".." || strings.ContainsAny(e, "/\x00") || len(e) > maxName {
				t.Errorf("%q has the element %q", name, e)
			}
		}
	})
}

func TestVersions(t *testing.T) {
	for s, want := range map[string]Version{"3": V3, "4.0": V40, "4.1": V41, "4.2": V42, "4": V42} {
		v, err := ParseVersion(s)
		if err != nil || v != want {
			t.Errorf("%q: %v, %v", s, v, err)
		}
		if again, err := ParseVersion(v.String()); err != nil || again != v {
			t.Errorf("%v: %v, %v", v, again, err)
		}
	}
	for _, s := range []string{"", "2", "4.3", "v3"} {
		if v, err := ParseVersion(s); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v, %v", s, v, err)
		}
	}
}
