package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

const faultTimeout = 2 * time.Minute

// cutConnections uses an export over connections that break all the time, and checks what is there in the end.
func cutConnections(t *testing.T, c nfs.Config) {
	before := len(clientGoroutines())
	defer waitForGoroutines(t, before)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithTimeout(context.Background(), faultTimeout)
	defer cancel()
	steady, err := nfs.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer steady.Close()
	if err := steady.Mkdir(ctx, "cut", 0o777, -1, -1); err != nil {
		t.Fatal(err)
	}
	defer steady.RemoveAll(ctx, "cut", nil)

	flaky := &nfsserver.Flaky{Dial: c.Dial, Mean: 8000, Orderly: c.Versions[0] <= nfs.V40}
	flaky.Calm()
	c.Dial = flaky.Connect
	f, err := nfs.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	flaky.Rage()
	const workers = 8
	rounds := 25
	if f.Version() <= nfs.V40 {
		rounds = 8 // a repetition waits there
	}
	if err := atOnce(workers, rounds, func(name string) error { return everything(ctx, f, "cut/"+name) }); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if flaky.Cuts() < 20 {
		t.Errorf("only %d connections were cut: that shows little", flaky.Cuts())
	}
	checkEverything(ctx, t, steady, workers*rounds)
}

// atOnce calls do with a name of its own, rounds times for each of the workers.
func atOnce(workers, rounds int, do func(name string) error) error {
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := 0; i < rounds && errs[w] == nil; i++ {
				errs[w] = do(fmt.Sprintf("%d-%d", w, i))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// everything changes things in every way, in a directory of its own, and leaves the same behind each time.
func everything(ctx context.Context, f *nfs.FS, dir string) error {
	in := func(name string) string { return dir + "/" + name }
	steps := []func() error{
		func() error { return f.Mkdir(ctx, dir, 0o750, -1, -1) },
		func() error { return f.Mkdir(ctx, in("a"), 0o700, -1, -1) },
		func() error { return f.CreateFile(ctx, in("a/file"), []byte(dir), 0o600) },
		func() error { return f.Symlink(ctx, dir, in("link")) },
		func() error { return f.Rename(ctx, in("a"), in("b")) },
		func() error { return f.Chmod(ctx, in("b"), 0o755) },
		func() error { return f.CreateFile(ctx, in("gone"), []byte("x"), 0o600) },
		func() error { return f.Remove(ctx, in("gone")) },
		func() error { return f.Mkdir(ctx, in("tree"), 0o700, -1, -1) },
		func() error { return f.Mkdir(ctx, in("tree/sub"), 0o700, -1, -1) },
		func() error { return f.Symlink(ctx, "x", in("tree/sub/link")) },
		func() error { return f.RemoveAll(ctx, in("tree"), nil) },
		func() error { _, err := f.ReadDir(ctx, dir); return err },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func checkEverything(ctx context.Context, t *testing.T, f *nfs.FS, want int) {
	t.Helper()
	dirs, err := f.ReadDir(ctx, "cut")
	if err != nil || len(dirs) != want {
		t.Fatalf("%d directories, want %d, %v", len(dirs), want, err)
	}
	for _, info := range dirs {
		dir := "cut/" + info.Name()
		infos, err := f.ReadDir(ctx, dir)
		var names []string
		for _, info := range infos {
			names = append(names, info.Name())
		}
		if err != nil || !slices.Equal(names, []string{"b", "link"}) {
			t.Errorf("%s holds %q, %v", dir, names, err)
			continue
		}
		if infos[0].Mode().Perm() != 0o755 {
			t.Errorf("%s/b has mode %v", dir, infos[0].Mode())
		}
		if data, err := f.ReadFile(ctx, dir+"/b/file", 100); err != nil || string(data) != dir {
			t.Errorf("%s/b/file holds %q, %v", dir, data, err)
		}
	}
}

// waitForGoroutines waits until no more goroutines run code of the client than before.
func waitForGoroutines(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stacks := clientGoroutines()
		if len(stacks) <= before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines of the client, %d before:\n%s", len(stacks), before, strings.Join(stacks, "\n\n"))
		}
	}
}

// clientGoroutines returns the stacks of all goroutines that pkg/nfs started or runs in.
func clientGoroutines() []string {
	buf := make([]byte, 4<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	return slices.DeleteFunc(stacks, func(s string) bool { return !strings.Contains(s, "nfs-csi/pkg/nfs") })
}
