package conformance

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/check"
)

// wantLines compares what a check says: each want is "status check words", the words being part of the text or of the fix.
func wantLines(t *testing.T, r check.Report, wants ...string) {
	t.Helper()
	var said strings.Builder
	for _, l := range r.Lines {
		fmt.Fprintf(&said, "%s %s %s -> %s\n", l.Status, l.Check, l.Text, l.Fix)
	}
	for _, want := range wants {
		status, rest, _ := strings.Cut(want, " ")
		name, words, _ := strings.Cut(rest, " ")
		met := false
		for _, l := range r.Lines {
			met = met || string(l.Status) == status && l.Check == name && strings.Contains(l.Text+" -> "+l.Fix, words)
		}
		if !met {
			t.Errorf("no line %q in\n%s", want, said.String())
		}
	}
}

// wantNothing fails the test if the check has left something on the export.
func wantNothing(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%q is left in %s", e.Name(), dir)
	}
}

// checkTimeout is long for a machine under load.
const checkTimeout = 30 * time.Second
