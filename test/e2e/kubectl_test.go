//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// run is one kubectl command with an optional standard input; its error holds what the command said.
func (e environment) run(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.kubectl, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// cluster is the environment in the hands of one test: what fails there ends the test.
type cluster struct {
	environment
	t *testing.T
}

func connect(t *testing.T) cluster {
	t.Helper()
	e, err := here()
	if err != nil {
		t.Fatal(err)
	}
	return cluster{e, t}
}

// try is a command that may fail.
func (c cluster) try(args ...string) (string, error) { return c.pipe("", args...) }

func (c cluster) pipe(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	return c.run(ctx, stdin, args...)
}

// must is a command that may not.
func (c cluster) must(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// get reads an object, cluster-wide or with -n among args, into v.
func (c cluster) get(v any, args ...string) error {
	out, err := c.try(append([]string{"get", "-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("reading %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// eventually calls check until it returns nil; at the deadline its last error fails the test.
func (c cluster) eventually(what string, deadline time.Duration, check func() error) {
	c.t.Helper()
	if err := poll(deadline, check); err != nil {
		c.t.Fatalf("%s: not within %s: %v", what, deadline, err)
	}
}

func poll(deadline time.Duration, check func() error) error {
	end := time.Now().Add(deadline)
	for {
		err := check()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(pollInterval)
	}
}

// absent is a check that the object of args is gone.
func (c cluster) absent(args ...string) func() error {
	return func() error {
		out, err := c.try(append([]string{"get", "--ignore-not-found", "-o", "name"}, args...)...)
		if err == nil && out != "" {
			err = errors.New(strings.TrimSpace(out) + " is still there")
		}
		return err
	}
}
