package nfs

import (
	"context"
	"errors"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
)

// bulky is a server of one directory with so many names.
type bulky struct {
	client
	names uint64
}

func (b *bulky) List(_ context.Context, _ *rpc.Credential, _ []string, from file.Cookie) (page file.Page, err error) {
	for page.Cookie = from; page.Cookie.Value < b.names && len(page.Entries) < 1000; page.Cookie.Value++ {
		page.Entries = append(page.Entries, file.Entry{Name: strconv.FormatUint(page.Cookie.Value, 10)})
	}
	page.EOF = page.Cookie.Value == b.names
	return page, nil
}

// TestReadDirBounded: what a server tells of a directory without end does not fill our memory.
func TestReadDirBounded(t *testing.T) {
	for _, tt := range []struct {
		names uint64
		want  int
		err   error
	}{{0, 0, nil}, {maxNames, maxNames, nil}, {1 << 62, maxNames, syscall.EFBIG}} {
		f := &FS{client: &bulky{names: tt.names}, observe: func(string, time.Duration, error) {}}
		infos, err := f.ReadDir(t.Context(), "x")
		if len(infos) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("of %d names %d are listed, %v", tt.names, len(infos), err)
		}
	}
}
