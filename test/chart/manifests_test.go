package chart_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The plain manifests and the README's table are what the chart makes now. The difference is shown.
func TestGeneratedFilesAreCommitted(t *testing.T) {
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "./render", "-check", "-root", root)
	cmd.Dir = filepath.Join(root, "tools/helm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
