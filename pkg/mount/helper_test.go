package mount

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHelperAnswersEachRequest(t *testing.T) {
	in, requests := io.Pipe()
	answers, out := io.Pipe()
	code := make(chan int, 1)
	go func() { code <- HelperMain(in, out) }()
	decoder := json.NewDecoder(answers)
	read := func() answer {
		var a answer
		if err := decoder.Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := read(); a.Failure != nil {
		t.Errorf("not ready: %v", a.Failure)
	}
	for _, r := range []request{
		{Operation: operationUnmount, Target: filepath.Join(t.TempDir(), "missing")},
		{Operation: operationUnmount, Target: t.TempDir()}, // nothing is mounted there
		{Operation: "dance"},
	} {
		if err := json.NewEncoder(requests).Encode(r); err != nil {
			t.Fatal(err)
		}
		a := read()
		// Without the right to unmount the kernel says so before it looks for a mount.
		if ok := a.Failure == nil || a.Failure.Errno == unix.EPERM; ok != (r.Operation == operationUnmount) {
			t.Errorf("%+v: %v", r, a.Failure)
		}
	}
	requests.Close()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
}

func TestHelperRefusesNonsense(t *testing.T) {
	if code := HelperMain(strings.NewReader("this is no request"), io.Discard); code != 2 {
		t.Errorf("exit code %d", code)
	}
}

func TestHelperEndsWhenNobodyListens(t *testing.T) {
	if code := HelperMain(strings.NewReader(""), brokenPipe{}); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if code := HelperMain(strings.NewReader(""), &bytes.Buffer{}); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestMountFirst(t *testing.T) {
	refused := failure{Doing: doingConnect, Errno: unix.ECONNREFUSED}
	version := failure{Doing: doingConnect, Errno: unix.EPROTONOSUPPORT}
	kernel := failure{Doing: doingOption, Errno: unix.EINVAL, Option: "vers"}
	missing := failure{Doing: doingConnect, Errno: unix.ENOENT}
	for _, tc := range []struct {
		name     string
		failures map[string]failure // by version@address; none: success
		tried    string
		want     unix.Errno
	}{
		{"the first works", nil, "4.2@a", 0},
		{"an old server", map[string]failure{"4.2@a": version, "4.1@a": version}, "4.2@a 4.2@b", 0},
		{"an old server with one address", map[string]failure{"4.2@a": version, "4.2@b": version}, "4.2@a 4.2@b 4.1@a", 0},
		{"an old kernel", map[string]failure{"4.2@a": kernel, "4.2@b": kernel, "4.1@a": kernel, "4.1@b": kernel}, "4.2@a 4.2@b 4.1@a 4.1@b 3@a", 0},
		{"the first address is dead", map[string]failure{"4.2@a": refused}, "4.2@a 4.2@b", 0},
		{"all addresses are dead", map[string]failure{"4.2@a": refused, "4.2@b": refused}, "4.2@a 4.2@b", unix.ECONNREFUSED},
		{"wrong path", map[string]failure{"4.2@a": missing}, "4.2@a", unix.ENOENT},
		{"dead, then old, then missing", map[string]failure{"4.2@a": version, "4.2@b": refused, "4.1@a": missing}, "4.2@a 4.2@b 4.1@a", unix.ENOENT},
		{"no version", map[string]failure{"4.2@a": version, "4.2@b": version, "4.1@a": version, "4.1@b": version, "3@a": version, "3@b": version},
			"4.2@a 4.2@b 4.1@a 4.1@b 3@a 3@b", unix.EPROTONOSUPPORT},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r request
			for _, v := range []string{"4.2", "4.1", "3"} {
				r.Attempts = append(r.Attempts, attempt{Version: v, Address: "a"}, attempt{Version: v, Address: "b"})
			}
			var tried []string
			f := mountFirst(r, func(_ request, a attempt) *failure {
				name := a.Version + "@" + a.Address
				tried = append(tried, name)
				if f, ok := tc.failures[name]; ok {
					return &f
				}
				return nil
			})
			if got := strings.Join(tried, " "); got != tc.tried {
				t.Errorf("tried %s, want %s", got, tc.tried)
			}
			if f == nil && tc.want != 0 || f != nil && f.Errno != tc.want {
				t.Errorf("%v, want %v", f, tc.want)
			}
			if f != nil && !slices.Contains(tried, f.Version+"@"+f.Address) {
				t.Errorf("%v does not say which attempt it was", f)
			}
		})
	}
}

func TestMountFlagsSayTheSameAsAttributes(t *testing.T) {
	all := map[uint64]uintptr{
		unix.MOUNT_ATTR_RDONLY: unix.MS_RDONLY, unix.MOUNT_ATTR_NOSUID: unix.MS_NOSUID, unix.MOUNT_ATTR_NODEV: unix.MS_NODEV,
		unix.MOUNT_ATTR_NOEXEC: unix.MS_NOEXEC, unix.MOUNT_ATTR_NOATIME: unix.MS_NOATIME, unix.MOUNT_ATTR_NODIRATIME: unix.MS_NODIRATIME,
		unix.MOUNT_ATTR_STRICTATIME: unix.MS_STRICTATIME, unix.MOUNT_ATTR_NOSYMFOLLOW: unix.MS_NOSYMFOLLOW,
	}
	for key, o := range attributeOptions {
		if got := mountFlags(o.set); got != all[o.set] {
			t.Errorf("%s: flags %#x, want %#x", key, got, all[o.set])
		}
	}
}
