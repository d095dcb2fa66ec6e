package docs_test

import (
	"go/ast"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFuzzTargetsAreRun: tools/fuzz finds every fuzz target that Go does.
func TestFuzzTargetsAreRun(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, "tools/fuzz"), "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, dir := range []string{"cmd", "pkg"} {
		for _, file := range sources(t, dir) {
			for _, d := range parse(t, file).Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") && strings.HasSuffix(file, "_test.go") {
					rel, err := filepath.Rel(root, filepath.Dir(file))
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, rel+" "+f.Name.Name)
				}
			}
		}
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(got) < 20 {
		t.Errorf("tools/fuzz runs %q, there are %q", got, want)
	}
}
