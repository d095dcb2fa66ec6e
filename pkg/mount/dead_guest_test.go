//go:build guest

package mount

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
	"github.com/nfs-csi/nfs-csi/test/pod"
)

// freezer is a TCP proxy before the NFS server that can fall silent, as a server does that is switched off.
type freezer struct {
	port   int
	mu     sync.Mutex
	frozen chan struct{} // closed: data flows
}

func newFreezer(t *testing.T) *freezer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &freezer{port: l.Addr().(*net.TCPAddr).Port, frozen: make(chan struct{})}
	close(f.frozen)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(c)
		}
	}()
	return f
}

func (f *freezer) serve(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", "127.0.0.1:2049")
	if err != nil {
		return
	}
	defer s.Close()
	go func() { _, _ = io.Copy(f.through(c), s); c.Close() }()
	_, _ = io.Copy(f.through(s), c)
}

func (f *freezer) option() string { return "port=" + strconv.Itoa(f.port) }

func (f *freezer) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = make(chan struct{})
}

func (f *freezer) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.frozen:
	default:
		close(f.frozen)
	}
}

// through is w while data flows, and waits while it does not.
func (f *freezer) through(w io.Writer) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		f.mu.Lock()
		frozen := f.frozen
		f.mu.Unlock()
		<-frozen
		return w.Write(b)
	})
}

type writerFunc func(b []byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }

// A dead server holds neither Usage nor Unmount, whether or not data waits to be written back and programs use the mount.
func TestDeadServer(t *testing.T) {
	for _, version := range []string{"vers=4.2", "vers=3"} {
		t.Run(version+" asked", func(t *testing.T) { testDeadServer(t, version, "clean", true) })
		for _, state := range []string{"clean", "used", "dirty"} {
			t.Run(version+" "+state, func(t *testing.T) { testDeadServer(t, version, state, false) })
		}
	}
}

func testDeadServer(t *testing.T, version, state string, ask bool) {
	f := newFreezer(t)
	target := newTarget(t)
	m := newMounter(t, Config{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	mustMount(t, m, openExport(t, version, f.option(), "nosharecache"), target)
	var w *pod.Pod
	if state != "clean" {
		w = pod.Start(t, filepath.Join(target, "data"))
	}
	f.freeze()
	t.Cleanup(f.thaw)
	stored := filepath.Join(given(t, "NFS_TEST_EXPORT"), "data")
	if info, err := os.Stat(stored); state != "clean" && (err != nil || info.Size() == pod.Unwritten) {
		t.Fatalf("nothing was left to write: %v, %v", info, err)
	}
	if state == "dirty" {
		w.KillAndWait()
	}
	if ask {
		askDeadServer(t, m, target)
	}
	start := time.Now()
	if err := m.Unmount(t.Context(), target); err != nil {
		t.Error(err)
	}
	mustBeUnmounted(t, target)
	t.Logf("unmounting took %v", time.Since(start))
	if took := time.Since(start); took > soon {
		t.Errorf("unmounting took %v", took)
	}
	if f.thaw(); state != "clean" {
		w.KillAndWait()
		unix.Sync()
		wantSize(t, stored, pod.Unwritten)
	}
}

// wantSize waits until a file, in the server's own tree, has that size.
func wantSize(t *testing.T, file string, want int64) {
	t.Helper()
	defer os.Remove(file)
	for end := time.Now().Add(soon); ; time.Sleep(10 * time.Millisecond) {
		info, err := os.Stat(file)
		if err == nil && info.Size() == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("data that was written while the server was dead never reached it: %v, %v", info, err)
		}
	}
}

// askDeadServer asks twice: while the first question is unanswered nobody waits for a second one.
func askDeadServer(t *testing.T, m *Mounter, target string) {
	t.Helper()
	for _, limit := range []time.Duration{soon, time.Second} {
		start := time.Now()
		_, err := m.Usage(t.Context(), target)
		wantError(t, err, volume.ErrUnavailable, "does not answer")
		if took := time.Since(start); took > limit {
			t.Errorf("the question took %v", took)
		}
	}
}

// A mount whose directory the server has lost is mounted anew.
func TestMountReplacesAStaleMount(t *testing.T) {
	for _, version := range []string{"vers=4.2", "vers=3"} {
		t.Run(version, func(t *testing.T) {
			directory := filepath.Join(given(t, "NFS_TEST_EXPORT_EXT4"), "lost")
			s := Source{Server: given(t, "NFS_TEST_SERVER"), Path: directory, Options: []string{version}}
			target := newTarget(t)
			m := newMounter(t, Config{})
			mustMake(t, directory)
			mustMount(t, m, s, target)
			if err := os.Remove(directory); err != nil {
				t.Fatal(err)
			}
			mustMake(t, directory)
			_, err := m.Usage(t.Context(), target)
			wantError(t, err, volume.ErrUnavailable, "has lost the directory")
			mustMount(t, m, s, target)
			mustWork(t, target, 1)
		})
	}
}

func mustMake(t *testing.T, directory string) {
	t.Helper()
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
}

// mustWork fails unless that many mounts are at target, and a file can be written there.
func mustWork(t *testing.T, target string, mounts int) {
	t.Helper()
	if found, err := mountsAt(target); err != nil || len(found) != mounts {
		t.Errorf("%d mounts, want %d, %v", len(found), mounts, err)
	}
	if err := os.WriteFile(filepath.Join(target, "works"), nil, 0o644); err != nil {
		t.Error(err)
	}
}

// A silent mount stays while its server is silent, and is replaced when only the mount is stuck.
func TestMountOfASilentMount(t *testing.T) {
	f := newFreezer(t)
	t.Cleanup(f.thaw)
	target := newTarget(t)
	preflight := fmt.Errorf("%w: switched off", volume.ErrUnavailable)
	m := newMounter(t, Config{Preflight: func(context.Context, string, string, []string) error { return preflight }})
	s := openExport(t, "vers=3")
	mustMount(t, newMounter(t, Config{}), openExport(t, "vers=3", f.option()), target)
	f.freeze()
	wantError(t, m.Mount(t.Context(), s, target), volume.ErrUnavailable, "switched off")
	if mounts, err := mountsAt(target); err != nil || len(mounts) != 1 {
		t.Fatalf("%d mounts, %v", len(mounts), err)
	}
	preflight = nil
	mustMount(t, m, s, target)
	mustWork(t, target, 1)
}

// One target that hangs delays no other.
func TestAStuckTargetDelaysNobody(t *testing.T) {
	m := newMounter(t, Config{Timeout: soon})
	ctx, cancel := context.WithCancel(t.Context())
	stuck := make(chan error, 1)
	dead, other := newTarget(t), newTarget(t)
	go func() { stuck <- m.Mount(ctx, Source{Server: given(t, "NFS_TEST_DEAD"), Path: "/x"}, dead) }()
	for busy := false; !busy; { // until the first operation has its target
		_, busy = m.claimed.Load(dead)
		time.Sleep(time.Millisecond)
	}
	wantError(t, m.Unmount(t.Context(), dead), volume.ErrBusy, dead)
	mustMount(t, m, openExport(t), other)
	select {
	case err := <-stuck:
		t.Errorf("the dead server's mount ended first: %v", err)
	default:
	}
	cancel()
	if err := <-stuck; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, it ended with %v", err)
	}
	mustBeUnmounted(t, dead)
}

