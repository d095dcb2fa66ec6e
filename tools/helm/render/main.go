// Command render makes from the chart what is written elsewhere too: the plain manifests in deploy/rbac, deploy/storageclass and
// deploy/manifests, and the table of values in the chart's README. With -check it writes nothing, and fails where they differ.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/nfs-csi/nfs-csi/tools/helm/chart"
)

const (
	chartDir  = "deploy/charts/nfs-csi"
	release   = "nfs-csi"
	namespace = "nfs-csi"
)

//go:embed values.yaml
var values string

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("render", flag.ContinueOnError)
	root := flags.String("root", ".", "the repository")
	check := flags.Bool("check", false, "write nothing, show what differs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	files, err := generate(*root)
	if err != nil {
		return err
	}
	stale, err := strangers(*root, files)
	if err != nil {
		return err
	}
	if *check {
		return compare(*root, files, stale, stdout)
	}
	return write(*root, files, stale, stdout)
}

// generate returns all generated files by their paths in the repository.
func generate(root string) (map[string]string, error) {
	c, err := chart.Load(filepath.Join(root, chartDir))
	if err != nil {
		return nil, err
	}
	files, err := manifests(c)
	if err != nil {
		return nil, err
	}
	readme := filepath.Join(chartDir, "README.md")
	if files[readme], err = valuesReadme(filepath.Join(root, readme), filepath.Join(root, chartDir, "values.yaml")); err != nil {
		return nil, err
	}
	return files, nil
}

// strangers are manifests in the generated directories that nothing generates any more.
func strangers(root string, files map[string]string) ([]string, error) {
	var stale []string
	for _, dir := range manifestDirs {
		found, err := filepath.Glob(filepath.Join(root, dir, "*"))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			name, err := filepath.Rel(root, path)
			if err != nil {
				return nil, err
			}
			if _, ok := files[name]; !ok {
				stale = append(stale, name)
			}
		}
	}
	return stale, nil
}

func compare(root string, files map[string]string, stale []string, stdout io.Writer) error {
	different := 0
	for _, name := range sortedKeys(files) {
		committed, err := os.ReadFile(filepath.Join(root, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
			A: difflib.SplitLines(string(committed)), FromFile: name + " (committed)",
			B: difflib.SplitLines(files[name]), ToFile: name + " (made from the chart)",
			Context: 3,
		})
		if err != nil {
			return err
		}
		if diff != "" {
			different++
			fmt.Fprintln(stdout, diff)
		}
	}
	for _, name := range stale {
		different++
		fmt.Fprintf(stdout, "%s is not made from the chart any more\n", name)
	}
	if different > 0 {
		return fmt.Errorf("%d files differ from what the chart makes: run `make manifests` and commit the result", different)
	}
	return nil
}

func write(root string, files map[string]string, stale []string, stdout io.Writer) error {
	for _, name := range sortedKeys(files) {
		path := filepath.Join(root, name)
		if old, err := os.ReadFile(path); err == nil && string(old) == files[name] {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o644); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "wrote", name)
	}
	for _, name := range stale {
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "removed", name)
	}
	return nil
}

func sortedKeys(files map[string]string) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}
