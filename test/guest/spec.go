package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// specVariable names the file with the spec. The kernel passes NAME=value words of its command line on to init as environment.
const specVariable = "GUEST_SPEC"

// spec is what the runner tells init, through a file that both see.
type spec struct {
	Packages string        // root of the unpacked Debian packages, "" when the host has them all
	Modules  string        // directory of the kernel's modules, with modules.dep
	Dir      string        // the one host directory that may be written: holds the result
	Out      string        // what the program finds in $GUEST_OUT
	Workdir  string        // the program's working directory
	Command  []string      // the program, an absolute path, and its arguments
	Env      []string      // its environment
	Timeout  time.Duration // after which init ends it
	NFSD     bool          // start the NFS server
}

const resultFile = "result"

// result is what init tells the runner when the program is done.
type result struct {
	Code     int    // exit code; 128+n when signal n ended it
	TimedOut bool   // init ended it
	Failure  string // why the program did not even start
}

func writeJSON(file string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_SYNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func readJSON(file string, v any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Base(file), err)
	}
	return nil
}

// bytesOf reads a size such as 512M or 2G.
func bytesOf(size string) (int64, error) {
	shift := map[string]uint{"K": 10, "M": 20, "G": 30}
	number, unit := size, uint(0)
	for suffix, bits := range shift {
		if n, found := strings.CutSuffix(strings.ToUpper(size), suffix); found {
			number, unit = n, bits
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("memory %q is not a size such as 1G", size)
	}
	return n << unit, nil
}
