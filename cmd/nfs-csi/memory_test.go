package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// Less of the program's file is in memory afterwards, and the program still runs.
func TestProgramGivesItsPagesBack(t *testing.T) {
	before := fileKilobytes(t)
	if err := releaseProgram(); err != nil {
		t.Fatal(err)
	}
	if after := fileKilobytes(t); after >= before {
		t.Errorf("%d kB of files are mapped, %d before", after, before)
	}
}

func TestUserChoosesTheCollectorsPace(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	t.Setenv("GOGC", "77")
	saveMemory(quietLog())
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is set, and is overridden by %d", got)
	}
	t.Setenv("GOGC", "")
	saveMemory(quietLog())
	if got := debug.SetGCPercent(100); got != gcPercent {
		t.Errorf("the collector starts at %d %%", got)
	}
}

func fileKilobytes(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "RssFile:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no RssFile in /proc/self/status")
	return 0
}
