package copying

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
)

// total keeps what a transfer was told to come to.
type total struct{ files, bytes int64 }

func (*total) Now(string)                 {}
func (*total) Copied(int64, int64)        {}
func (t *total) Total(files, bytes int64) { t.files, t.bytes = files, bytes }

// TestCountIsBounded: many directories with long names, deep in a tree, are not counted in our memory.
func TestCountIsBounded(t *testing.T) {
	for _, tt := range []struct{ deep, wide, want int }{{3, 300, 304}, {300, 3, 304}, {300, 300, 0}} {
		fsys, dir := memfs.New(), "volume"
		for range tt.deep {
			if err := fsys.Mkdir(t.Context(), dir, 0o755, -1, -1); err != nil {
				t.Fatal(err)
			}
			dir += "/" + strings.Repeat("d", 250)
		}
		for i := range tt.wide + 1 {
			name := dir
			if i > 0 {
				name += fmt.Sprint("/", i)
			}
			if err := fsys.Mkdir(t.Context(), name, 0o755, -1, -1); err != nil {
				t.Fatal(err)
			}
		}
		var got total
		tr := transfer{Copier: New(&registry.Share{FS: fsys}), from: "volume", progress: &got}
		if tr.count(t.Context()); got.files != int64(tt.want) {
			t.Errorf("%d deep and %d wide: counted %d, want %d", tt.deep, tt.wide, got.files, tt.want)
		}
	}
}
