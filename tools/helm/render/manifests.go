package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/nfs-csi/nfs-csi/tools/helm/chart"
)

// manifestDirs hold generated files only.
var manifestDirs = []string{"deploy/manifests", "deploy/rbac", "deploy/storageclass"}

const header = "# Made from " + chartDir + " by `make manifests`: change the chart, not this file.\n"

// namespaceManifest comes first in its directory, since the other objects live in it. The node's pods are privileged, for mounting.
const namespaceManifest = header + `apiVersion: v1
kind: Namespace
metadata:
  name: ` + namespace + `
  labels:
    pod-security.kubernetes.io/enforce: privileged
`

// manifests renders the chart into the directories of its objects.
func manifests(c *chart.Chart) (map[string]string, error) {
	rendered, err := c.Render(release, namespace, values)
	if err != nil {
		return nil, fmt.Errorf("rendering the chart: %w", err)
	}
	files := map[string]string{"deploy/manifests/00-namespace.yaml": namespaceManifest}
	for name, text := range rendered {
		text = withoutHelm(text)
		switch name {
		case "NOTES.txt", "helm-test.yaml": // which are Helm's to show and to run
		case "rbac.yaml":
			files[filepath.Join("deploy/rbac", name)] = joined(chart.Documents(text))
		case "storageclass.yaml":
			if err := classes(files, text); err != nil {
				return nil, err
			}
		default:
			files[filepath.Join("deploy/manifests", name)] = joined(chart.Documents(text))
		}
	}
	return files, nil
}

// classes writes each class to a file of its own, because a user wants one of them.
func classes(files map[string]string, text string) error {
	for _, document := range chart.Documents(text) {
		var class struct {
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(document), &class); err != nil {
			return fmt.Errorf("reading a rendered class: %w", err)
		}
		files[filepath.Join("deploy/storageclass", class.Metadata.Name+".yaml")] = joined([]string{document})
	}
	return nil
}

func joined(documents []string) string { return header + strings.Join(documents, "---\n") }

// withoutHelm takes off the labels that say an object is Helm's, which these are not.
func withoutHelm(text string) string {
	return regexp.MustCompile(`(?m)^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n`).ReplaceAllString(text, "")
}
