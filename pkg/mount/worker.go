package mount

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second // for a child to say that it is ready
	killPatience = 2 * time.Second  // for a killed child to end; NFS lets go of a killed process at once
)

// errKilled: the child was ended at the deadline, so its work may be done or not.
var errKilled = errors.New("ended at the deadline")

// worker is a child process that runs [HelperMain]: one request at a time.
type worker struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser // its end tells the child to end
	answers chan answer    // closed when the child ends
	ended   chan struct{}  // closed when the kernel has let go of the child
	stderr  *tail
	idle    *time.Timer // retires the worker
}

// startWorker starts a child, in a process group of its own, and waits until it is ready.
func startWorker(ctx context.Context, command []string) (*worker, error) {
	w := &worker{
		cmd:     exec.Command(command[0], command[1:]...), //nolint:noctx // it outlives the request; kill and retire end it
		answers: make(chan answer, 1), ended: make(chan struct{}), stderr: &tail{},
	}
	w.cmd.Env, w.cmd.Dir, w.cmd.Stderr = []string{}, "/", w.stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the mount helper: %w", err)
	}
	go w.read(stdout)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if _, err := w.answer(ctx); err != nil {
		if w.kill(); errors.Is(err, errKilled) { // before it was given anything to do: no server is to blame
			return nil, fmt.Errorf("%w (starting it: %v)", errNoWorker, err)
		}
		return nil, fmt.Errorf("starting the mount helper %q: %w", strings.Join(command, " "), err)
	}
	return w, nil
}

// read passes on what the child answers until its end.
func (w *worker) read(stdout io.Reader) {
	defer close(w.ended)
	answers := json.NewDecoder(stdout)
	for {
		var a answer
		if err := answers.Decode(&a); err != nil {
			break
		}
		w.answers <- a
	}
	_ = w.cmd.Wait() // how it ended says nothing that its end does not
	close(w.answers)
}

// do gives the child a request and answers what became of it: nil, a [*failure], errKilled, or that the child is broken.
// After the last two the worker is of no use any more.
func (w *worker) do(ctx context.Context, r request) error {
	input, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := w.stdin.Write(append(input, '\n')); err != nil {
		return fmt.Errorf("writing to the mount helper: %w", err)
	}
	a, err := w.answer(ctx)
	if err != nil {
		return err
	}
	if a.Failure != nil {
		return a.Failure
	}
	return nil
}

func (w *worker) answer(ctx context.Context) (answer, error) {
	select {
	case a, ok := <-w.answers:
		if !ok {
			return answer{}, fmt.Errorf("the mount helper ended (%v): %s", w.cmd.ProcessState, w.stderr)
		}
		return a, nil
	case <-ctx.Done():
		return answer{}, fmt.Errorf("%w: %w", errKilled, context.Cause(ctx))
	}
}

// kill ends the child with its whole group. A child that the kernel does not let go is left behind; false says so.
func (w *worker) kill() bool {
	_ = syscall.Kill(-w.cmd.Process.Pid, syscall.SIGKILL)
	return w.wait(killPatience)
}

// retire lets an idle child end.
func (w *worker) retire() {
	w.stdin.Close()
	if !w.wait(killPatience) {
		w.kill()
	}
}

func (w *worker) wait(patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-w.answers: // too late, or closed
		case <-w.ended:
			return true
		case <-timer.C:
			return false
		}
	}
}

// alive: the child has not ended.
func (w *worker) alive() bool {
	select {
	case <-w.ended:
		return false
	default:
		return true
	}
}

// tail keeps the last that was written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
