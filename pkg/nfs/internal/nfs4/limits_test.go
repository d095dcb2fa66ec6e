package nfs4

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// small are limits that a server may grant.
var small = []struct{ minor, ops, message uint32 }{
	{0, plainOps, 12 << 10}, {1, minOps, minMessage}, {1, 16, minMessage}, {1, 64, 1 << 17},
}

// TestLimits works on long names in deep places with the smallest limits that pass, where the fake complains of every
// compound that exceeds them.
func TestLimits(t *testing.T) {
	long := strings.Repeat("n", 255)
	deep := slices.Repeat([]string{long}, 60)
	var entries []file.Entry
	for i := range 64 {
		entries = append(entries, file.Entry{Name: fmt.Sprint(i, long[3:])})
	}
	for i := range 32 { // longer than any file system of ours allows
		entries = append(entries, file.Entry{Name: fmt.Sprint(i, strings.Repeat("x", 1000))})
	}
	for _, tt := range small {
		t.Run(fmt.Sprintf("4.%d %d operations %d bytes", tt.minor, tt.ops, tt.message), func(t *testing.T) {
			f := startFake(t)
			f.minor, f.maxOps, f.message = tt.minor, tt.ops, tt.message
			f.names[long] = true
			cfg := f.config(time.Minute)
			cfg.Export = deep
			c := f.connectWith(cfg)
			for _, e := range entries {
				f.names[e.Name] = true
			}
			if done, err := c.RemoveNames(t.Context(), nobody, "dir", entries); err != nil || done != len(entries) {
				t.Errorf("RemoveNames: %d, %v", done, err)
			}
			name := func(s string) []string { return slices.Concat(deep, []string{s + long[1:]}) }
			for op, err := range map[string]error{
				"Getattr":    second(c.Getattr(t.Context(), nobody, deep)),
				"Mkdir":      c.Mkdir(t.Context(), nobody, name("m"), wanted()),
				"CreateFile": c.CreateFile(t.Context(), nobody, name("c"), make([]byte, 300_000), 0o600),
				"Symlink":    c.Symlink(t.Context(), nobody, strings.Repeat("t", mostOfTarget), name("s")),
				"Remove":     c.Remove(t.Context(), nobody, name("m")),
				"Rename":     c.Rename(t.Context(), nobody, name("c"), name("r")),
				"List":       second(c.List(t.Context(), nobody, deep, file.Cookie{})),
			} {
				if err != nil {
					t.Errorf("%s: %v", op, err)
				}
			}
			if _, err := c.Getattr(t.Context(), nobody, append(deep, "none")); !status.Is(err, status.NoEnt) {
				t.Errorf("what is not there: %v", err)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

// TestTinySessionRefused: a session that cannot carry our longest compound is of no use.
func TestTinySessionRefused(t *testing.T) {
	good := limits{request: minMessage, response: minMessage, cached: minCached, ops: minOps, slots: 1}
	if good.tooSmall() {
		t.Errorf("%+v is too small", good)
	}
	for _, spoil := range []func(*limits){
		func(l *limits) { l.request-- }, func(l *limits) { l.response-- }, func(l *limits) { l.cached-- },
		func(l *limits) { l.ops-- }, func(l *limits) { l.slots = 0 },
	} {
		bad := good
		if spoil(&bad); !bad.tooSmall() {
			t.Errorf("%+v is enough", bad)
		}
	}
	f := startFake(t)
	f.maxOps = 3
	if _, err := Connect(t.Context(), f.config(time.Minute), 1); err == nil || !strings.Contains(err.Error(), "too small") {
		t.Errorf("got %v", err)
	}
}

// copies are files of many sizes to be copied, made at the fake under the names of their handles.
func copies(f *fake, n int) []*file.Copy {
	var files []*file.Copy
	for i := range n {
		content := bytes.Repeat([]byte{byte('a' + i%26)}, i*67%3000)
		from := fmt.Sprint("from", i)
		f.names[from], f.files[from] = true, content
		files = append(files, &file.Copy{
			Name: fmt.Sprint("to", i, strings.Repeat("n", 100)), From: file.Handle(from), Attr: file.Attr{Size: uint64(len(content))},
		})
	}
	return files
}

func readAll(ctx context.Context, c *Client, files []*file.Copy) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Read(func(offset uint64, n int) ([]byte, bool, error) { return c.ReadAt(ctx, nobody, f.From, offset, n) }))
	}
	return errors.Join(errs...)
}

// TestCopyLimits copies many files in as few compounds as the smallest limits allow, while something goes wrong once.
func TestCopyLimits(t *testing.T) {
	for _, tt := range small {
		for _, wrong := range []struct {
			at   uint32
			what fault
		}{
			{opRemove, fault{}}, {opOpen, fault{hangUp: true}}, {opOpen, fault{forget: true}}, {opWrite, fault{op: opWrite, code: status.Delay}},
			{opClose, fault{op: opClose, code: status.Delay}}, {opRead, fault{hangUp: true}}, {opCommit, fault{op: opCommit, code: status.Delay}},
		} {
			t.Run(fmt.Sprintf("4.%d %d operations, %s %+v", tt.minor, tt.ops, opNames[wrong.at], wrong.what), func(t *testing.T) {
				f := startFake(t)
				f.minor, f.maxOps, f.message = tt.minor, tt.ops, tt.message
				c := f.connect(time.Minute)
				files := copies(f, 40)
				f.set(once(wrong.at, wrong.what))
				for step, do := range []func() (int, error){
					func() (int, error) { return len(files), readAll(t.Context(), c, files) },
					func() (int, error) { return c.MakeFiles(t.Context(), nobody, "dir", files) },
					func() (int, error) {
						return c.FinishFiles(t.Context(), nobody, files, func(*file.Copy) []file.Set { return []file.Set{wanted()} })
					},
				} {
					if done, err := do(); err != nil || done != len(files) {
						t.Fatalf("step %d: %d done, %v", step, done, err)
					}
				}
				for _, file := range files {
					if got, want := f.files[handleOf(file.Name)], f.files[string(file.From)]; !bytes.Equal(got, want) || file.Lost {
						t.Errorf("%.8s: %d bytes of %d, lost: %v", file.Name, len(got), len(want), file.Lost)
					}
				}
			})
		}
	}
}
