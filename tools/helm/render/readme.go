package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	tableStart = "<!-- values: made from values.yaml by `make manifests` -->\n"
	tableEnd   = "<!-- end of values -->\n"
)

// valuesReadme returns the README with its table made anew from the comments of values.yaml.
func valuesReadme(readme, valuesFile string) (string, error) {
	old, err := os.ReadFile(readme)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(valuesFile)
	if err != nil {
		return "", err
	}
	table, err := valuesTable(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", valuesFile, err)
	}
	before, rest, ok := strings.Cut(string(old), tableStart)
	_, after, ends := strings.Cut(rest, tableEnd)
	if !ok || !ends {
		return "", fmt.Errorf("%s has no lines %q and %q", readme, strings.TrimSpace(tableStart), strings.TrimSpace(tableEnd))
	}
	return before + tableStart + table + tableEnd + after, nil
}

// valuesTable has a row for each value. What has a comment is one value, however much is in it; what has none must be a map of values.
func valuesTable(text []byte) (string, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return "", err
	}
	var table strings.Builder
	table.WriteString("| value | meaning | default |\n| --- | --- | --- |\n")
	if err := rows(&table, "", document.Content[0]); err != nil {
		return "", err
	}
	return table.String(), nil
}

func rows(table *strings.Builder, prefix string, values *yaml.Node) error {
	var errs []error
	for i := 0; i+1 < len(values.Content); i += 2 {
		key, value := values.Content[i], values.Content[i+1]
		name := prefix + key.Value
		comment := sentence(key.HeadComment)
		switch {
		case comment == "" && value.Kind == yaml.MappingNode && len(value.Content) > 0:
			errs = append(errs, rows(table, name+".", value))
		case comment == "":
			errs = append(errs, fmt.Errorf("line %d: %s has no comment above it", key.Line, name))
		default:
			defaults, err := inline(value)
			errs = append(errs, err)
			fmt.Fprintf(table, "| `%s` | %s | %s |\n", name, strings.ReplaceAll(comment, "|", `\|`), defaults)
		}
	}
	return errors.Join(errs...)
}

// sentence joins the lines of a comment. What an empty line separates from the value is about the file.
func sentence(comment string) string {
	paragraphs := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.Join(words, " ")
}

// inline writes a default on one line, as JSON, which YAML and --set-json read too. An empty one is an empty cell.
func inline(value *yaml.Node) (string, error) {
	if len(value.Content) == 0 && (value.Kind != yaml.ScalarNode || value.Value == "") {
		return "", nil
	}
	var decoded any
	if err := value.Decode(&decoded); err != nil {
		return "", err
	}
	raw, err := json.Marshal(decoded)
	if err != nil {
		return "", err
	}
	return "`" + strings.Trim(string(raw), `"`) + "`", nil
}
