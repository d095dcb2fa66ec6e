package share_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
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
		c := share.Config{Open: s.Open, IdleTimeout: time.Minute}
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
		_, err := m.Space(t.Context(), place, nil)
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

// TestWaysAreKeptApart: what one class wants encrypted is not done over the connection of another, and a caller that does
// not say how to reach the share takes the way of the last one who did.
func TestWaysAreKeptApart(t *testing.T) {
	route := func(c *share.Config) {
		c.Route = func(options []string) string {
			return strings.Join(slices.DeleteFunc(slices.Clone(options), func(o string) bool { return o == "hard" }), ",")
		}
	}
	withServer(t, route, func(t *testing.T, s *server, m *share.Manager) {
		var id volume.ID
		for i, options := range [][]string{{"xprtsec=tls"}, nil, {"hard"}, {"hard", "xprtsec=tls"}} {
			r := request(fmt.Sprint("v", i), fmt.Sprint("v", i), volume.Delete, false)
			r.MountOptions = options
			v, err := m.Create(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			id = v.ID
		}
		if opened, open := s.count(); opened != 2 || open != 2 {
			t.Errorf("opened %d, open %d", opened, open)
		}
		if _, err := m.Get(t.Context(), id); err != nil {
			t.Error(err)
		}
		if got := s.options; len(got) != 2 || !slices.Equal(got[0], []string{"xprtsec=tls"}) || len(got[1]) != 0 {
			t.Errorf("opened with %q", got)
		}
		if err := m.Delete(t.Context(), id, []string{"xprtsec=tls"}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if all := m.Stats(); len(all) != 1 || all[0].Trash != m.Trash() {
			t.Errorf("%+v, %d in the trash", all, m.Trash())
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
			if _, err := m.Space(t.Context(), place, nil); err != nil {
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
			_, err := m.Space(t.Context(), place, nil)
			if !errors.Is(err, volume.ErrRefused) || !errors.Is(err, errLost) {
				t.Errorf("got %v", err)
			}
		}
		if volumes, _, err := m.List(t.Context(), "", 0); err != nil || len(volumes) > 0 {
			t.Errorf("listed %v, %v", volumes, err)
		}
		s.err = nil
		if _, err := m.Space(t.Context(), place, nil); err != nil {
			t.Error(err)
		}
		if opened, open := s.count(); opened != 3 || open != 1 {
			t.Errorf("opened %d, open %d", opened, open)
		}
	})
}

// TestHiddenShareIsRefused: a share that is not found says nothing of its volumes, as servers hide exports from clients that they no longer admit.
func TestHiddenShareIsRefused(t *testing.T) {
	withServer(t, nil, func(t *testing.T, s *server, m *share.Manager) {
		s.err = fmt.Errorf("looking for the export: %w", fs.ErrNotExist)
		_, err := m.CreateSnapshot(t.Context(), volume.SnapshotRequest{Name: "s", Source: volume.ID{Location: place, Dir: "data", UUID: "pvc-1"}})
		if !errors.Is(err, volume.ErrRefused) || errors.Is(err, volume.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

// TestOpenHangs: a caller leaves in its time and the share still opens; one that never opens is given up.
func TestOpenHangs(t *testing.T) {
	withServer(t, nil, func(t *testing.T, s *server, m *share.Manager) {
		ctx, cancel := context.WithTimeout(t.Context(), trip/2)
		defer cancel()
		if _, err := m.Space(ctx, place, nil); !errors.Is(err, context.DeadlineExceeded) {
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
		_, err := m.Space(t.Context(), place, nil)
		if !errors.Is(err, volume.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 20*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// sticky is a share where a tree does not go away while it fails.
type sticky struct {
	mu      sync.Mutex
	failing bool
	tries   int
	seen    map[string]int // what was observed, as "operation ok" or "operation failed"
}

func (s *sticky) before(_ context.Context, c sharetest.Call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Op != "RemoveAll" || !s.failing || !strings.Contains(c.Names[0], "/sticky-") {
		return nil
	}
	s.tries++
	return errLost
}

func (s *sticky) observe(op string, _ time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		op += " failed"
	}
	s.seen[op]++
}

func (s *sticky) fail(on bool) (tries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = on
	return s.tries
}

// TestPurgeRetries: what cannot be removed is tried again, ever more slowly, and does not hold up the rest.
func TestPurgeRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sticky{failing: true, seen: map[string]int{}}
		m := far(&sharetest.Hooked{FS: memfs.New(), Before: s.before}, func(c *share.Config) { c.Observe = s.observe })
		makeAndDelete(t, m, "sticky")
		time.Sleep(30 * time.Minute)
		tries := s.fail(true)
		if n := m.Trash(); n != 1 || tries < 10 || tries > 25 {
			t.Errorf("%d in the trash after %d tries", n, tries)
		}
		makeAndDelete(t, m, "other")
		time.Sleep(3 * trip)
		if n := m.Trash(); n != 1 {
			t.Errorf("%d in the trash soon after another deletion", n)
		}
		tries = s.fail(false)
		time.Sleep(6 * time.Minute)
		if n := m.Trash(); n != 0 {
			t.Errorf("%d in the trash in the end", n)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		want := map[string]int{"open": 1, "create": 2, "delete": 2, "purge failed": tries, "purge": 2}
		if !maps.Equal(s.seen, want) {
			t.Errorf("observed %v, want %v", s.seen, want)
		}
	})
}

func makeAndDelete(t *testing.T, m *share.Manager, name string) {
	t.Helper()
	v, err := m.Create(t.Context(), request(name, name, volume.Delete, false))
	if err == nil {
		err = m.Delete(t.Context(), v.ID, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
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
		makeAndDelete(t, m, "a")
		time.Sleep(10 * trip)
		began := time.Now()
		if err := m.Close(); err != nil || time.Since(began) > trip {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestPurgeAfterLostReply: the trash is looked into also when nobody knew that something went there.
func TestPurgeAfterLostReply(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	var v volume.Volume
	w.must(w.clean(creates(&v, request("pvc-1", "a", volume.Delete, false))))
	p := newProcess(w.fs, "Rename", 1, lostReply)
	defer p.Close()
	if err := deletes(v.ID)(p); !errors.Is(err, volume.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	w.must(deletes(v.ID)(p))
	deadline := time.Now().Add(10 * time.Second)
	for len(w.list(volume.Reserved+"/trash")) > 0 {
		if time.Now().After(deadline) {
			t.Fatal("still in the trash")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestOneAtATime: whoever comes second for a volume or a directory is told at once.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := far(memfs.New(), nil)
		defer m.Close()
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, err := m.Create(t.Context(), request("a", "dir", volume.Delete, false)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		began := time.Now()
		_, sameName := m.Create(t.Context(), request("a", "other", volume.Delete, false))
		_, sameDir := m.Create(t.Context(), request("b", "dir", volume.Delete, false))
		deleteName := m.Delete(t.Context(), volume.ID{Location: place, Dir: "x", UUID: "a"}, nil)
		deleteDir := m.Delete(t.Context(), volume.ID{Location: place, Dir: "dir", UUID: "x"}, nil)
		for _, err := range []error{sameName, sameDir, deleteName, deleteDir} {
			if !errors.Is(err, volume.ErrBusy) {
				t.Errorf("got %v", err)
			}
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v", waited)
		}
		elsewhere := request("a", "dir", volume.Delete, false)
		elsewhere.Class.Share = "/another"
		if _, err := m.Create(t.Context(), elsewhere); errors.Is(err, volume.ErrBusy) {
			t.Error("volumes of different shares wait for each other")
		}
		calls.Wait()
		if err := m.Delete(t.Context(), volume.ID{Location: place, Dir: "dir", UUID: "a"}, nil); err != nil {
			t.Error(err)
		}
	})
}
