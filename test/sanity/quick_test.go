//go:build !guest

package sanity_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// The driver over memory: its validation, codes and idempotency, on any machine.
func TestSanity(t *testing.T) {
	store, mounter := new(drivertest.Store), new(drivertest.Mounter)
	run(t, under{
		store:   store,
		mounter: mounter,
		share:   volume.Location{Server: "nfs.example", Share: "/exports/k8s"},
		checkPath: func(path string) (sanity.PathKind, error) {
			if _, ok := mounter.Mounts()[filepath.Clean(path)]; ok {
				return sanity.PathIsDir, nil
			}
			return sanity.PathIsNotFound, nil
		},
	})
	if left, _, err := store.List(t.Context(), "", 0); err != nil || len(left) > 0 {
		t.Errorf("volumes left: %v, %v", left, err)
	}
	if left, _, err := store.ListSnapshots(t.Context(), volume.SnapshotFilter{}, "", 0); err != nil || len(left) > 0 {
		t.Errorf("snapshots left: %v, %v", left, err)
	}
	if left := mounter.Mounts(); len(left) > 0 {
		t.Errorf("mounts left: %v", left)
	}
}

// The judge is no rubber stamp.
func TestJudge(t *testing.T) {
	good := func() types.Report {
		spec := func(name string, state types.SpecState) types.SpecReport {
			return types.SpecReport{LeafNodeType: types.NodeTypeIt, LeafNodeText: name, State: state}
		}
		return types.Report{SuiteSucceeded: true, PreRunStats: types.PreRunStats{TotalSpecs: 4}, SpecReports: types.SpecReports{
			spec("works", types.SpecStatePassed), spec("is skipped", types.SpecStateSkipped), spec("is skipped", types.SpecStateSkipped),
			spec("is disabled", types.SpecStatePending), {LeafNodeType: types.NodeTypeReportAfterSuite, State: types.SpecStatePassed},
		}}
	}
	expected := []string{"is skipped", "is skipped"}
	for name, tt := range map[string]struct {
		change   func(r *types.Report)
		expected []string
		problem  string
	}{
		"good":          {func(*types.Report) {}, expected, ""},
		"list grows":    {func(*types.Report) {}, []string{"is skipped"}, "not in skipped.txt: is skipped"},
		"list shrinks":  {func(*types.Report) {}, append(slices.Clone(expected), "other"), "does not skip itself: other"},
		"failure":       {func(r *types.Report) { r.SpecReports[0].State = types.SpecStateFailed }, expected, "1 specs failed"},
		"panic":         {func(r *types.Report) { r.SpecReports[0].State = types.SpecStatePanicked }, expected, "1 specs failed"},
		"suite failure": {func(r *types.Report) { r.SuiteSucceeded = false }, expected, "0 specs failed"},
		"spec missing":  {func(r *types.Report) { r.PreRunStats.TotalSpecs++ }, expected, "4 specs of 5"},
		"nothing ran":   {func(r *types.Report) { *r = types.Report{SuiteSucceeded: true} }, nil, "0 specs of 0"},
		"disabled":      {func(r *types.Report) { r.SpecReports[0].State = types.SpecStatePending }, expected, "disables 2 specs"},
		"filter":        {func(r *types.Report) { r.SuiteConfig.SkipStrings = []string{"x"} }, expected, "filtered"},
		"retry":         {func(r *types.Report) { r.SuiteConfig.FlakeAttempts = 3 }, expected, "tried twice"},
	} {
		t.Run(name, func(t *testing.T) {
			report := good()
			tt.change(&report)
			problems := judge(report, countSpecs(report), tt.expected)
			if (len(problems) == 0) != (tt.problem == "") || !strings.Contains(strings.Join(problems, "; "), tt.problem) {
				t.Errorf("problems %q, want %q", problems, tt.problem)
			}
		})
	}
}

func TestParseSkipped(t *testing.T) {
	for _, text := range []string{"spec", "[a]\nspec", "[a] \n spec", "# comment\nspec"} {
		if skips, err := parseSkipped(text); err == nil {
			t.Errorf("parseSkipped(%q) = %v", text, skips)
		}
	}
	skips, err := parseSkipped("# comment\n\n[node A] no\n  one\n  two\n[node B] why\n  three\n")
	if err != nil || len(skips) != 2 || skips[1].capability != "node B" || !slices.Equal(specs(skips), []string{"one", "two", "three"}) {
		t.Errorf("parseSkipped: %v, %v", skips, err)
	}
}
