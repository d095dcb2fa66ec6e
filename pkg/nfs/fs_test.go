package nfs

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// roundabout is a server whose listings go round in circles, some times or for ever.
type roundabout struct {
	client // nil: whatever need not be asked

	circles int
	empty   bool // the last page has nothing on it, not even a place
	calls   int
}

const roundaboutPages = 5

func (r *roundabout) List(ctx context.Context, _ *rpc.Credential, _ []string, from file.Cookie) (file.Page, error) {
	r.calls++
	page := file.Page{Entries: []file.Entry{{Name: fmt.Sprint(from.Value)}}, Cookie: file.Cookie{Value: from.Value + 1}}
	switch last := from.Value == roundaboutPages; {
	case last && r.circles == 0:
		page.EOF = true
	case last && r.empty:
		r.circles--
		page = file.Page{}
	case last:
		r.circles--
		page.Cookie.Value = 2
	}
	return page, ctx.Err()
}

// TestReadDirCircles: a listing that comes back to where it was is begun again, though not for ever.
func TestReadDirCircles(t *testing.T) {
	for _, empty := range []bool{false, true} {
		for circles, want := range map[int]error{0: nil, 1: nil, 1 << 30: status.ErrCircle} {
			r := &roundabout{circles: circles, empty: empty}
			f := &FS{client: r, observe: func(string, time.Duration, error) {}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			infos, err := f.ReadDir(ctx, ".")
			cancel()
			if !errors.Is(err, want) || want == nil && len(infos) != roundaboutPages+1 || r.calls > 200 {
				t.Errorf("%d circles: %d names after %d calls, %v", circles, len(infos), r.calls, err)
			}
		}
	}
}
