//go:build guest

package faults_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// unwritten is how much a pod leaves in the page cache, in bytes.
const unwritten = 1_000_000

// write is a pod's program: it writes a file, keeps it open, and appends what is on its standard input.
func write(file string) int {
	f, err := os.Create(file)
	if err == nil {
		_, err = f.Write(make([]byte, unwritten))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("written")
	if _, err := io.Copy(f, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := f.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// pod is a process that uses a volume.
type pod struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan error
}

// startPod starts a program that has unwritten data for file.
func startPod(t *testing.T, file string) *pod {
	t.Helper()
	p := &pod{cmd: exec.Command(os.Args[0], "write", file), ended: make(chan error, 1)}
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
	if _, err := io.ReadFull(stdout, make([]byte, len("written\n"))); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(p.kill)
	return p
}

// kill is what kubelet does before it unpublishes. It does not wait: a dead server may hold the process for a while.
func (p *pod) kill() { _ = p.cmd.Process.Kill() }

// finish lets the program write its last and end; what it wrote is on the server then.
func (p *pod) finish(ctx context.Context) error {
	if _, err := io.WriteString(p.stdin, "the end"); err != nil {
		return err
	}
	p.stdin.Close()
	select {
	case err := <-p.ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// use writes a file of that volume and reads it back, in a process that a dead server may hold.
func use(ctx context.Context, directory string) error {
	c := exec.CommandContext(ctx, "sh", "-c", `date >"$0/used" && test -s "$0/used"`, directory)
	c.WaitDelay = time.Second
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("using %s: %w: %s", directory, err, out)
	}
	return nil
}
