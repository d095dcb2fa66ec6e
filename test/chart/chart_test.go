// Package chart_test checks what the Helm chart makes, without a cluster.
package chart_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/nfs-csi/nfs-csi/tools/helm/chart"
)

const (
	root     = "../.."
	chartDir = root + "/deploy/charts/nfs-csi"
)

var update = flag.Bool("update", false, "write the snapshots in testdata anew")

// cases are the sets of values in testdata.
func cases(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("testdata/*/values.yaml")
	if err != nil || len(found) < 4 {
		t.Fatalf("found %v, %v", found, err)
	}
	for i := range found {
		found[i] = filepath.Base(filepath.Dir(found[i]))
	}
	return found
}

// values reads those of a case.
func values(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// render returns what the chart makes of values, by template.
func render(t *testing.T, values string) map[string]string {
	t.Helper()
	files, err := tryRender(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func tryRender(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	c, err := chart.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c.Render("my", "storage-system", values)
}

// objects decodes all documents as strictly as the API server does with fieldValidation=Strict. PodMonitors, PrometheusRules and
// VolumeSnapshotClasses are not Kubernetes's own and are left out.
func objects(t *testing.T, values string) []runtime.Object {
	t.Helper()
	var all []runtime.Object
	for name, text := range render(t, values) {
		all = append(all, decode(t, name, text)...)
	}
	return all
}

// decode is [objects] of what one template made.
func decode(t *testing.T, name, text string) []runtime.Object {
	t.Helper()
	if name == "NOTES.txt" || name == "podmonitor.yaml" || name == "prometheusrule.yaml" || name == "volumesnapshotclass.yaml" {
		return nil
	}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var all []runtime.Object
	for _, document := range chart.Documents(text) {
		object, _, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, document)
		}
		all = append(all, object)
	}
	return all
}

// only returns the objects of one kind.
func only[T runtime.Object](all []runtime.Object) []T {
	var some []T
	for _, object := range all {
		if o, ok := object.(T); ok {
			some = append(some, o)
		}
	}
	return some
}

// one returns the only object of a kind.
func one[T runtime.Object](t *testing.T, all []runtime.Object) T {
	t.Helper()
	some := only[T](all)
	if len(some) != 1 {
		t.Fatalf("there are %d %T, want one", len(some), *new(T))
	}
	return some[0]
}

// TestSnapshots shows in a review what a change of the chart changes. `go test -update` writes them anew.
func TestSnapshots(t *testing.T) {
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			got := snapshot(render(t, values(t, name)))
			path := filepath.Join("testdata", name, "rendered.yaml")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
				A: difflib.SplitLines(string(want)), FromFile: path, B: difflib.SplitLines(got), ToFile: "the chart now", Context: 3,
			})
			if err != nil || diff != "" {
				t.Errorf("%v\n%s\nif this is what you want: go test -update", err, diff)
			}
		})
	}
}

func snapshot(files map[string]string) string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		if name == "NOTES.txt" {
			text.WriteString("---\n# " + name + "\n" + commented(files[name]))
			continue
		}
		for _, document := range chart.Documents(files[name]) {
			text.WriteString("---\n# " + name + "\n" + document)
		}
	}
	return text.String()
}

func commented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		b.WriteString(strings.TrimRight("# "+line, " \n") + "\n")
	}
	return b.String()
}
