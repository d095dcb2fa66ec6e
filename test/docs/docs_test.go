// Package docs_test holds the documentation to what is in the tree.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A document names a test as `directory TestName`, and a case of a suite as `directory TestName/case`.
var (
	reference = regexp.MustCompile("`([a-z0-9/_-]+) ((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)(?:/([^`]+))?`")
	testName  = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9_]*\b`)
)

// unproven lists what a document says of tests that is not so: tests that are not there, and names without their directory.
func unproven(text string, there func(dir, test, part string) bool) []string {
	var wrong []string
	for _, m := range reference.FindAllStringSubmatch(text, -1) {
		if !there(m[1], m[2], m[3]) {
			wrong = append(wrong, m[0]+" does not exist")
		}
	}
	for _, name := range testName.FindAllString(reference.ReplaceAllString(text, ""), -1) {
		wrong = append(wrong, name+" is named without its directory")
	}
	return wrong
}

// TestNamedTestsExist: every test that a document calls as a witness exists.
func TestNamedTestsExist(t *testing.T) {
	for document, least := range map[string]int{"docs/reliability.md": 20, "docs/security.md": 30, "docs/operations.md": 8} {
		text := read(t, document)
		if n := len(reference.FindAllString(text, -1)); n < least {
			t.Errorf("%s names %d tests", document, n)
		}
		for _, wrong := range unproven(text, exists(t)) {
			t.Errorf("%s: %s", document, wrong)
		}
	}
}

// TestUnproven: the check above finds what it is for.
func TestUnproven(t *testing.T) {
	there := exists(t)
	for text, want := range map[string]int{
		"`test/docs TestUnproven`":                    0,
		"`pkg/share TestConformance/HostileLayout`":   0,
		"`pkg/share TestConformance/FriendlyLayout`":  1,
		"`test/docs TestUnprovenn`":                   1,
		"`test/doc TestUnproven`":                     1,
		"TestUnproven":                                1,
		"`TestUnproven` and `test/docs TestUnproven`": 1,
	} {
		if got := unproven(text, there); len(got) != want {
			t.Errorf("%s: %q, want %d", text, got, want)
		}
	}
}

// exists tells whether a directory has a test, and that or one below it the name of its part in a literal.
func exists(t *testing.T) func(dir, test, part string) bool {
	known := map[string]*ast.File{}
	parse := func(file string) *ast.File {
		if known[file] == nil {
			known[file] = parse(t, file)
		}
		return known[file]
	}
	return func(dir, test, part string) bool {
		files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		declares := func(file string) bool {
			return slices.ContainsFunc(parse(file).Decls, func(d ast.Decl) bool {
				f, ok := d.(*ast.FuncDecl)
				return ok && f.Recv == nil && f.Name.Name == test
			})
		}
		if !slices.ContainsFunc(files, declares) {
			return false
		}
		return part == "" || slices.ContainsFunc(sources(t, dir), func(file string) bool {
			return slices.Contains(literals(parse(file)), part)
		})
	}
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// sources are the Go files of a directory and those below it.
func sources(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
