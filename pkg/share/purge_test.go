package share_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// TestPurgeTakesTurns: trees that never come to an end do not keep others in the trash for ever.
func TestPurgeTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := far(&sharetest.Hooked{FS: memfs.New(), Before: func(ctx context.Context, c sharetest.Call) error {
			if c.Op != "RemoveAll" || !strings.Contains(c.Names[0], "/endless") {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}, nil)
		for i := range 6 {
			makeAndDelete(t, m, fmt.Sprint("endless", i))
		}
		makeAndDelete(t, m, "finite")
		time.Sleep(time.Minute)
		if n := m.Trash(); n != 7 {
			t.Errorf("%d in the trash", n)
		}
		time.Sleep(time.Hour)
		if n := m.Trash(); n != 6 {
			t.Errorf("%d in the trash after an hour", n)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestPurgeIsLogged: what takes long is told at its start, now and then, and at its end; what does not is not.
func TestPurgeIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		fsys := memfs.New()
		slow := func(_ context.Context, c sharetest.Call) error {
			if c.Op == "RemoveAll" && strings.Contains(c.Names[0], "/slow") {
				time.Sleep(70 * time.Second)
			}
			return nil
		}
		m := far(&sharetest.Hooked{FS: fsys, Before: slow}, func(c *share.Config) { c.Log = slog.New(slog.NewTextHandler(&out, nil)) })
		v, err := m.Create(t.Context(), request("slow", "slow", volume.Delete, false))
		if err != nil {
			t.Fatal(err)
		}
		if err := fsys.CreateFile(t.Context(), "slow/file", make([]byte, 10), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := m.Delete(t.Context(), v.ID, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		for text, times := range map[string]int{
			`msg="removing deleted volumes" location=server.test:/exports "volumes left"=1 files=0 bytes=0`: 3,
			`msg="removed deleted volumes" location=server.test:/exports "volumes left"=0 files=2 bytes=10`: 1,
		} {
			if n := strings.Count(out.String(), text); n != times {
				t.Errorf("%q is logged %d times, want %d:\n%s", text, n, times, out.String())
			}
		}
	})
}
