// Package chart renders a Helm chart by Helm's own engine, without a cluster.
package chart

import (
	"fmt"
	"path"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	v2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

// A Chart is a chart directory that has been read.
type Chart struct{ chart *v2.Chart }

// Load reads the chart in dir.
func Load(dir string) (*Chart, error) {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("loading chart %s: %w", dir, err)
	}
	return &Chart{c}, nil
}

// Render checks values, in YAML, against the chart's schema and returns what the templates make of them, by the templates' file names
// (such as "controller.yaml" and "NOTES.txt"). Templates that made nothing are absent.
func (c *Chart) Render(release, namespace, values string) (map[string]string, error) {
	own := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &own); err != nil {
		return nil, fmt.Errorf("reading the values: %w", err)
	}
	options := common.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(c.chart, own, options, nil)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Render(c.chart, all)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for name, text := range rendered {
		if strings.TrimSpace(text) != "" && !strings.HasSuffix(name, ".tpl") {
			files[path.Base(name)] = text
		}
	}
	return files, nil
}

// Documents splits YAML text into its documents, comments included, without empty ones.
func Documents(text string) []string {
	var documents []string
	for _, document := range strings.Split("\n"+text, "\n---") {
		if document = strings.TrimSpace(document); document != "" {
			documents = append(documents, document+"\n")
		}
	}
	return documents
}
