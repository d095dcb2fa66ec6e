// Package sanity_test runs csi-sanity against the driver, in process and through real unix sockets: see README.md.
package sanity_test

import (
	_ "embed" // skipped.txt
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/uuid"
	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

//go:embed skipped.txt
var skipped string

// under says what csi-sanity runs against.
type under struct {
	store     driver.Store
	mounter   driver.Mounter
	share     volume.Location
	checkPath func(path string) (sanity.PathKind, error) // nil: csi-sanity looks at the disk
}

// run serves the controller and the node on a socket each, as they are deployed, runs all specs against them and judges
// the result. A process can do this once only: that is ginkgo's rule.
func run(t *testing.T, u under) {
	dir := t.TempDir()
	config := sanity.NewTestConfig()
	config.ControllerAddress, config.Address = serve(t, dir, u)
	config.TargetPath, config.StagingPath = filepath.Join(dir, "target"), filepath.Join(dir, "staging")
	config.TestVolumeParameters = map[string]string{volume.ParamServer: u.share.Server, volume.ParamShare: u.share.Share}
	config.TestSnapshotParameters = config.TestVolumeParameters
	config.TestVolumeMutableParameters = map[string]string{
		volume.ParamOnDelete: "delete", volume.ParamArchiveRetention: "24h", volume.ParamMountPermissions: "0770", volume.ParamUID: "1000", volume.ParamGID: "1000",
	}
	config.IDGen = handles{share: u.share}
	config.CheckPath = u.checkPath

	gomega.RegisterFailHandler(ginkgo.Fail)
	suite := sanity.GinkgoTest(&config)
	var report types.Report
	ginkgo.ReportAfterSuite("result", func(r types.Report) { report = r })
	ginkgo.RunSpecs(t, "csi-sanity")
	suite.Finalize()

	expected, err := parseSkipped(skipped)
	if err != nil {
		t.Fatal(err)
	}
	result := countSpecs(report)
	fmt.Println("csi-sanity:", result)
	for _, problem := range append(judge(report, result, specs(expected)), declared(t, config, expected)...) {
		t.Error(problem)
	}
}

// serve answers the two endpoints of the driver.
func serve(t *testing.T, dir string, u under) (controller, node string) {
	t.Helper()
	log := drivertest.Log(t)
	identity, err := driver.NewIdentity(driver.DefaultName, "sanity")
	if err != nil {
		t.Fatal(err)
	}
	nodeService, err := driver.NewNode(u.mounter, "sanity-node", nil)
	if err != nil {
		t.Fatal(err)
	}
	controllerService := driver.NewController(u.store, volume.Defaults{Server: u.share.Server, Share: u.share.Share}, log)
	controller, node = "unix://"+filepath.Join(dir, "controller.sock"), "unix://"+filepath.Join(dir, "node.sock")
	calls := driver.Calls{Log: log}
	drivertest.Start(t, controller, driver.Services{Identity: identity, Controller: controllerService}, calls)
	drivertest.Start(t, node, driver.Services{Identity: identity, Node: nodeService}, calls)
	return controller, node
}

// handles makes IDs of volumes and nodes that do not exist.
type handles struct {
	share volume.Location
}

// GenerateUniqueValidVolumeID makes a well-formed handle, so that the driver has to look for its directory.
func (h handles) GenerateUniqueValidVolumeID() string {
	return volume.ID{Location: h.share, Dir: volume.Dir("absent-" + uuid.NewString()), Policy: volume.Delete}.String()
}

// GenerateInvalidVolumeID makes the handle of a static PersistentVolume.
func (h handles) GenerateInvalidVolumeID() string { return "free text" }

// GenerateUniqueValidNodeID makes a node's name.
func (h handles) GenerateUniqueValidNodeID() string { return "node-" + uuid.NewString() }

// GenerateInvalidNodeID makes what no node is called.
func (h handles) GenerateInvalidNodeID() string { return "no node" }

// result counts specs by their end.
type result struct {
	passed, failed, pending int
	skipped                 []string // full names
}

func (r result) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d self-skipped, %d disabled by csi-test itself", r.passed, r.failed, len(r.skipped), r.pending)
}

