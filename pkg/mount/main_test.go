package mount

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMain lets the test binary be its own mount helper.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(helper(os.Args[1]))
	}
	os.Exit(m.Run())
}

// helper is a mount helper that does what its name says.
func helper(name string) int {
	switch name {
	case "mount-helper":
		return HelperMain(os.Stdin, os.Stdout)
	case "mount-and-hang":
		mountAndHang(json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout))
	case "never-ready":
		select {}
	case "nonsense":
		fmt.Println("{")
		return 0
	case "crash":
		fmt.Fprintln(os.Stderr, "it crashed")
		return 3
	}
	return 9
}

// mountAndHang does all it is asked, but never answers when it was a mount.
func mountAndHang(requests *json.Decoder, answers *json.Encoder) {
	for a := (answer{}); answers.Encode(a) == nil; {
		var r request
		if err := requests.Decode(&r); err != nil {
			return
		}
		a = perform(r)
		if r.Operation == operationMount {
			select {} // until killed
		}
	}
}

// newMounter is a Mounter that the test's end closes. Its helper is this test binary.
func newMounter(t *testing.T, c Config) *Mounter {
	t.Helper()
	m := New(c)
	t.Cleanup(m.Close)
	return m
}
