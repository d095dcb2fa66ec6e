// Package pod is a program that uses a volume as a container does: it has a file open and data in the page cache that the
// server does not have yet.
//
// It is not the test's own process, whose every fork would write the data back, but the test's binary started again: its
// TestMain hands over to [Main] where [IsAsked] says so.
package pod

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

const (
	// Unwritten is how much the program leaves in the page cache, in bytes.
	Unwritten = 1_000_000
	// End is what [Pod.Finish] has it append.
	End = "the end"

	argument = "use-a-volume-as-a-pod"
	written  = "written\n"
)

// IsAsked tells whether this process was started as the program.
func IsAsked() bool { return len(os.Args) == 3 && os.Args[1] == argument }

// Main is the program. It writes the file that its argument names, keeps it open, and appends what is on its standard input.
func Main() int {
	if err := use(os.Args[2], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func use(name string, stdin io.Reader, stdout io.Writer) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(make([]byte, Unwritten)); err != nil {
		return err
	}
	if _, err := io.WriteString(stdout, written); err != nil {
		return err
	}
	if _, err := io.Copy(f, stdin); err != nil {
		return err
	}
	return f.Close()
}

// Pod is the program as it runs.
type Pod struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{} // closed when err is set
	err   error
}

// Start starts a program that has unwritten data for file. The test's end kills it.
func Start(t testing.TB, file string) *Pod {
	t.Helper()
	p := &Pod{cmd: exec.Command(os.Args[0], argument, file), ended: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len(written))); err != nil {
		t.Fatalf("the program that should write %s: %v", file, err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(p.Kill)
	return p
}

// Kill is what kubelet does before it unpublishes. It does not wait: a dead server may hold the process for a while.
func (p *Pod) Kill() { _ = p.cmd.Process.Kill() }

// KillAndWait waits a little for the end.
func (p *Pod) KillAndWait() {
	p.Kill()
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
	}
}

// Finish lets the program write [End] and end; what it wrote is on the server then.
func (p *Pod) Finish(ctx context.Context) error {
	if _, err := io.WriteString(p.stdin, End); err != nil {
		return err
	}
	if err := p.stdin.Close(); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
