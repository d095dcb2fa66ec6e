package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"google.golang.org/grpc/codes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/provisioner"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

var update = flag.Bool("update", false, "write the table of docs/metrics.md anew")

// controllerMetrics is what a controller shows that has done a bit of everything.
func controllerMetrics(t *testing.T) *metrics {
	t.Helper()
	m := newMetrics()
	stats := func() []share.Stats { return make([]share.Stats, 1) }
	q := m.controller(work{stats, func() []share.Copy { return make([]share.Copy, 1) }, time.Now})
	if _, err := provisioner.New(provisioner.Config{DriverName: "d", Client: fake.NewClientset(), Log: quietLog(), Metrics: m.registry}); err != nil {
		t.Fatal(err)
	}
	m.operation("create", time.Second, nil)
	m.worksGauge().WithLabelValues("server:/share").Set(1)
	q.NewDepthMetric("claims").Inc()
	q.NewAddsMetric("claims").Inc()
	q.NewLatencyMetric("claims").Observe(1)
	q.NewWorkDurationMetric("claims").Observe(1)
	q.NewUnfinishedWorkSecondsMetric("claims").Set(1)
	q.NewLongestRunningProcessorSecondsMetric("claims").Set(1)
	q.NewRetriesMetric("claims").Inc()
	q.NewLeaderMetric().On("lease")
	filled(m)
	return m
}

// nodeMetrics is the same of a node.
func nodeMetrics() *metrics {
	m := newMetrics()
	m.watch(new(drivertest.Mounter), "/var/lib/kubelet")
	m.gauge(registeredName, registeredHelp, func() float64 { return 1 })
	m.mount("mount", time.Now(), nil)
	filled(m)
	return m
}

func filled(m *metrics) {
	m.call("CreateVolume", time.Second, codes.OK)
	m.nfs("server")("mkdir", time.Second, nil)
}

