package mount

import (
	"errors"
	"strings"
	"testing"
)

// wantError fails unless err matches kind and says words.
func wantError(t *testing.T, err, kind error, words string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatalf("no error, want %v: %s", kind, words)
	case !errors.Is(err, kind):
		t.Errorf("%v does not match %v", err, kind)
	case !strings.Contains(err.Error(), words):
		t.Errorf("%v does not say %q", err, words)
	}
}

// optionOf is the value of an option in a list such as the kernel's table of mounts has.
func optionOf(list, key string) string {
	for item := range strings.SplitSeq(list, ",") {
		if k, v, _ := strings.Cut(item, "="); k == key {
			return v
		}
	}
	return ""
}
