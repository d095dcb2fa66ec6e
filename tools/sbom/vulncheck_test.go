package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVulncheckSaysWhatItDid: nobody may take what was not checked for checked. The network is played by scripts: curl is the database's server,
// and go installs a govulncheck that finds as much as it is told.
func TestVulncheckSaysWhatItDid(t *testing.T) {
	for name, tt := range map[string]struct {
		arg, curl, install, finds string
		code                      int
		words                     string
	}{
		"nothing is known":         {"", "true", "true", "0", 0, "looked at ./cmd/... ./pkg/..."},
		"something is known":       {"--if-reachable", "true", "true", "3", 3, "looked at"},
		"no database":              {"", "false", "true", "0", 1, "NOT CHECKED, the database https://vuln.go.dev"},
		"no database, no matter":   {"--if-reachable", "false", "true", "0", 0, "NOT CHECKED, the database"},
		"no tool":                  {"", "true", "false", "0", 1, "NOT CHECKED, govulncheck"},
		"no tool, no matter":       {"--if-reachable", "true", "false", "0", 0, "NOT CHECKED, govulncheck"},
		"the tool does not manage": {"--if-reachable", "true", "true", "1", 1, "looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script(t, dir, "curl", tt.curl)
			script(t, dir, "go", tt.install+` && mkdir -p "$GOBIN" && cp "`+dir+`/found" "$GOBIN/govulncheck"`)
			script(t, dir, "found", `shift 4; echo looked at "$@"; exit `+tt.finds)
			cmd := exec.CommandContext(t.Context(), "./vulncheck", strings.Fields(tt.arg)...)
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "XDG_CACHE_HOME=" + dir}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.words) {
				t.Errorf("ended with %d, %q; want %d, %q", code, out, tt.code, tt.words)
			}
		})
	}
}

func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
