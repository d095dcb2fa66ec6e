package mount

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// killPatience is how long a killed child may take to end. NFS lets go of a killed process at once; a process that the
// kernel does not let go is left behind, waited for by its own goroutine.
const killPatience = 2 * time.Second

// errKilled: the child was ended at the deadline, so its work may be done or not.
var errKilled = errors.New("ended at the deadline")

// child runs one request in a process of its own, ended with its whole group when ctx ends. nil: done. A [*failure] is the
// child's own; errKilled leaves open whether the work was done.
func (m *Mounter) child(ctx context.Context, r request) error {
	input, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var output, complaints bytes.Buffer
	cmd := exec.Command(m.helper[0], m.helper[1:]...) //nolint:noctx // ended below, with its group
	cmd.Env = []string{"GOMAXPROCS=2", "GOGC=off", "GOTRACEBACK=single"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = &output, &complaints
	stdin, err := cmd.StdinPipe() // open while we wait: its end tells the child that we are gone
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", m.helper[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if _, err := stdin.Write(append(input, '\n')); err != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	select {
	case err = <-ended:
		return judge(err, output.Bytes(), complaints.Bytes())
	case <-ctx.Done():
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	select {
	case <-ended:
	case <-time.After(killPatience):
		m.log.WarnContext(ctx, "A killed mount helper has not ended yet", "pid", cmd.Process.Pid, "target", r.Target)
	}
	return fmt.Errorf("%s %w: %w", r.Operation, errKilled, context.Cause(ctx))
}

// judge reads what a child that ended by itself has answered.
func judge(ended error, output, complaints []byte) error {
	if ended != nil {
		return fmt.Errorf("mount helper: %w: %s", ended, bytes.TrimSpace(complaints[:min(len(complaints), 4096)]))
	}
	var a answer
	if err := json.Unmarshal(output, &a); err != nil {
		return fmt.Errorf("reading the mount helper's answer: %w", err)
	}
	if a.Failure != nil {
		return a.Failure
	}
	return nil
}

// claims keeps operations on one target apart.
func (m *Mounter) claim(target string) (release func(), err error) {
	if _, taken := m.claimed.LoadOrStore(target, true); taken {
		return nil, fmt.Errorf("%w: on %s", volume.ErrBusy, target)
	}
	return func() { m.claimed.Delete(target) }, nil
}
