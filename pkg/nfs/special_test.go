package nfs

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
)

// forgetful is a server that restarts before each of some COMMITs, and has lost then what it was given.
type forgetful struct {
	client // nil: whatever need not be asked

	restarts int
	verifier file.Verifier
}

func (s *forgetful) Lookup(context.Context, *rpc.Credential, []string) (file.Handle, file.Attr, error) {
	return "file", file.Attr{}, nil
}

func (s *forgetful) Limits(context.Context) (file.Limits, error) { return file.Limits{Chunk: 2}, nil }

func (s *forgetful) WriteAt(_ context.Context, _ *rpc.Credential, f *file.Copy, _ []file.Segment) error {
	f.Wrote(s.verifier)
	return nil
}

func (s *forgetful) FinishFiles(_ context.Context, _ *rpc.Credential, files []*file.Copy, _ func(*file.Copy) []file.Set) (int, error) {
	if s.restarts > 0 {
		s.restarts--
		s.verifier[0]++
	}
	files[0].Committed(s.verifier)
	return 1, nil
}

// TestWriteAtLost: what the server does not keep is no success.
func TestWriteAtLost(t *testing.T) {
	for restarts, want := range map[int]error{0: nil, creates - 1: nil, creates: syscall.EIO} {
		f := &FS{client: &forgetful{restarts: restarts}, observe: func(string, time.Duration, error) {}}
		if err := f.WriteAt(t.Context(), "file", []byte("data"), 0); !errors.Is(err, want) {
			t.Errorf("%d restarts: %v", restarts, err)
		}
	}
}
