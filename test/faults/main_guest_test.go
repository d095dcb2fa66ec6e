//go:build guest

package faults_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nfs-csi/nfs-csi/test/faults"
	"github.com/nfs-csi/nfs-csi/test/pod"
)

// table is what this run has measured.
var table faults.Table

// TestMain prints the table. It is also a pod's program.
func TestMain(m *testing.M) {
	if pod.IsAsked() {
		os.Exit(pod.Main())
	}
	code := m.Run()
	fmt.Print(table.String())
	os.Exit(code)
}

// The bounds that docs/reliability.md promises.
const (
	publishBound   = 15 * time.Second
	unpublishBound = 30 * time.Second
	statsBound     = 5 * time.Second
	besideBound    = 10 * time.Second // of calls for other servers: no wait for the dead one
	recoveryBound  = 2 * time.Minute  // the kernel's TCP connects again with pauses as long as the outage was
	kubelet        = 2 * time.Minute  // how long kubelet waits for a call
)

// judge measures operations under one fault.
type judge struct {
	t     *testing.T
	fault string
}

// within answers what do answers, and enters in the table how long that took. The call gets the time that kubelet gives.
func (j judge) within(operation string, bound time.Duration, do func(ctx context.Context) error) error {
	j.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), kubelet)
	defer cancel()
	start := time.Now()
	err := do(ctx)
	if took := time.Since(start); !table.Took(j.fault, operation, bound, took) {
		j.t.Errorf("%s: %s took %v, promised are %v", j.fault, operation, took, bound)
	}
	return err
}

// succeeds is within, for what must work.
func (j judge) succeeds(operation string, bound time.Duration, do func(ctx context.Context) error) {
	j.t.Helper()
	if err := j.within(operation, bound, do); err != nil {
		j.t.Errorf("%s: %s: %v", j.fault, operation, err)
	}
}

// fails is within, for what must end with that code, in these words.
func (j judge) fails(operation string, bound time.Duration, code codes.Code, words []string, do func(ctx context.Context) error) {
	j.t.Helper()
	err := j.within(operation, bound, do)
	j.t.Logf("%s: %s: %v", j.fault, operation, err)
	if status.Code(err) != code {
		j.t.Errorf("%s: %s ends with %v, want the code %v", j.fault, operation, err, code)
	}
	for _, w := range words {
		if err != nil && !strings.Contains(err.Error(), w) {
			j.t.Errorf("%s: %s does not say %q: %v", j.fault, operation, w, err)
		}
	}
}

// comes waits until do succeeds.
func (j judge) comes(operation string, bound time.Duration, do func(ctx context.Context) error) {
	j.t.Helper()
	j.succeeds(operation, bound, func(context.Context) error {
		for end := time.Now().Add(bound); ; time.Sleep(100 * time.Millisecond) {
			ctx, cancel := context.WithTimeout(context.Background(), bound)
			err := do(ctx)
			cancel()
			if err == nil || time.Now().After(end) {
				return err
			}
		}
	})
}
