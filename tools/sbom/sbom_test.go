package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// binary builds the program as the Makefile does.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nfs-csi")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "grpcnotrace", "-trimpath", "-o", path, "./cmd/nfs-csi")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func write(t *testing.T, args ...string) []byte {
	t.Helper()
	var out, complaints bytes.Buffer
	if err := run(args, &out, &complaints); err != nil {
		t.Fatalf("%v\n%s", err, complaints.String())
	}
	return out.Bytes()
}

// TestBillOfTheBinary: the bill lists the modules that "go version -m" does, each with its version and sum, and Go itself.
func TestBillOfTheBinary(t *testing.T) {
	path := binary(t)
	text := write(t, "-version", "v1.2.3", path)
	if again := write(t, "-version", "v1.2.3", path); !bytes.Equal(text, again) {
		t.Error("two bills of one binary differ")
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.PackageURL != "pkg:golang/github.com/nfs-csi/nfs-csi@v1.2.3" || c.Type != cdx.ComponentTypeApplication {
		t.Errorf("it is the bill of %+v", c)
	}
	var got []string
	for _, c := range *bom.Components {
		if c.PackageURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("%s %s is called %s", c.Name, c.Version, c.PackageURL)
		}
		if c.Name != "std" {
			got = append(got, c.Name+" "+c.Version+" "+(*c.Properties)[0].Value)
		}
	}
	want := modules(t, path)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the bill has\n%s\nthe binary\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := len(*(*bom.Dependencies)[0].Dependencies); n != len(want)+1 {
		t.Errorf("it depends on %d of %d", n, len(want)+1)
	}
	// The predecessors got most of their vulnerabilities from there.
	for _, module := range got {
		if strings.HasPrefix(module, "k8s.io/kubernetes ") {
			t.Errorf("the binary has all of Kubernetes in it: %s", module)
		}
	}
}

// modules are those that Go's own tool finds in a binary.
func modules(t *testing.T, path string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "dep" {
			all = append(all, strings.Join(f[1:], " "))
		}
	}
	if len(all) < 20 {
		t.Fatalf("found only %q", all)
	}
	slices.Sort(all)
	return all
}

func TestMistakes(t *testing.T) {
	for words, args := range map[string][]string{
		"usage: sbom": nil, "usage: sbom [": {"a", "b"}, "what main.go is built of": {"main.go"}, "not defined: -x": {"-x"},
	} {
		if err := run(args, new(bytes.Buffer), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: error is %v, want %q", args, err, words)
		}
	}
}
