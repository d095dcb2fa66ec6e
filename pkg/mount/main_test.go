package mount

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/test/pod"
)

// TestMain lets the test binary be its own mount helper, and a pod's program.
func TestMain(m *testing.M) {
	if pod.IsAsked() {
		os.Exit(pod.Main())
	}
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		os.Exit(helper(os.Args[1]))
	}
	os.Exit(m.Run())
}

// helper is a mount helper that does what its name says.
func helper(name string) int {
	switch name {
	case "mount-helper":
		return HelperMain(os.Stdin, os.Stdout)
	case "mount-and-hang":
		hangAfter(operationMount, perform)
	case "hang-when-asked-to-unmount":
		hangAfter(operationUnmount, func(r request) answer {
			return answer{&failure{Doing: fmt.Sprintf("operation %q", r.Operation)}}
		})
	case "once":
		return once(os.Args[2])
	case "kill-" + killedBefore, "kill-" + killedAfter:
		return killParent(name == "kill-"+killedBefore)
	case "refuse":
		answers := json.NewEncoder(os.Stdout)
		_ = answers.Encode(answer{})
		for requests := json.NewDecoder(os.Stdin); requests.Decode(&request{}) == nil; {
			_ = answers.Encode(answer{&failure{Doing: doingConnect, Errno: unix.EACCES}})
		}
		return 0
	case "hang":
		fmt.Println("{}")
		hang()
	case "never-ready":
		hang()
	case "nonsense":
		fmt.Println("{")
		return 0
	case "crash":
		fmt.Fprintln(os.Stderr, "it crashed")
		return 3
	}
	return 9
}

// When a process is killed: before its helper works, or after that, before the helper says so.
const (
	killedBefore = "before"
	killedAfter  = "after"
)

// onceRequest is one operation of a process that is killed in it.
type onceRequest struct {
	Operation, Step string
	Source          Source
	Target          string
}

// once is a process that does one operation, in which its helper kills it.
func once(input string) int {
	var r onceRequest
	if err := json.Unmarshal([]byte(input), &r); err != nil {
		return 1
	}
	m := New(Config{Helper: []string{os.Args[0], "kill-" + r.Step}})
	if r.Operation == operationMount {
		_ = m.Mount(context.Background(), r.Source, r.Target)
	} else {
		_ = m.Unmount(context.Background(), r.Target)
	}
	return 0 // and was not killed
}

// killParent is a helper that kills its parent before or after it does what it is asked.
func killParent(before bool) int {
	parent := os.Getppid()
	if json.NewEncoder(os.Stdout).Encode(answer{}) != nil {
		return 1
	}
	var r request
	if err := json.NewDecoder(os.Stdin).Decode(&r); err != nil {
		return 1
	}
	if before {
		_ = unix.Kill(parent, unix.SIGKILL)
	}
	perform(r)
	_ = unix.Kill(parent, unix.SIGKILL)
	return 0
}

// hangAfter does all it is asked, but never answers an operation of that kind.
func hangAfter(operation string, do func(request) answer) {
	requests, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for a := (answer{}); answers.Encode(a) == nil; {
		var r request
		if err := requests.Decode(&r); err != nil {
			return
		}
		a = do(r)
		if r.Operation == operation {
			hang()
		}
	}
}

// hang waits until the parent kills or closes us.
func hang() { _, _ = io.Copy(io.Discard, os.Stdin) }

// newMounter is a Mounter that the test's end closes. Its helper is this test binary.
func newMounter(t *testing.T, c Config) *Mounter {
	t.Helper()
	m := New(c)
	t.Cleanup(m.Close)
	return m
}
