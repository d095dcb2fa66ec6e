package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository copies the chart, README included, and nothing that is made from it.
func repository(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, chartDir), os.DirFS(filepath.Join("../../..", chartDir))); err != nil {
		t.Fatal(err)
	}
	return root
}

func edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(change(string(text))), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWrittenPassesTheCheck(t *testing.T) {
	root := repository(t)
	var out bytes.Buffer
	if err := errors.Join(run([]string{"-root", root}, &out), run([]string{"-root", root, "-check"}, &out)); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, name := range []string{"deploy/manifests/00-namespace.yaml", "deploy/manifests/controller.yaml", "deploy/manifests/node.yaml",
		"deploy/manifests/csidriver.yaml", "deploy/rbac/rbac.yaml", "deploy/storageclass/nfs.yaml", "deploy/storageclass/nfs-archive.yaml"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(string(text), header) || strings.Contains(string(text), "helm.sh/") || strings.Contains(string(text), "managed-by") {
			t.Errorf("%s:\n%s", name, text)
		}
		if !strings.Contains(out.String(), "wrote "+name+"\n") {
			t.Errorf("%s is not reported in %q", name, out.String())
		}
	}
	out.Reset()
	if err := run([]string{"-root", root}, &out); err != nil || out.Len() > 0 {
		t.Errorf("a second time: %v, %q", err, out.String())
	}
}

func TestTheCheckShowsWhatDiffers(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, root string)
		want   []string
	}{
		"a manifest edited by hand": {
			func(t *testing.T, root string) {
				edit(t, filepath.Join(root, "deploy/manifests/controller.yaml"), func(s string) string { return strings.Replace(s, "replicas: 2", "replicas: 5", 1) })
			},
			[]string{"deploy/manifests/controller.yaml (committed)", "-  replicas: 5", "+  replicas: 2"},
		},
		"a chart changed": {
			func(t *testing.T, root string) {
				edit(t, filepath.Join(root, chartDir, "values.yaml"), func(s string) string { return strings.Replace(s, "maxUnavailable: 10%", "maxUnavailable: 20%", 1) })
			},
			[]string{"+      maxUnavailable: 20%", "-| `node.maxUnavailable` |", "2 files differ"},
		},
		"a manifest gone": {
			func(t *testing.T, root string) {
				if err := os.Remove(filepath.Join(root, "deploy/storageclass/nfs.yaml")); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"+kind: StorageClass", "1 files differ"},
		},
		"a manifest that nothing makes": {
			func(t *testing.T, root string) {
				if err := os.WriteFile(filepath.Join(root, "deploy/rbac/old.yaml"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"deploy/rbac/old.yaml is not made from the chart any more"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := repository(t)
			if err := run([]string{"-root", root}, io.Discard); err != nil {
				t.Fatal(err)
			}
			test.change(t, root)
			var out bytes.Buffer
			err := run([]string{"-root", root, "-check"}, &out)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(out.String()+err.Error(), want) {
					t.Errorf("%q is not in\n%s\n%v", want, out.String(), err)
				}
			}
			if err := errors.Join(run([]string{"-root", root}, io.Discard), run([]string{"-root", root, "-check"}, io.Discard)); err != nil {
				t.Errorf("writing does not repair it: %v", err)
			}
			if _, err := os.Stat(filepath.Join(root, "deploy/rbac/old.yaml")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the old manifest: %v", err)
			}
		})
	}
}

func TestValuesTable(t *testing.T) {
	got, err := valuesTable([]byte("# About the file.\n\n# First, in\n# two lines, a|b.\na: \"\"\nb:\n  # Inner.\n  c: 7\n# A map as one value.\nd: {e: [f]}\n"))
	want := []string{"| `a` | First, in two lines, a\\|b. |  |", "| `b.c` | Inner. | `7` |", "| `d` | A map as one value. | `{\"e\":[\"f\"]}` |"}
	if lines := strings.Split(strings.TrimSpace(got), "\n"); err != nil || !slices.Equal(lines[2:], want) {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := valuesTable([]byte("# With.\na: 1\nb: 2\nc:\n  d: {}\n")); err == nil || !strings.Contains(err.Error(), "b has no comment") || !strings.Contains(err.Error(), "c.d has no comment") {
		t.Errorf("error %v does not name the values without a comment", err)
	}
}

func TestAReadmeWithoutATableIsAnError(t *testing.T) {
	root := repository(t)
	edit(t, filepath.Join(root, chartDir, "README.md"), func(s string) string { return strings.Replace(s, tableEnd, "", 1) })
	if err := run([]string{"-root", root}, io.Discard); err == nil || !strings.Contains(err.Error(), "has no lines") {
		t.Errorf("error %v", err)
	}
}
