package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// gcPercent keeps the heap of a mostly idle process small; GOGC overrides it.
const gcPercent = 50

// saveMemory is called when everything has been started. Registering the types of Kubernetes touches most of the program's
// file; those pages are clean, count as ours and are never used again, so they are given back, as is what the heap does not
// need. A page that is used after all is mapped again from the page cache.
func saveMemory(log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	debug.FreeOSMemory()
	if err := releaseProgram(); err != nil {
		log.Debug("the program's own pages stay in memory", "err", err)
	}
}

// releaseProgram finds the read-only mappings of our executable in proc_pid_maps(5).
func releaseProgram() error {
	executable, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("looking for the program's file: %w", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("looking for the program's mappings: %w", err)
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[5] != executable || f[1][1] == 'w' {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil {
			return fmt.Errorf("reading mapping %q: %w", f[0], err)
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("giving back mapping %s: %w", f[0], errno)
		}
	}
	return nil
}
