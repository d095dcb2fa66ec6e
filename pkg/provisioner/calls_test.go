package provisioner

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestStopWaitsForRunningCalls(t *testing.T) {
	c := newCalls(time.Minute)
	parent, cancel := context.WithCancel(t.Context())
	ctx, call, err := c.begin(parent)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if ctx.Err() != nil {
		t.Error("the call ends with its caller")
	}
	stopped := make(chan struct{})
	go func() { c.stop(time.Minute); close(stopped) }()
	await(t, "the stop", c.stopped)
	if _, _, err := c.begin(t.Context()); !errors.Is(err, errStopping) {
		t.Errorf("a new call began: %v", err)
	}
	select {
	case <-stopped:
		t.Fatal("stop did not wait")
	default:
	}
	call.end()
	call.end() // twice is once
	<-stopped
}

func TestStopCancelsWhatTakesTooLong(t *testing.T) {
	c := newCalls(time.Minute)
	ctx, call, err := c.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-ctx.Done(); call.end() }()
	c.stop(time.Millisecond)
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("the call's context ended with %v", ctx.Err())
	}
}

func TestCallEndsAfterItsTimeout(t *testing.T) {
	c := newCalls(time.Millisecond)
	ctx, call, err := c.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer call.end()
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error(ctx.Err())
	}
}

func TestStopWaitsForTheSavingOfVolumes(t *testing.T) {
	c := newCalls(time.Minute)
	for range 2 { // the second for the same name replaces the first
		_, call, err := c.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		call.endWhenSaved("pvc-1")
	}
	stopped := make(chan struct{})
	go func() { c.stop(time.Minute); close(stopped) }()
	await(t, "the stop", c.stopped)
	select {
	case <-stopped:
		t.Fatal("stop did not wait")
	default:
	}
	c.saved("another")
	c.saved("pvc-1")
	<-stopped
}
