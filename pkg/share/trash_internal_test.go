package share

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// FuzzTrashName: a name in the trash fits a directory and tells its time, whatever the volume was called.
func FuzzTrashName(f *testing.F) {
	f.Add("pvc-1", int64(1e9))
	f.Add(strings.Repeat("é", 300), int64(0))
	f.Fuzz(func(t *testing.T, volumeName string, unix int64) {
		now := time.Unix(min(max(unix, 0), 1e11), 0)
		name := trashName(volume.Key(volumeName), now)
		at, told := trashedAt(name)
		if !told || !at.Equal(now) {
			t.Errorf("%q tells %v, %v, want %v", name, at, told, now)
		}
		if len(name)+len(recordSuffix) > maxElement || name == trashName(volume.Key(volumeName), now) {
			t.Errorf("%q", name)
		}
		if _, told := trashedAt(volume.Key(volumeName)); told && !strings.Contains(volumeName, "Z-") {
			t.Errorf("%q tells a time", volumeName)
		}
	})
}

// FuzzBesideNote: no note leads to anything but a directory that bears its random end.
func FuzzBesideNote(f *testing.F) {
	f.Add("pvc-1-20261120T120000Z-RANDOM", "ns/.nfs-csi-trash-RANDOM")
	f.Add("pvc-1-RANDOM", "ns/a")
	f.Add("a-", ".nfs-csi-trash-")
	f.Add("a-x", "../.nfs-csi-trash-x")
	f.Fuzz(func(t *testing.T, trash, dir string) {
		got, ok := besideDir(trash, fmt.Appendf(nil, `{"version":1,"directory":%q}`, dir))
		if !ok {
			return
		}
		base := string(got[strings.LastIndexByte(string(got), '/')+1:])
		random := strings.TrimPrefix(base, besidePrefix)
		if random == base || random == "" || !strings.HasSuffix(trash, "-"+random) {
			t.Errorf("the note %q leads to %q", trash, got)
		}
		if parsed, err := volume.ParseDir(string(got)); err != nil || parsed != got {
			t.Errorf("the note %q leads to %q: %v", trash, got, err)
		}
	})
}