// The helper is killed after it has mounted and before it says so: nothing may stay mounted.
func TestAMountFinishedTooLateIsUndone(t *testing.T) {
	target := newTarget(t)
	m := newMounter(t, Config{Helper: []string{os.Args[0], "mount-and-hang"}, Timeout: 3 * time.Second})
	wantError(t, m.Mount(t.Context(), openExport(t), target), volume.ErrUnavailable, "in time")
	mustBeUnmounted(t, target)
}

// Many volumes are published at once after a node has started, or beside others of the same server. No child is left.
func TestSixteenMountsAtOnce(t *testing.T) {
	for _, version := range []string{"vers=4.2", "vers=3"} {
		m := newMounter(t, Config{})
		s := openExport(t, version)
		mountSixteen(t, m, s, version+" first of the server")
		mustMount(t, m, s, newTarget(t))
		mountSixteen(t, m, s, version+" beside another")
		m.Close()
	}
	wantNoChildren(t)
}

func mountSixteen(t *testing.T, m *Mounter, s Source, name string) {
	t.Helper()
	var targets []string
	for range 16 {
		targets = append(targets, newTarget(t))
	}
	for _, round := range []struct {
		name string
		do   func(target string) error
	}{
		{"mounting", func(target string) error { return m.Mount(t.Context(), s, target) }},
		{"mounting again", func(target string) error { return m.Mount(t.Context(), s, target) }},
		{"measuring", func(target string) error { _, err := m.Usage(t.Context(), target); return err }},
		{"unmounting", func(target string) error { return m.Unmount(t.Context(), target) }},
	} {
		start := time.Now()
		var all sync.WaitGroup
		for _, target := range targets {
			all.Go(func() {
				if err := round.do(target); err != nil {
					t.Errorf("%s: %v", round.name, err)
				}
			})
		}
		all.Wait()
		t.Logf("%s: %s 16 at once: %v", name, round.name, time.Since(start))
	}
	for _, target := range targets {
		mustBeUnmounted(t, target)
	}
}

// wantNoChildren waits until this process has no child, running or dead.
func wantNoChildren(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(10 * time.Millisecond) {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if errors.Is(err, unix.ECHILD) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a child is left: %v", err)
		}
	}
}