// TestMetricsFollowTheConventions of Prometheus, as its linter knows them, but for what the provisioning library calls its own.
func TestMetricsFollowTheConventions(t *testing.T) {
	for _, m := range []*metrics{controllerMetrics(t), nodeMetrics()} {
		families, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range slices.DeleteFunc(problems, func(p promlint.Problem) bool { return !strings.HasPrefix(p.Metric, "nfs_csi_") }) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestMetricsAreDocumented: docs/metrics.md lists what both pods show, and nothing else.
func TestMetricsAreDocumented(t *testing.T) {
	const begin, end = "<!-- made by go test ./cmd/nfs-csi -update -->\n", "<!-- end -->\n"
	path := filepath.Join("..", "..", "docs", "metrics.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	want := before + begin + table(t) + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is not what the program shows: go test ./cmd/nfs-csi -run TestMetricsAreDocumented -update", path)
	}
}

func table(t *testing.T) string {
	t.Helper()
	pods := map[string][]string{}
	for name, m := range map[string]*metrics{"controller": controllerMetrics(t), "node": nodeMetrics()} {
		for _, row := range rows(t, m.registry) {
			pods[row] = append(pods[row], name)
		}
	}
	var lines []string
	for row, names := range pods {
		slices.Sort(names)
		lines = append(lines, strings.Replace(row, "PODS", strings.Join(names, ", "), 1))
	}
	slices.Sort(lines)
	text := "| metric | type | labels | pod | what it is |\n| --- | --- | --- | --- | --- |\n" + strings.Join(lines, "")
	var names []string
	for _, r := range results {
		names = append(names, "`"+r.name+"`")
	}
	return text + "\nThe label `result` is `ok`, " + strings.Join(names, ", ") + " or `error`.\n"
}

// description is how a [prometheus.Desc] prints.
var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "([^"]*)", unit: "[^"]*", constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}\}$`)

// rows has a line of the table for each metric of ours and the provisioning library's, and checks that its type is what its name says.
func rows(t *testing.T, r *prometheus.Registry) []string {
	t.Helper()
	descs := make(chan *prometheus.Desc, 1000)
	r.Describe(descs)
	close(descs)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, f := range families {
		types[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	var found []string
	for d := range descs {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		if strings.HasPrefix(m[1], "go_") || strings.HasPrefix(m[1], "process_") {
			continue
		}
		kind := typeOf(m[1])
		if shown := types[m[1]]; shown != "" && shown != kind {
			t.Errorf("%s is a %s", m[1], shown)
		}
		found = append(found, fmt.Sprintf("| `%s` | %s | %s | PODS | %s |\n", m[1], kind, m[3], m[2]))
	}
	if len(found) < 6 {
		t.Fatalf("found only %q", found)
	}
	return found
}

// typeOf says the type of a metric by its name, as the conventions have it.
func typeOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case strings.HasSuffix(name, "_duration_seconds"):
		return "histogram"
	}
	return "gauge"
}

func TestResults(t *testing.T) {
	for want, err := range map[string]error{
		"ok": nil, "unavailable": fmt.Errorf("a: %w", nfs.ErrUnreachable), "refused": nfs.ErrRefused, "not_found": &fs.PathError{Err: syscall.ENOENT},
		"exists": syscall.EEXIST, "busy": volume.ErrBusy, "no_space": syscall.EDQUOT, "invalid": volume.ErrRange, "canceled": context.Canceled,
		"timeout": context.DeadlineExceeded, "error": errors.New("surprise"),
	} {
		if got := result(err); got != want {
			t.Errorf("result of %v is %s, want %s", err, got, want)
		}
	}
}

// TestManyServersAreOne: whoever names many servers cannot fill Prometheus.
func TestManyServersAreOne(t *testing.T) {
	m := newMetrics()
	for i := range 3 * maxServers {
		m.nfs(fmt.Sprint("server-", i))("mkdir", time.Second, nil)
		m.nfs("server-0")("mkdir", time.Second, nil)
	}
	if n := series(m.servers); n != maxServers+1 {
		t.Errorf("%d servers are shown, want %d", n, maxServers+1)
	}
	if n := series(m.nfss); n != 1 {
		t.Errorf("%d operations are shown, want 1", n)
	}
}

// series counts those that a vector shows.
func series(c prometheus.Collector) int {
	found := make(chan prometheus.Metric, 1000)
	c.Collect(found)
	return len(found)
}

// TestMountsAreWatched: what the node does is measured, and a volume is silent until its server answers or it is gone.
func TestMountsAreWatched(t *testing.T) {
	m, mounter := newMetrics(), new(drivertest.Mounter)
	w := m.watch(mounter, "/nowhere")
	p := volume.Mountpoint{Location: volume.Location{Server: "s", Share: "/e"}, Path: "/e/d"}
	target := filepath.Join(t.TempDir(), "target")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	silence := func(err error) { mounter.Fail(func(context.Context) error { return err }) }
	silent := func(want float64) {
		t.Helper()
		if got := w.countSilent(); got != want {
			t.Errorf("%v are silent, want %v", got, want)
		}
	}
	must(w.Mount(t.Context(), p, false, target))
	for range 2 {
		silence(volume.ErrUnavailable)
		if _, err := w.Usage(t.Context(), target); !errors.Is(err, volume.ErrUnavailable) {
			t.Fatal(err)
		}
		silent(1)
		silence(nil)
		_, err := w.Usage(t.Context(), target)
		must(err)
		silent(0)
	}
	silence(volume.ErrUnavailable)
	if _, err := w.Usage(t.Context(), target); err == nil {
		t.Fatal("the fake does not fail")
	}
	silence(nil)
	must(w.Unmount(t.Context(), target))
	silent(0)
	mounter.Fail(func(context.Context) error { // the question is under way when the pod goes
		mounter.Fail(nil)
		must(w.Unmount(t.Context(), target))
		return volume.ErrUnavailable
	})
	if _, err := w.Usage(t.Context(), target); err == nil {
		t.Fatal("the fake does not fail")
	}
	silent(0)
	if n := series(m.node); n != 4 { // mount, unmount, usage ok and unavailable
		t.Errorf("%d series", n)
	}
	if countMounts("/nowhere") != 0 {
		t.Error("there are mounts where nothing is")
	}
}
