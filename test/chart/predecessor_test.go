package chart_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	guide = root + "/docs/migrate-from-csi-driver-nfs.md"
	// theirName is what every release has that takes over.
	theirName = "driver: {name: nfs.csi.k8s.io}\n"
)

// predecessorValues are all values of csi-driver-nfs's chart, version 4.
var predecessorValues = strings.Fields(`
	customLabels imagePullSecrets kubeletDir nodeDriverRegistrar storageClasses
	image.baseRepo image.nfs.repository image.nfs.tag image.nfs.pullPolicy image.csiProvisioner image.csiResizer image.csiSnapshotter image.livenessProbe
	image.nodeDriverRegistrar image.externalSnapshotter
	serviceAccount.create serviceAccount.controller serviceAccount.node rbac.create rbac.name
	driver.name driver.mountPermissions
	feature.enableFSGroupPolicy feature.enableInlineVolume feature.propagateHostMountOptions
	controller.name controller.replicas controller.strategyType controller.runOnMaster controller.runOnControlPlane controller.enableSnapshotter
	controller.useTarCommandInSnapshot controller.enableSnapshotCompression controller.livenessProbe.healthPort controller.logLevel controller.workingMountDir
	controller.dnsPolicy controller.defaultOnDeletePolicy controller.affinity controller.nodeSelector controller.priorityClassName controller.tolerations
	controller.resources.csiProvisioner controller.resources.csiResizer controller.resources.csiSnapshotter controller.resources.livenessProbe controller.resources.nfs
	controller.revisionHistoryLimit
	node.name node.dnsPolicy node.maxUnavailable node.logLevel node.livenessProbe.healthPort node.affinity node.nodeSelector node.priorityClassName node.tolerations
	node.resources.livenessProbe node.resources.nodeDriverRegistrar node.resources.nfs node.revisionHistoryLimit
	externalSnapshotter.enabled externalSnapshotter.name externalSnapshotter.priorityClassName externalSnapshotter.deletionPolicy externalSnapshotter.controller.replicas
	externalSnapshotter.resources externalSnapshotter.customResourceDefinitions.enabled
	volumeSnapshotClass storageClass`)

// row is one of the guide's table: a value of the old chart, and what it says of it.
type row struct{ path, value, verdict string }

var tableRow = regexp.MustCompile("(?m)^\\| `([a-zA-Z.]+): (.+?)` \\| (.+) \\|$")

// guideValues reads the guide's table of chart values.
func guideValues(t *testing.T, guide string) []row {
	t.Helper()
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "<!-- values: each row is tried by test/chart -->")
	table, _, ends := strings.Cut(after, "<!-- end of values -->")
	if !ok || !ends {
		t.Fatal("the guide has no table of values")
	}
	var rows []row
	for _, m := range tableRow.FindAllStringSubmatch(table, -1) {
		rows = append(rows, row{m[1], m[2], m[3]})
	}
	if lines := strings.Count(table, "\n| `"); lines != len(rows) {
		t.Fatalf("%d rows are read of %d", len(rows), lines)
	}
	return rows
}

