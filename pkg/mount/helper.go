package mount

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// The operations of the child process.
const (
	operationMount   = "mount"
	operationUnmount = "unmount"
)

// request is what the child reads from its standard input, one JSON value each.
type request struct {
	Operation  string
	Target     string
	Source     string       `json:",omitempty"` // server:/path
	Attributes uint64       `json:",omitempty"` // MOUNT_ATTR_*
	Attempts   []attempt    `json:",omitempty"` // in the order to try
	Flags      int          `json:",omitempty"` // of umount2(2)
	Root       *volume.Root `json:",omitempty"`

	server string // whose lane of the pool it takes
}

// attempt is one way to mount: a version of NFS and an address of the server.
type attempt struct {
	Version    string
	Address    string
	Parameters []parameter
}

// answer is what the child writes to its standard output: one when it is ready and one for each request.
type answer struct {
	Failure *failure `json:",omitempty"` // nil: done
}

// HelperMain is the whole program of the child process in which system calls run that a dead server may hold for minutes:
// it can be killed. It reads requests from stdin and writes an answer each to stdout until stdin ends, and returns the exit
// code. When stdin ends before the work is done, the parent has given up or died, and it returns at once.
func HelperMain(stdin io.Reader, stdout io.Writer) int {
	requests := make(chan request)
	var readErr error
	go func() {
		defer close(requests)
		for decoder := json.NewDecoder(stdin); ; {
			var r request
			if readErr = decoder.Decode(&r); readErr != nil {
				return
			}
			requests <- r
		}
	}()
	answers := json.NewEncoder(stdout)
	if err := answers.Encode(answer{}); err != nil {
		return 1
	}
	for r := range requests {
		done := make(chan answer, 1)
		go func() { done <- perform(r) }()
		select {
		case <-requests: // no second request comes before the answer, so this is the end
			return 1
		case a := <-done:
			if err := answers.Encode(a); err != nil {
				return 1
			}
		}
	}
	if !errors.Is(readErr, io.EOF) {
		return 2
	}
	return 0
}

func perform(r request) answer {
	switch r.Operation {
	case operationMount:
		return answer{mountFirst(r, attach)}
	case operationUnmount:
		return answer{detach(r.Target, r.Flags)}
	}
	return answer{&failure{Doing: fmt.Sprintf("operation %q", r.Operation), Log: []string{"not known"}}}
}

// mountFirst tries the attempts in order until one succeeds. Those that cannot end differently are left out: the other
// versions at an address where nothing answered, and all that is left after an answer other than "not that version". What
// it returns is the first failure that says more than that.
func mountFirst(r request, try func(request, attempt) *failure) *failure {
	var first *failure
	dead := map[string]bool{}
	for _, a := range r.Attempts {
		if dead[a.Address] {
			continue
		}
		f := try(r, a)
		if f == nil {
			return nil
		}
		f.Version, f.Address = a.Version, a.Address
		if first == nil || first.wrongVersion() {
			first = f
		}
		switch {
		case f.wrongVersion():
		case f.unreachable():
			dead[a.Address] = true
		default:
			return f
		}
	}
	return first
}
