package main

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestProgress(t *testing.T) {
	var b strings.Builder
	steps := func(tell func(done, of int, name string, err error)) string {
		b.Reset()
		tell(1, 3, "pvc-1", nil)
		tell(2, 3, "pvc-2\x1b[2J", errors.New("it is\nbeing deleted"))
		tell(3, 3, "pvc-3", nil)
		return b.String()
	}
	if got, want := steps(progress(&b, "converted")), "[1/3] pvc-1 converted\n[2/3] pvc-2?[2J: it is?being deleted\n[3/3] pvc-3 converted\n"; got != want {
		t.Errorf("a file gets %q, want %q", got, want)
	}
	const anew = "\r\x1b[K"
	want := anew + "[##########--------------------] 1 of 3 converted" +
		anew + "[2/3] pvc-2?[2J: it is?being deleted\n" + anew + "[####################----------] 2 of 3 converted" +
		anew + "[##############################] 3 of 3 converted\n"
	if got := steps(progressBar(&b, "converted")); got != want {
		t.Errorf("a terminal gets %q, want %q", got, want)
	}
}

func TestIsTerminal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if isTerminal(f) || isTerminal(new(strings.Builder)) || !isTerminal(terminal) {
		t.Errorf("file %t, memory %t, terminal %t", isTerminal(f), isTerminal(new(strings.Builder)), isTerminal(terminal))
	}
}