// under writes path and value as a file of values has them, beside those of base.
func under(t *testing.T, base, path, value string) string {
	t.Helper()
	var all map[string]any
	var v any
	if err := errors.Join(yaml.Unmarshal([]byte(base), &all), yaml.Unmarshal([]byte(value), &v)); err != nil {
		t.Fatalf("%s: %s: %v", path, value, err)
	}
	at := all
	steps := strings.Split(path, ".")
	for _, step := range steps[:len(steps)-1] {
		if _, ok := at[step].(map[string]any); !ok {
			at[step] = map[string]any{}
		}
		at = at[step].(map[string]any)
	}
	at[steps[len(steps)-1]] = v
	text, err := yaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every row of the guide is true: what is the same has its effect, what is moved has that of its new place, what has no effect
// changes nothing and is named in NOTES, and what is refused is refused with these words.
func TestValuesOfCSIDriverNFS(t *testing.T) {
	var known []string
	for _, r := range guideValues(t, guide) {
		known = append(known, r.path)
		t.Run(r.path+": "+r.value, func(t *testing.T) { r.isTrue(t, theirName) })
	}
	for _, path := range predecessorValues {
		if !slices.Contains(known, path) {
			t.Errorf("the guide has no row for %s", path)
		}
	}
}

// isTrue tries what a row says, with these values beside it.
func (r row) isTrue(t *testing.T, base string) {
	kind, rest, _ := strings.Cut(r.verdict, " ")
	switch {
	case r.verdict == "same":
		files := render(t, under(t, base, r.path, r.value))
		if maps.Equal(files, render(t, base)) && r.path != "driver.name" {
			t.Error("it has no effect")
		}
	case kind == "becomes":
		m := regexp.MustCompile("^becomes `([a-zA-Z.]+): (.+)`$").FindStringSubmatch(r.verdict)
		if m == nil {
			t.Fatalf("what it becomes is not read: %s", r.verdict)
		}
		got, want := render(t, under(t, base, r.path, r.value)), render(t, under(t, base, m[1], m[2]))
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%s is\n%s\nwant\n%s", name, got[name], want[name])
			}
		}
		if maps.Equal(want, render(t, base)) {
			t.Error("its new place has no effect")
		}
	case strings.HasPrefix(r.verdict, "no effect"):
		got, plain := render(t, under(t, base, r.path, r.value)), render(t, base)
		for name := range plain {
			if name != "NOTES.txt" && got[name] != plain[name] {
				t.Errorf("%s is changed to\n%s", name, got[name])
			}
		}
	case kind == "refused:":
		_, err := tryRender(t, under(t, base, r.path, r.value))
		if err == nil || !strings.Contains(err.Error(), strings.Trim(rest, "`")) {
			t.Errorf("the error is %v, without %s", err, rest)
		}
	default:
		t.Errorf("what does %q mean?", r.verdict)
	}
}

// A whole file of old values, as `helm get values -o yaml` prints it, is taken as it is.
func TestWholeFileOfCSIDriverNFS(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "csi-driver-nfs.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := render(t, string(text)+"nfs: {server: nfs.example.com, share: /exports/k8s}\n")
	for name, want := range map[string][]string{
		"storageclass.yaml":        {"name: nfs-csi\n", "name: second\n", `server: "nfs-server.default.svc.cluster.local"`, `is-default-class: "true"`, "- nfsvers=4.1", "provisioner: nfs.csi.k8s.io"},
		"volumesnapshotclass.yaml": {"name: csi-nfs-snapclass", "driver: nfs.csi.k8s.io"},
		"controller.yaml":          {"--driver-name=nfs.csi.k8s.io", "--default-on-delete=retain", "--v=5", "--snapshotter=auto"},
		"node.yaml":                {"/var/lib/kubelet/plugins/nfs.csi.k8s.io", ":29653"},
		"csidriver.yaml":           {"name: nfs.csi.k8s.io", "attachRequired: false", "fsGroupPolicy: File"},
		"NOTES.txt":                {"Values of csi-driver-nfs without effect here:", "controller.workingMountDir", "image.csiProvisioner"},
	} {
		for _, w := range want {
			if !strings.Contains(files[name], w) {
				t.Errorf("%s has no %q:\n%s", name, w, files[name])
			}
		}
	}
	for _, name := range []string{"controller.yaml", "helm-test.yaml"} { // the API server knows no such resource
		if strings.Contains(files[name], "csiProvisioner") {
			t.Errorf("%s has the resources of a container that is not there:\n%s", name, files[name])
		}
	}
	if strings.Contains(files["storageclass.yaml"], "nil") {
		t.Errorf("an empty parameter is written:\n%s", files["storageclass.yaml"])
	}
}

// All that must be changed is said at once; and old values without the driver's old name would leave its volumes without a driver.
func TestOldValuesThatMustBeChanged(t *testing.T) {
	_, err := tryRender(t, "feature: {enableInlineVolume: true, propagateHostMountOptions: true}\ncontroller: {runOnMaster: true}\nimage: {nfs: {tag: v4.9.0}}")
	for _, want := range []string{"docs/migrate-from-csi-driver-nfs.md", "- feature.enableInlineVolume", "- feature.propagateHostMountOptions", "- controller.runOnMaster",
		"- image.nfs.tag", "- driver.name: feature is a value of csi-driver-nfs", "driver.name=nfs.csi.k8s.io"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
	for _, fine := range []string{"feature: {enableFSGroupPolicy: true}", "feature: {enableInlineVolume: false}"} {
		if _, err := tryRender(t, theirName+fine); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
}
