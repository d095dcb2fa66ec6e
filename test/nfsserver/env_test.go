package nfsserver

import (
	"slices"
	"testing"
)

func TestFromEnv(t *testing.T) {
	t.Setenv("NFS_TEST_EXPORT", "/exports/open")
	for value, want := range map[string][]External{
		"":                       nil,
		"host:/exp":              {{"host", "/exp", ""}},
		"host:/exp,vers=4.1":     {{"host", "/exp", "4.1"}},
		"[::1]:/a ::1:/b,vers=3": {{"::1", "/a", ""}, {"::1", "/b", "3"}},
		"127.0.0.1": {
			{"127.0.0.1", "/exports/open", "3"}, {"127.0.0.1", "/exports/open", "4.0"}, {"127.0.0.1", "/exports/open", "4.1"}, {"127.0.0.1", "/exports/open", "4.2"},
		},
	} {
		t.Setenv(Variable, value)
		if got, err := FromEnv(false); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", value, got, err, want)
		}
	}
	for _, value := range []string{":/exp", "host:/exp,version=3"} {
		t.Setenv(Variable, value)
		if got, err := FromEnv(false); err == nil {
			t.Errorf("%q: %v", value, got)
		}
	}
}
