package share

import (
	"errors"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func FuzzToken(f *testing.F) {
	f.Add("server:/a", "a.json")
	f.Add("server:/a\n", ".json")
	f.Add("", "")
	locations := []volume.Location{{Server: "server", Share: "/a"}, {Server: "fe80::1", Share: "/"}}
	f.Fuzz(func(t *testing.T, location, file string) {
		p := position{location, file}
		got, err := parseToken(p.token(), locations)
		if err == nil && got != p && p != (position{}) {
			t.Errorf("%q is read as %q", p, got)
		}
		if _, err := parseToken(location, locations); err != nil && !errors.Is(err, volume.ErrToken) {
			t.Error(err)
		}
	})
}
