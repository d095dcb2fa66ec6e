package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// makeTree returns a directory with one of every kind of entry that an image has.
func makeTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "bin"), 0o755),
		os.WriteFile(filepath.Join(dir, "bin", "tool"), []byte("#!/bin/sh\n"), 0o755),
		os.Symlink("tool", filepath.Join(dir, "bin", "sh")),
		os.Mkdir(filepath.Join(dir, "tmp"), 0o777),
		os.Chmod(filepath.Join(dir, "tmp"), os.ModeSticky|0o777),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// entries reads a whole tar: headers and contents by name.
func entries(t *testing.T, r io.Reader) (map[string]*tar.Header, map[string][]byte) {
	t.Helper()
	headers, contents := map[string]*tar.Header{}, map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		headers[header.Name] = header
		if contents[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

func build(t *testing.T, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image.tar")
	var stderr bytes.Buffer
	if err := run([]string{"-o", out, "-entrypoint", "/bin/tool,-x", "-cmd", "serve", "-user", "101:101", "example.test/tool:1", dir}, &stderr); err != nil {
		t.Fatalf("run: %v %s", err, &stderr)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestArchiveNamesItsParts(t *testing.T) {
	_, contents := entries(t, bytes.NewReader(build(t, makeTree(t))))
	var index []manifest
	if err := json.Unmarshal(contents["manifest.json"], &index); err != nil || len(index) != 1 {
		t.Fatalf("manifest.json %s: %v", contents["manifest.json"], err)
	}
	if want := []string{"example.test/tool:1"}; !reflect.DeepEqual(index[0].RepoTags, want) {
		t.Errorf("tags %q, want %q", index[0].RepoTags, want)
	}
	config := contents[index[0].Config]
	if want := fmt.Sprintf("%x.json", sha256.Sum256(config)); index[0].Config != want {
		t.Errorf("configuration is named %q, want its digest %q", index[0].Config, want)
	}
	var c configuration
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/bin/tool", "-x"}; !reflect.DeepEqual(c.Config.Entrypoint, want) || c.Config.User != "101:101" || c.Config.Cmd[0] != "serve" {
		t.Errorf("configuration %+v, want entry point %q with user and command", c.Config, want)
	}
	layer := contents[index[0].Layers[0]]
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(layer)); c.RootFS.DiffIDs[0] != want {
		t.Errorf("diff ID %q, want %q", c.RootFS.DiffIDs[0], want)
	}
}

func TestLayerKeepsModesAndLinks(t *testing.T) {
	var layer bytes.Buffer
	if err := writeLayer(&layer, os.DirFS(makeTree(t))); err != nil {
		t.Fatal(err)
	}
	headers, contents := entries(t, &layer)
	for _, c := range []struct {
		name   string
		kind   byte
		mode   int64
		target string
	}{
		{"bin/", tar.TypeDir, 0o755, ""},
		{"bin/tool", tar.TypeReg, 0o755, ""},
		{"bin/sh", tar.TypeSymlink, 0o777, "tool"},
		{"tmp/", tar.TypeDir, 0o1777, ""},
	} {
		h := headers[c.name]
		if h == nil {
			t.Errorf("%s is missing", c.name)
			continue
		}
		if h.Typeflag != c.kind || h.Mode != c.mode || h.Linkname != c.target || h.Uid != os.Getuid() {
			t.Errorf("%s: type %c mode %o link %q uid %d, want %c %o %q %d", c.name, h.Typeflag, h.Mode, h.Linkname, h.Uid, c.kind, c.mode, c.target, os.Getuid())
		}
	}
	if got := string(contents["bin/tool"]); got != "#!/bin/sh\n" {
		t.Errorf("bin/tool holds %q", got)
	}
}

func TestSameTreeSameBytes(t *testing.T) {
	if !bytes.Equal(build(t, makeTree(t)), build(t, makeTree(t))) {
		t.Error("two trees that differ only in time give different images")
	}
}

func TestMistakesAreReported(t *testing.T) {
	for _, args := range [][]string{{}, {"-o", "x"}, {"ref", "dir"}, {"-nonsense"}, {"-o", filepath.Join(t.TempDir(), "x"), "ref", "/nonexistent"}} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("run(%q) succeeded", args)
		}
	}
}
