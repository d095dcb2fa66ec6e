//go:build guest

package mount

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The process is killed at each step of a call that a helper does for it, even where the helper finishes its work afterwards: the
// next process completes the call, or cleans up, and leaves nothing.
func TestKilledAtEachStep(t *testing.T) {
	for _, operation := range []string{operationMount, operationUnmount} {
		for _, step := range []string{killedBefore, killedAfter} {
			for _, next := range []string{operationMount, operationUnmount} {
				t.Run(operation+" killed "+step+" then "+next, func(t *testing.T) {
					target, s := newTarget(t), openExport(t)
					m := newMounter(t, Config{})
					if operation == operationUnmount {
						mustMount(t, m, s, target)
					}
					input, err := json.Marshal(onceRequest{operation, step, s, target})
					if err != nil {
						t.Fatal(err)
					}
					if out, err := exec.Command(os.Args[0], "once", string(input)).CombinedOutput(); err == nil || err.Error() != "signal: killed" {
						t.Fatalf("the process that was to be killed ended with %v\n%s", err, out)
					}
					wantNoProcess(t, "kill-"+step)
					if next == operationMount {
						mustMount(t, m, s, target)
						mustWork(t, target, 1)
					}
					if err := m.Unmount(t.Context(), target); err != nil {
						t.Error(err)
					}
					mustBeUnmounted(t, target)
				})
			}
		}
	}
}

// wantNoProcess waits until no process has that argument: here a helper, which may do its work after its parent's end.
func wantNoProcess(t *testing.T, argument string) {
	t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(10 * time.Millisecond) {
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		running := false
		for _, file := range files {
			line, _ := os.ReadFile(file) // a process may end meanwhile
			running = running || strings.Contains(string(line), argument)
		}
		if !running {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a process %q is left", argument)
		}
	}
}
