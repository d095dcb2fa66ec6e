package mount

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestUsageOfWhatIsNotMounted(t *testing.T) {
	m := newMounter(t, Config{})
	for _, target := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing"), "/proc"} {
		_, err := m.Usage(t.Context(), target)
		wantError(t, err, volume.ErrNotFound, "no NFS export is mounted at "+target)
	}
	_, err := m.Usage(t.Context(), "relative")
	wantError(t, err, volume.ErrInvalid, "relative")
}

func TestUsageCountsBytes(t *testing.T) {
	for _, tc := range []struct {
		s    unix.Statfs_t
		want volume.Usage
	}{
		{unix.Statfs_t{Bsize: 1 << 20, Frsize: 1 << 10, Blocks: 100, Bfree: 40, Bavail: 30, Files: 10, Ffree: 4},
			volume.Usage{TotalBytes: 100 << 10, UsedBytes: 60 << 10, AvailableBytes: 30 << 10, TotalInodes: 10, UsedInodes: 6, AvailableInodes: 4}},
		{unix.Statfs_t{Bsize: 512, Blocks: 2, Bfree: 2, Bavail: 2}, volume.Usage{TotalBytes: 1024, AvailableBytes: 1024}},
		{unix.Statfs_t{Bsize: 1, Blocks: 1, Bfree: 5, Ffree: 5}, volume.Usage{TotalBytes: 1, AvailableInodes: 5}}, // a server that cannot count
	} {
		if got := usageOf(tc.s); got != tc.want {
			t.Errorf("%+v, want %+v", got, tc.want)
		}
	}
}

// While a question is unanswered it is asked once, and every caller's own deadline holds.
func TestOneQuestionAtATime(t *testing.T) {
	m := newMounter(t, Config{})
	top := &mountinfo.Info{ID: 7, Source: "nas:/vol"}
	var asked atomic.Int32
	answer := make(chan error)
	ask := func(say func(unix.Statfs_t)) error {
		asked.Add(1)
		err := <-answer
		say(unix.Statfs_t{Type: unix.NFS_SUPER_MAGIC, Blocks: 5})
		return err
	}
	first := m.flights.join(top.ID, ask)
	if second := m.flights.join(top.ID, ask); second != first {
		t.Error("a second question was asked")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, _, err := m.statfs(ctx, top, "/target")
	wantError(t, err, volume.ErrUnavailable, "the server of nas:/vol, mounted at /target, does not answer")
	wantError(t, err, context.DeadlineExceeded, "")
	first.asked = first.asked.Add(-2 * answerTimeout)
	_, _, err = m.statfs(t.Context(), top, "/target")
	wantError(t, err, volume.ErrUnavailable, "no answer in 3s")
	if !m.flights.silent(top.ID) || m.flights.silent(top.ID+1) {
		t.Errorf("silent %t, another %t", m.flights.silent(top.ID), m.flights.silent(top.ID+1))
	}
	if ways := m.waysToDetach(top); len(ways) != 1 || ways[0].flags != unix.MNT_DETACH {
		t.Errorf("a silent mount is unmounted by %v", ways)
	}
	answer <- nil
	<-first.done
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if third := m.flights.join(top.ID, ask); third == first {
		t.Error("an answered question is not asked again")
	}
	answer <- nil
}

func TestAnswersOfAFileSystem(t *testing.T) {
	m := newMounter(t, Config{})
	for id, tc := range []struct {
		kind  int64
		err   error
		want  error
		words string
	}{
		{unix.NFS_SUPER_MAGIC, nil, nil, ""},
		{unix.TMPFS_MAGIC, nil, volume.ErrNotFound, "was unmounted meanwhile"},
		{unix.NFS_SUPER_MAGIC, unix.ESTALE, volume.ErrUnavailable, "has lost the directory"},
		{unix.NFS_SUPER_MAGIC, unix.EACCES, volume.ErrRefused, "admits this node no more"},
		{unix.NFS_SUPER_MAGIC, unix.EIO, volume.ErrUnavailable, "does not answer"},
	} {
		release := make(chan struct{})
		m.flights.join(id, func(say func(unix.Statfs_t)) error {
			<-release
			say(unix.Statfs_t{Type: tc.kind, Blocks: 9})
			return tc.err
		})
		time.AfterFunc(10*time.Millisecond, func() { close(release) })
		s, _, err := m.statfs(t.Context(), &mountinfo.Info{ID: id}, "/target")
		if tc.want == nil {
			if err != nil || s.Blocks != 9 {
				t.Errorf("%+v, %v", s, err)
			}
			continue
		}
		wantError(t, err, tc.want, tc.words)
	}
}

// A server that has said how full it is and takes its time for the directory is slow, and not silent.
func TestSlowAnswer(t *testing.T) {
	m := newMounter(t, Config{})
	top, release := &mountinfo.Info{ID: 3, Source: "nas:/vol"}, make(chan struct{})
	f := m.flights.join(top.ID, func(say func(unix.Statfs_t)) error {
		say(unix.Statfs_t{Type: unix.NFS_SUPER_MAGIC, Blocks: 7})
		<-release
		return nil
	})
	<-f.spoken
	f.asked = f.asked.Add(-2 * answerTimeout)
	s, took, err := m.statfs(t.Context(), top, "/target")
	if err != nil || s.Blocks != 7 || took < 2*answerTimeout {
		t.Errorf("%+v after %v, %v", s, took, err)
	}
	if m.flights.silent(top.ID) {
		t.Error("a slow server counts as silent")
	}
	close(release)
	<-f.done
}

func TestQuestionReadsTheDirectory(t *testing.T) {
	var s unix.Statfs_t
	say := func(answer unix.Statfs_t) { s = answer }
	if err := question(t.TempDir(), say); err != nil || s.Blocks == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := question(filepath.Join(t.TempDir(), "missing"), say); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v", err)
	}
}
