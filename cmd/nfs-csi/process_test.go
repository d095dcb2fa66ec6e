package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nfs-csi/nfs-csi/pkg/mount"
)

// TestMain is the mount helper too: a mounter starts its own program again, and here that is the test.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "mount-helper" {
		os.Exit(mount.HelperMain(os.Stdin, os.Stdout))
	}
	routeLibraryLogs()
	testscript.Main(m, map[string]func(){"nfs-csi": main, pluginName: main}) // of the scripts' processes; a test's goes on
}

// process is the program running in the test's own process.
type process struct {
	log    buffer
	cancel context.CancelFunc
	ended  chan error
}

// start runs the program until the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{cancel: cancel, ended: make(chan error, 1)}
	go func() { p.ended <- run(ctx, args, strings.NewReader(""), io.Discard, &p.log) }()
	t.Cleanup(cancel)
	return p
}

// stop is SIGTERM, and waits.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still running 10 s after it was told to stop")
	}
}

var metricsAddress = regexp.MustCompile(`metrics=(\S+)`)

// get asks the program's HTTP server, once it listens.
func (p *process) get(t *testing.T, path string) (code int, body string) {
	t.Helper()
	await(t, "the address of /metrics", func() bool { return metricsAddress.MatchString(p.log.String()) })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+metricsAddress.FindStringSubmatch(p.log.String())[1]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

// buffer may be written and read at once.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no sign of %s", what)
		}
	}
}

// leavesNothing fails the test if goroutines are left when it ends that were not there now.
func leavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			}
		}
	})
}
