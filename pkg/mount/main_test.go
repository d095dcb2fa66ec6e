package mount

import (
	"os"
	"testing"
)

// TestMain lets the test binary be its own mount helper.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "mount-helper" {
		os.Exit(HelperMain(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}