func countSpecs(report types.Report) result {
	var r result
	for _, spec := range report.SpecReports {
		if spec.LeafNodeType != types.NodeTypeIt {
			continue
		}
		switch spec.State {
		case types.SpecStatePassed:
			r.passed++
		case types.SpecStateSkipped:
			r.skipped = append(r.skipped, spec.FullText())
		case types.SpecStatePending:
			r.pending++
		default:
			r.failed++
		}
	}
	return r
}

// judge lists what is wrong with a run. Failures of specs are ginkgo's to report; here they are counted again, so that no
// setting of ginkgo can hide one.
func judge(report types.Report, r result, expected []string) []string {
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	c := report.SuiteConfig
	if len(c.FocusStrings)+len(c.SkipStrings)+len(c.FocusFiles)+len(c.SkipFiles) > 0 || c.LabelFilter != "" || c.DryRun || c.FlakeAttempts > 1 {
		problem("specs are filtered, tried twice or not run at all: remove the flags of ginkgo")
	}
	if !report.SuiteSucceeded || r.failed > 0 {
		problem("%d specs failed", r.failed)
	}
	if sum := r.passed + r.failed + r.pending + len(r.skipped); r.passed == 0 || sum != report.PreRunStats.TotalSpecs {
		problem("%d specs of %d are accounted for, %d passed", sum, report.PreRunStats.TotalSpecs, r.passed)
	}
	if r.pending != 1 { // "pagination should detect volumes added between pages ...", which csi-test disabled as fragile
		problem("csi-test disables %d specs, it was one", r.pending)
	}
	for _, s := range without(r.skipped, expected) {
		problem("skips itself, but is not in skipped.txt: %s", s)
	}
	for _, s := range without(expected, r.skipped) {
		problem("is in skipped.txt, but does not skip itself: %s", s)
	}
	return problems
}

func without(all, those []string) []string {
	rest := map[string]int{}
	for _, s := range all {
		rest[s]++
	}
	for _, s := range those {
		rest[s]--
	}
	maps.DeleteFunc(rest, func(_ string, n int) bool { return n <= 0 })
	return slices.Sorted(maps.Keys(rest))
}

// skip is a capability that the driver does not declare and the specs that therefore skip themselves.
type skip struct {
	capability string // "controller CLONE_VOLUME"
	specs      []string
}

func specs(skips []skip) []string {
	var all []string
	for _, s := range skips {
		all = append(all, s.specs...)
	}
	return all
}

// declared finds the capabilities among skips that the driver does declare: then its specs must not be skipped.
func declared(t *testing.T, config sanity.TestConfig, skips []skip) []string {
	t.Helper()
	has := map[string]bool{}
	node, controller := drivertest.Dial(t, config.Address), drivertest.Dial(t, config.ControllerAddress)
	plugin, err := csi.NewIdentityClient(node).GetPluginCapabilities(t.Context(), &csi.GetPluginCapabilitiesRequest{})
	for _, c := range plugin.GetCapabilities() {
		has["plugin "+c.GetService().GetType().String()] = true
	}
	ofController, err2 := csi.NewControllerClient(controller).ControllerGetCapabilities(t.Context(), &csi.ControllerGetCapabilitiesRequest{})
	for _, c := range ofController.GetCapabilities() {
		has["controller "+c.GetRpc().GetType().String()] = true
	}
	ofNode, err3 := csi.NewNodeClient(node).NodeGetCapabilities(t.Context(), &csi.NodeGetCapabilitiesRequest{})
	for _, c := range ofNode.GetCapabilities() {
		has["node "+c.GetRpc().GetType().String()] = true
	}
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	var problems []string
	for _, s := range skips {
		if has[s.capability] {
			problems = append(problems, fmt.Sprintf("the driver declares %s, which is in skipped.txt", s.capability))
		}
	}
	return problems
}

// parseSkipped reads skipped.txt: lines "[CAPABILITY] reason", each followed by the names of specs.
func parseSkipped(text string) ([]skip, error) {
	var skips []skip
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			capability, reason, _ := strings.Cut(line[1:], "]")
			if strings.TrimSpace(reason) == "" {
				return nil, fmt.Errorf("skipped.txt: %q has no reason", line)
			}
			skips = append(skips, skip{capability: capability})
		case len(skips) == 0:
			return nil, fmt.Errorf("skipped.txt: %q stands below no capability", line)
		default:
			last := &skips[len(skips)-1]
			last.specs = append(last.specs, line)
		}
	}
	return skips, nil
}
