package chart_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// rules is what a PrometheusRule and a file for promtool have in common.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// dashboard is what we look at of one.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, LegendFormat, RefID string }
	}
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// alerts are those of the PrometheusRule that the chart makes.
func alerts(t *testing.T) rules {
	t.Helper()
	var rule struct {
		APIVersion, Kind string
		Spec             rules
	}
	text := render(t, "metrics: {rules: {enabled: true}}")["prometheusrule.yaml"]
	if err := yaml.Unmarshal([]byte(text), &rule); err != nil || rule.Kind != "PrometheusRule" || rule.APIVersion != "monitoring.coreos.com/v1" {
		t.Fatalf("%v in\n%s", err, text)
	}
	if len(rule.Spec.Groups) != 1 || len(rule.Spec.Groups[0].Rules) < 10 {
		t.Fatalf("the rules are %+v", rule.Spec)
	}
	return rule.Spec
}

func grafana(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	c := one[*corev1.ConfigMap](t, objects(t, "metrics: {dashboard: {enabled: true}}"))
	if err := json.Unmarshal([]byte(c.Data["nfs-csi.json"]), &d); err != nil || c.Labels["grafana_dashboard"] != "1" {
		t.Fatalf("%v, labels %v", err, c.Labels)
	}
	if len(d.Panels) < 20 {
		t.Fatalf("the dashboard has %d panels", len(d.Panels))
	}
	return d
}

// metricsOf are the program's metrics by name, each with its type and labels, as docs/metrics.md lists them. A test of the program compares that
// list with what it shows.
func metricsOf(t *testing.T) map[string]metric {
	t.Helper()
	found := map[string]metric{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([a-z,]*) \\|").FindAllStringSubmatch(string(readFile(t, "docs/metrics.md")), -1) {
		found[row[1]] = metric{row[2], strings.Split(row[3], ",")}
	}
	if len(found) < 20 {
		t.Fatalf("found only %v", found)
	}
	return found
}

type metric struct {
	kind   string
	labels []string
}

// ofScrapes are the labels that Prometheus itself gives.
var ofScrapes = []string{"instance", "job"}

// unknown lists what a query asks for that the program does not show: metrics, and labels of those that it names.
func unknown(query string, known map[string]metric) ([]string, error) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return nil, err
	}
	var wrong []string
	has := slices.Clone(ofScrapes)
	var asked []string
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			m, problem := lookUp(n.Name, known)
			if problem != "" {
				wrong = append(wrong, problem)
			}
			has = append(has, m.labels...)
			for _, matcher := range n.LabelMatchers {
				if matcher.Name != model.MetricNameLabel && !slices.Contains(m.labels, matcher.Name) {
					wrong = append(wrong, fmt.Sprintf("%s has no label %s", n.Name, matcher.Name))
				}
			}
		case *parser.AggregateExpr:
			asked = append(asked, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				asked = append(asked, n.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	for _, label := range asked {
		if !slices.Contains(has, label) {
			wrong = append(wrong, "nothing in it has the label "+label)
		}
	}
	return wrong, nil
}

// lookUp finds the metric of a series: a histogram shows three.
func lookUp(series string, known map[string]metric) (metric, string) {
	if m, ok := known[series]; ok {
		if m.kind == "histogram" {
			return m, series + " is a histogram: ask for its _count, _sum or _bucket"
		}
		return m, ""
	}
	for _, suffix := range []string{"_count", "_sum", "_bucket"} {
		name, ok := strings.CutSuffix(series, suffix)
		if m := known[name]; ok && m.kind == "histogram" {
			if suffix == "_bucket" {
				m.labels = append(slices.Clone(m.labels), "le")
			}
			return m, ""
		}
	}
	return metric{}, "there is no " + series
}

// TestAlertsAskForWhatIsThere: each alert is PromQL, of metrics and labels that the program has, and troubleshooting.md says what to do.
func TestAlertsAskForWhatIsThere(t *testing.T) {
	known, help := metricsOf(t), string(readFile(t, "docs/troubleshooting.md"))
	var names []string
	for _, r := range alerts(t).Groups[0].Rules {
		names = append(names, r.Alert)
		if wrong, err := unknown(r.Expr, known); err != nil || len(wrong) > 0 {
			t.Errorf("%s: %v, %q", r.Alert, err, wrong)
		}
		if r.For == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s is not complete: %+v", r.Alert, r)
		}
		for _, m := range regexp.MustCompile(`\$labels\.([a-z]+)`).FindAllStringSubmatch(r.Annotations["summary"], -1) {
			if !strings.Contains(r.Expr, "("+m[1]) && !strings.Contains(r.Expr, ", "+m[1]) && m[1] != "instance" {
				t.Errorf("%s says %s, which its answer may not have", r.Alert, m[0])
			}
		}
		if !strings.Contains(help, "\n### "+r.Alert+"\n") {
			t.Errorf("docs/troubleshooting.md has no heading %s", r.Alert)
		}
	}
	slices.Sort(names)
	if n := len(names); n != len(slices.Compact(names)) {
		t.Error("two alerts have one name")
	}
}

