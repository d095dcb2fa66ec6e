package pod_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/test/pod"
)

func TestMain(m *testing.M) {
	if pod.IsAsked() {
		os.Exit(pod.Main())
	}
	os.Exit(m.Run())
}

// in bounds what a process takes to end.
func in(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestFinish(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	p := pod.Start(t, file)
	if info, err := os.Stat(file); err != nil || info.Size() != pod.Unwritten {
		t.Fatalf("%v, %v", info, err)
	}
	if err := p.Finish(in(t)); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || !strings.HasSuffix(string(data), "\x00"+pod.End) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestKilled(t *testing.T) {
	p := pod.Start(t, filepath.Join(t.TempDir(), "file"))
	p.KillAndWait()
	if err := p.Finish(in(t)); err == nil {
		t.Error("a program that was killed wrote on")
	}
}
