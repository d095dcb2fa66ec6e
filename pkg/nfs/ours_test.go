package nfs

import (
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
)

// TestOurs: what is there after a lost reply may be ours if its owner is one whom the server may have made of us.
func TestOurs(t *testing.T) {
	f := &FS{cred: rpc.Credential{UID: 7}, rootUID: 1000}
	for _, tt := range []struct {
		attr file.Attr
		want int
		ours bool
	}{
		{file.Attr{UID: 7}, -1, true},
		{file.Attr{UID: 8}, -1, false},
		{file.Attr{UID: 8}, 8, true},
		{file.Attr{UID: 0}, -1, false},
		{file.Attr{UID: 1000}, -1, true},
		{file.Attr{UID: nobody}, -1, true},
		{file.Attr{UID: file.Unknown, OwnerNamed: true}, -1, true},
	} {
		if got := f.ours(tt.attr, file.Set{UID: tt.want}); got != tt.ours {
			t.Errorf("%+v, asked for %d: %v", tt.attr, tt.want, got)
		}
	}
}