// variables are what Grafana puts in before it asks.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$server", ".*")

// TestDashboardAsksForWhatIsThere: the same of the dashboard; no panel is empty or covers another.
func TestDashboardAsksForWhatIsThere(t *testing.T) {
	known, d := metricsOf(t), grafana(t)
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q is not right", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies over %q, or outside", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			if wrong, err := unknown(variables.Replace(target.Expr), known); err != nil || len(wrong) > 0 {
				t.Errorf("%s: %v, %q in %s", p.Title, err, wrong, target.Expr)
			}
		}
	}
	if q := d.Templating.List[1].Query; lookedUp(q, known) != "" {
		t.Errorf("the variable server asks %s: %s", q, lookedUp(q, known))
	}
}

// lookedUp says what is wrong with "label_values(METRIC, LABEL)".
func lookedUp(query string, known map[string]metric) string {
	m := regexp.MustCompile(`^label_values\(([a-z_]+), ([a-z]+)\)$`).FindStringSubmatch(query)
	if m == nil {
		return "not understood"
	}
	found, problem := lookUp(m[1], known)
	if problem == "" && !slices.Contains(found.labels, m[2]) {
		return "no such label"
	}
	return problem
}

// TestDocumentedQueriesAreRight: those that docs/metrics.md tells people to ask.
func TestDocumentedQueriesAreRight(t *testing.T) {
	_, text, _ := strings.Cut(string(readFile(t, "docs/metrics.md")), "## What to look at")
	known, n := metricsOf(t), 0
	for _, row := range regexp.MustCompile(`(?m)^\|.*\|$`).FindAllString(text, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row, -1) {
			n++
			if wrong, err := unknown(strings.ReplaceAll(m[1], `\|`, "|"), known); err != nil || len(wrong) > 0 {
				t.Errorf("%s: %v, %q", m[1], err, wrong)
			}
		}
	}
	if n < 5 {
		t.Errorf("found %d queries", n)
	}
}

// TestUnknown: the checks above find what they are for.
func TestUnknown(t *testing.T) {
	known := metricsOf(t)
	for query, want := range map[string]int{
		`nfs_csi_mounts_silent > 0`: 0,
		`sum by (server) (rate(nfs_csi_nfs_server_call_duration_seconds_count[5m]))`: 0,
		`nfs_csi_mount_silent > 0`:                                 1,
		`rate(nfs_csi_csi_call_duration_seconds[5m])`:              1,
		`nfs_csi_csi_call_duration_seconds_count{result="ok"}`:     1,
		`sum by (share) (nfs_csi_csi_call_duration_seconds_count)`: 1,
		`nfs_csi_removed_files_total_count`:                        1,
	} {
		if wrong, err := unknown(query, known); err != nil || len(wrong) != want {
			t.Errorf("%s: %q, %v; want %d", query, wrong, err, want)
		}
	}
	if _, err := unknown("sum by (", known); err == nil {
		t.Error("no error for what is no query")
	}
}

func TestNothingIsMonitoredUnasked(t *testing.T) {
	for name := range render(t, "") {
		if name == "prometheusrule.yaml" || name == "dashboard.yaml" || name == "podmonitor.yaml" {
			t.Errorf("there is %s", name)
		}
	}
}
