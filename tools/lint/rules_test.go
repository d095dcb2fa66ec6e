// Package lint_test checks that the linter's rules find what they are there to find.
package lint_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each file breaks one rule, in a module of the same name and layout, and the linter's words about it are expected.
var broken = []struct{ file, code, want string }{
	{"pkg/volume/v.go", `import _ "example.com/other"`, "import 'example.com/other' is not allowed from list 'values'"},
	{"pkg/nfs/n.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/volume"`, "import 'github.com/nfs-csi/nfs-csi/pkg/volume' is not allowed from list 'nfs'"},
	{"pkg/nfs/internal/rpc/r.go", `import _ "example.com/other"`, "import 'example.com/other' is not allowed from list 'nfs'"},
	{"pkg/share/s.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/nfs"`, "packages below pkg know pkg/volume and nobody beside them"},
	{"pkg/share/internal/pool/p.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"`, "packages below pkg/share/internal know those"},
	{"pkg/share/internal/registry/r.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/share/internal/jobs"`, "packages below pkg/share/internal know those"},
	{"pkg/share/internal/removing/r.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/share/internal/pool"`, "packages below pkg/share/internal know those"},
	{"pkg/share/internal/copying/c.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/share/internal/removing"`, "packages below pkg/share/internal know those"},
	{"pkg/share/internal/making/m.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/share/internal/removing"`, "packages below pkg/share/internal know those"},
	{"pkg/mount/m.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/share"`, "packages below pkg know pkg/volume and nobody beside them"},
	{"pkg/driver/d.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/share"`, "packages below pkg know pkg/volume and nobody beside them"},
	{"pkg/driver/k.go", `import _ "k8s.io/client-go/kubernetes"`, "the API server is asked in pkg/provisioner, pkg/migrate, pkg/importing and cmd only"},
	{"pkg/provisioner/p.go", `import _ "github.com/nfs-csi/nfs-csi/pkg/driver"`, "packages below pkg know pkg/volume and nobody beside them"},
	{"pkg/share/g.go", `import _ "google.golang.org/grpc/codes"`, "gRPC and its codes are made in pkg/driver"},
	{"pkg/share/l.go", `import _ "log"`, `log through the injected *slog.Logger`},
	{"pkg/volume/panic.go", `func f() { panic("x") }`, "a panic takes every other volume down with it"},
	{"pkg/volume/exit.go", "import \"os\"\n\nfunc g() { os.Exit(1) }", "main is the only exit"},
	{"pkg/volume/sleep.go", "import \"time\"\n\nfunc s() { time.Sleep(1) }", "wait for something, with a context and a deadline"},
	{"pkg/volume/init.go", `func init() {}`, "don't use `init` function"},
	{"pkg/volume/comment.go", "type Exported struct{}", "exported type Exported should have comment"},
	{"pkg/volume/long.go", "func long() {\n" + strings.Repeat("\tprintln()\n", 71) + "}", "Function 'long' is too long"},
	{"pkg/volume/lost.go", "import \"os\"\n\nfunc lost() { os.Rename(\"x\", \"y\") }", "Error return value of `os.Rename` is not checked"},
	{"pkg/volume/compare.go", "import \"io\"\n\nfunc end(err error) bool { return err == io.EOF }", "comparing with == will fail on wrapped errors"},
}

// What these may do is not to be found.
var fine = map[string]string{
	"pkg/volume/doc.go":             "// Package volume is fine.\npackage volume\n",
	"pkg/nfs/ok.go":                 "// Package nfs is fine.\npackage nfs\n\nimport _ \"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc\" // its own\n",
	"pkg/share/ok.go":               "// Package share is fine.\npackage share\n\nimport _ \"github.com/nfs-csi/nfs-csi/pkg/volume\" // the values\n",
	"pkg/driver/ok.go":              "// Package driver is fine.\npackage driver\n\nimport _ \"google.golang.org/grpc/codes\" // its own\n",
	"pkg/provisioner/ok.go":         "// Package provisioner is fine.\npackage provisioner\n\nimport _ \"k8s.io/client-go/kubernetes\" // its own\n",
	"pkg/share/ok_test.go":          "package share\n\nimport (\n\t\"testing\"\n\n\t_ \"github.com/nfs-csi/nfs-csi/pkg/nfs\" // a test may bring them together\n)\n\nfunc TestNothing(t *testing.T) { t.Log() }\n",
	"cmd/nfs-csi/main.go":           "// Command nfs-csi is fine.\npackage main\n\nimport \"os\"\n\nfunc main() { os.Exit(0) }\n",
	"pkg/share/internal/jobs/ok.go": "// Package jobs is fine.\npackage jobs\n",
	"stubs/grpc/codes/c.go":         "package codes\n",
	"stubs/grpc/go.mod":             "module google.golang.org/grpc\n",
	"stubs/k8s/go.mod":              "module k8s.io/client-go\n",
	"stubs/other/go.mod":            "module example.com/other\n",
	"stubs/other/o.go":              "package other\n",
	"pkg/mount/ok.go":               "// Package mount is fine.\npackage mount\n",
	"stubs/k8s/kubernetes/k.go":     "package kubernetes\n",
	"go.mod": `module github.com/nfs-csi/nfs-csi

go 1.26.0

require (
	example.com/other v0.0.0
	google.golang.org/grpc v0.0.0
	k8s.io/client-go v0.0.0
)

replace (
	example.com/other => ./stubs/other
	google.golang.org/grpc => ./stubs/grpc
	k8s.io/client-go => ./stubs/k8s
)
`,
}

func TestRules(t *testing.T) {
	root := t.TempDir()
	config, err := os.ReadFile("../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	add(t, root, ".golangci.yml", string(config))
	for name, text := range fine {
		add(t, root, name, text)
	}
	for _, b := range broken {
		name := filepath.Base(filepath.Dir(b.file))
		text := "// Package " + name + " breaks a rule.\npackage " + name + "\n\n" + b.code + "\n"
		add(t, root, b.file, strings.ReplaceAll(text, `import _ "`, "// For its effects.\nimport _ \""))
	}
	out := lint(t, root)
	for _, b := range broken {
		if !found(out, b.file, b.want) {
			t.Errorf("%s: %q is not found", b.file, b.want)
		}
	}
	for name := range fine {
		if strings.Contains(out, name+":") {
			t.Errorf("%s is blamed", name)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

func add(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// lint returns what the pinned linter says of the module in root.
func lint(t *testing.T, root string) string {
	t.Helper()
	path, err := exec.CommandContext(t.Context(), "../build", "golangci-lint").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(path)), "run", "--output.text.print-issued-lines=false")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOLANGCI_LINT_CACHE="+t.TempDir())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func found(out, file, want string) bool {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, file+":") && strings.Contains(line, want) {
			return true
		}
	}
	return false
}
