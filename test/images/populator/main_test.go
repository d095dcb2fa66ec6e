package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestMistakesOfTheCall(t *testing.T) {
	for call, words := range map[string]string{
		"":                          "usage: populator",
		"other":                     "usage: populator",
		"hello-populator":           "--mode is controller or populate",
		"hello-populator --mode=x":  "--mode is controller or populate",
		"hello-populator --unknown": "not defined",
	} {
		if err := run(t.Context(), strings.Fields(call), io.Discard); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: error is %v, want %q", call, err, words)
		}
	}
}

// The calls of the suite's manifests are understood: what is missing is the cluster.
func TestCallsOfTheManifests(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, call := range []string{
		"hello-populator --mode=controller --image-name=registry/image:1 --http-endpoint=:8080 --namespace=hello",
		"volume-data-source-validator --v=5 --leader-election=false",
	} {
		if err := run(t.Context(), strings.Fields(call), io.Discard); err == nil || !strings.Contains(err.Error(), "looking for the API server") {
			t.Errorf("%q: error is %v", call, err)
		}
	}
}

func TestFailuresAreTriedAgainUntilTheEnd(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	looks := 0
	err := repeat(ctx, slog.New(slog.DiscardHandler), func(context.Context) error {
		if looks++; looks == 2 {
			stop()
		}
		return errors.New("refused")
	})
	if err != nil || looks != 2 {
		t.Errorf("%d looks, then %v", looks, err)
	}
}
