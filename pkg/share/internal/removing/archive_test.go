package removing

import (
	"strings"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func FuzzArchiveName(f *testing.F) {
	f.Add("a/b", "-x")
	f.Add(strings.Repeat("é", 127), "-pvc-1")
	f.Fuzz(func(t *testing.T, dir, suffix string) {
		d, err := volume.ParseDir(dir)
		if err != nil || len(suffix) > 210 || strings.ContainsAny(suffix, "/\x00") {
			return
		}
		name := string(archiveName(d, suffix))
		if !strings.HasPrefix(name, volume.ArchivePrefix) || !strings.HasSuffix(name, suffix) {
			t.Errorf("archive of %q is %q", d, name)
		}
		if strings.Count(name, "/") != strings.Count(string(d), "/") {
			t.Errorf("archive of %q is %q", d, name)
		}
		for _, e := range strings.Split(name, "/") {
			if e == "" || len(e) > maxElement {
				t.Errorf("archive of %q has the element %q", d, e)
			}
		}
	})
}
