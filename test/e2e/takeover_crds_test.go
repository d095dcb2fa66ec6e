//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withCRD writes a chart that brings CRDs among its templates and a controller for them, both by one value, as csi-driver-nfs brings those
// of snapshots.
func (n namespace) withCRD(kinds ...string) (chart string) {
	n.t.Helper()
	chart = n.t.TempDir()
	files := map[string]string{
		"Chart.yaml":  "apiVersion: v2\nname: crds\nversion: 1.0.0\n",
		"values.yaml": "externalSnapshotter: {enabled: true}\n",
	}
	for _, kind := range kinds {
		files["templates/"+kind+".yaml"] = "{{ if .Values.externalSnapshotter.enabled }}\n" + n.manifest("crd.yaml", map[string]any{"Kind": kind, "Plural": plural(kind), "Group": n.group()}) + "{{ end }}\n"
	}
	files["templates/stays.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stays}\n"
	for name, text := range files {
		file := filepath.Join(chart, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			n.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
	return chart
}

// plural is what an API server calls a kind in paths.
func plural(kind string) string {
	name := strings.ToLower(kind)
	if strings.HasSuffix(name, "s") {
		return name + "es"
	}
	return name + "s"
}

// group is an API group of this test alone.
func (n namespace) group() string { return n.name + ".nfs-csi.test" }

// docCommands are the commands of the guide's recipe, with its names replaced.
func docCommands(t *testing.T, replace *strings.Replacer) []string {
	t.Helper()
	text, err := os.ReadFile(variable("E2E_GUIDE", "../../docs/migrate-from-csi-driver-nfs.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- recipe: run by test/e2e TestCRDsLeaveTheirRelease -->\n  ```\n")
	recipe, _, closed := strings.Cut(rest, "  ```\n")
	if !ok || !closed {
		t.Fatal("the guide has no recipe")
	}
	var commands []string
	for command := range strings.SplitSeq(strings.ReplaceAll(recipe, "\\\n", " "), "\n") {
		command = replace.Replace(strings.Join(strings.Fields(command), " "))
		if command != "" && !strings.Contains(command, "apply -k") { // a controller from the internet
			commands = append(commands, command)
		}
	}
	return commands
}

// The guide's recipe takes CRDs out of the release that brought them, with the objects in them: these outlive an upgrade without the
// CRDs, and the release. One that was left out of the recipe goes, which is what the recipe is for.
func TestCRDsLeaveTheirRelease(t *testing.T) {
	n := newNamespace(t, "crds")
	kinds := []string{"VolumeSnapshot", "VolumeSnapshotContent", "VolumeSnapshotClass"}
	crd := func(kind string) string { return plural(kind) + "." + n.group() }
	chart := n.withCRD(append(kinds, "Forgotten")...)
	t.Cleanup(func() {
		_ = n.helm("uninstall", "taken", "--ignore-not-found")
		for _, kind := range append(kinds, "Forgotten") {
			_, _ = n.try("delete", "crd", crd(kind), "--ignore-not-found", "--wait=false")
		}
	})
	if err := n.helm("install", "taken", chart); err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		n.waits(claimDeadline, "wait", "--for=condition=Established", "crd/"+crd(kind))
		n.applyText(fmt.Sprintf("apiVersion: %s/v1\nkind: %s\nmetadata: {name: precious}\nspec: {source: there}\n", n.group(), kind))
	}

	values := filepath.Join(t.TempDir(), "old-values.yaml")
	if err := os.WriteFile(values, []byte("externalSnapshotter: {enabled: true}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := docCommands(t, strings.NewReplacer("helm upgrade csi-driver-nfs csi-driver-nfs/csi-driver-nfs --version OLD", variable("E2E_HELM", "helm")+" upgrade taken "+chart,
		"kubectl", n.kubectl, "snapshot.storage.k8s.io", n.group(), "kube-system", n.name, "old-values.yaml", values))
	if len(commands) != 3 {
		t.Fatalf("the recipe is %q", commands)
	}
	for _, command := range commands {
		ctx, cancel := contextFor(podDeadline)
		out, err := exec.CommandContext(ctx, "sh", "-c", command).CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	n.eventually("the CRD that nobody took out goes", goneDeadline, n.absent("crd", crd("Forgotten")))
	if err := n.helm("uninstall", "taken", "--wait"); err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		if source := strings.TrimSpace(n.in("get", crd(kind), "precious", "-o", "jsonpath={.spec.source}")); source != "there" {
			t.Errorf("%s holds %q", kind, source)
		}
	}
	if err := n.absent("-n", n.name, "configmap", "stays")(); err != nil {
		t.Errorf("the release is not gone: %v", err)
	}
}
