package share_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/nfstest"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

var _ share.FS = nfstest.FS(nil) // what passes pkg/nfs/nfstest can be a share

// server opens shares a trip away and remembers what it was asked.
type server struct {
	mu      sync.Mutex
	options [][]string // one for each opening
	open    int        // how many are open now
	err     error      // of the next openings
	fs      *memfs.FS
}

func (s *server) Open(ctx context.Context, _ volume.Location, options []string) (share.FS, io.Closer, error) {
	select {
	case <-time.After(trip):
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options = append(s.options, options)
	if s.err != nil {
		return nil, nil, s.err
	}
	s.open++
	return s.fs, s, nil
}

func (s *server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	return nil
}

func (s *server) count() (opened, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.options), s.open
}

// withServer runs do in a bubble with a Manager, which must be closed properly in the end.
func withServer(t *testing.T, change func(*share.Config), do func(t *testing.T, s *server, m *share.Manager)) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{fs: memfs.New()}
		c := share.Config{Open: s.Open, IdleTimeout: time.Minute, OpenTimeout: 5 * time.Second}
		if change != nil {
			change(&c)
		}
		m := share.NewManager(c)
		do(t, s, m)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if _, open := s.count(); open != 0 {
			t.Errorf("%d shares are open after Close", open)
		}
		_, err := m.Space(t.Context(), place)
		if !errors.Is(err, volume.ErrUnavailable) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestOpenOnce(t *testing.T) {
	withServer(t, nil, func(t *testing.T, s *server, m *share.Manager) {
		var calls sync.WaitGroup
		for i := range 20 {
			calls.Go(func() {
				r := request(fmt.Sprint("v", i), fmt.Sprint("v", i), volume.Delete, false)
				r.MountOptions = []string{"vers=4.1"}
				if _, err := m.Create(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if opened, open := s.count(); opened != 1 || open != 1 {
			t.Errorf("opened %d, open %d", opened, open)
		}
	})
}

// TestIdle: a share that nobody uses is closed, and opened again in the way it was reached before.
func TestIdle(t *testing.T) {
	withServer(t, nil, func(t *testing.T, s *server, m *share.Manager) {
		if err := m.Delete(t.Context(), volume.ID{Location: place, Dir: "none"}, []string{"vers=3"}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(50 * time.Second)
			if _, err := m.Space(t.Context(), place); err != nil {
				t.Fatal(err)
			}
		}
		if opened, open := s.count(); opened != 1 || open != 1 {
			t.Errorf("in use: opened %d, open %d", opened, open)
		}
		time.Sleep(2 * time.Minute)
		if _, open := s.count(); open != 0 {
			t.Errorf("idle: %d are open", open)
		}
		if _, _, err := m.List(t.Context(), "", 0); err != nil {
			t.Fatal(err)
		}
		if opened, _ := s.count(); opened != 2 || !slices.Equal(s.options[1], []string{"vers=3"}) {
			t.Errorf("opened %d times, with %q", opened, s.options)
		}
	})
}

// TestOpenFails: whoever waits is told, the next one tries again, and a share that never opened is not listed.
func TestOpenFails(t *testing.T) {
	classify := func(c *share.Config) {
		c.Classify = func(err error) error {
			if errors.Is(err, errLost) {
				return volume.ErrRefused
			}
			return nil
		}
	}
	withServer(t, classify, func(t *testing.T, s *server, m *share.Manager) {
		s.err = errLost
		for range 2 {
			_, err := m.Space(t.Context(), place)
			if !errors.Is(err, volume.ErrRefused) || !errors.Is(err, errLost) {
				t.Errorf("got %v", err)
			}
		}
		if volumes, _, err := m.List(t.Context(), "", 0); err != nil || len(volumes) > 0 {
			t.Errorf("listed %v, %v", volumes, err)
		}
		s.err = nil
		if _, err := m.Space(t.Context(), place); err != nil {
			t.Error(err)
		}
		if opened, open := s.count(); opened != 3 || open != 1 {
			t.Errorf("opened %d, open %d", opened, open)
		}
	})
}

// TestOpenHangs: a caller leaves in its time and the share still opens; one that never opens is given up.
func TestOpenHangs(t *testing.T) {
	withServer(t, nil, func(t *testing.T, s *server, m *share.Manager) {
		ctx, cancel := context.WithTimeout(t.Context(), trip/2)
		defer cancel()
		if _, err := m.Space(ctx, place); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(trip)
		if opened, open := s.count(); opened != 1 || open != 1 {
			t.Errorf("opened %d, open %d", opened, open)
		}
	})
	hang := func(c *share.Config) {
		c.Open = func(ctx context.Context, _ volume.Location, _ []string) (share.FS, io.Closer, error) {
			<-ctx.Done()
			return nil, nil, ctx.Err()
		}
	}
	withServer(t, hang, func(t *testing.T, _ *server, m *share.Manager) {
		began := time.Now()
		_, err := m.Space(t.Context(), place)
		if !errors.Is(err, volume.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// TestPurgeRetries: what cannot be removed is tried again, ever more slowly, and does not hold up the rest.
func TestPurgeRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := memfs.New()
		var mu sync.Mutex
		failing, tries := true, 0
		hooked := &sharetest.Hooked{FS: fsys, Before: func(_ context.Context, c sharetest.Call) error {
			mu.Lock()
			defer mu.Unlock()
			if c.Op == "RemoveAll" && failing {
				tries++
				return errLost
			}
			return nil
		}}
		observed := map[string]int{}
		m := far(hooked, func(c *share.Config) {
			c.Observe = func(op string, _ time.Duration, err error) {
				mu.Lock()
				defer mu.Unlock()
				observed[fmt.Sprint(op, err == nil)]++
			}
		})
		v, err := m.Create(t.Context(), request("a", "a", volume.Delete, false))
		if err == nil {
			err = m.Delete(t.Context(), v.ID, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		if n := m.Trash(); n != 1 || tries < 10 || tries > 25 {
			t.Errorf("%d in the trash after %d tries", n, tries)
		}
		mu.Lock()
		failing = false
		mu.Unlock()
		time.Sleep(6 * time.Minute)
		if n := m.Trash(); n != 0 {
			t.Errorf("%d in the trash in the end", n)
		}
		if observed["purgefalse"] != tries || observed["purgetrue"] != 1 || observed["createtrue"] != 1 || observed["opentrue"] != 1 {
			t.Errorf("observed %v", observed)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestCloseStopsPurging: Close does not wait for a tree that takes long.
func TestCloseStopsPurging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := memfs.New()
		hooked := &sharetest.Hooked{FS: fsys, Before: func(ctx context.Context, c sharetest.Call) error {
			if c.Op != "RemoveAll" {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		m := far(hooked, nil)
		v, err := m.Create(t.Context(), request("a", "a", volume.Delete, false))
		if err == nil {
			err = m.Delete(t.Context(), v.ID, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * trip)
		began := time.Now()
		if err := m.Close(); err != nil || time.Since(began) > trip {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
