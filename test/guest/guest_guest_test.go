//go:build guest

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// guest runs the command in a guest and answers its output and exit code.
func guest(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command("./run", args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestExitCodeIsTheProgramsOwn(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		code         int
	}{
		{"success", "exit 0", 0},
		{"failure", "exit 7", 7},
		{"killed", "kill -9 $$", 137},
		{"panic", "echo c >/proc/sysrq-trigger; sleep 30", exitGuest},
		{"halt", "echo o >/proc/sysrq-trigger; sleep 30", exitGuest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, stderr, code := guest(t, "/bin/sh", "-c", tc.script); code != tc.code {
				t.Errorf("exit code %d, want %d\n%s", code, tc.code, stderr)
			}
		})
	}
}

func TestTimeoutEndsTheProgram(t *testing.T) {
	start := time.Now()
	if _, stderr, code := guest(t, "--timeout", "1s", "/bin/sh", "-c", "sleep 300"); code != exitTimeout {
		t.Errorf("exit code %d, want %d\n%s", code, exitTimeout, stderr)
	}
	if took := time.Since(start); took > bootAndHalt {
		t.Errorf("took %v", took)
	}
}

func TestOutputArrivesUnchanged(t *testing.T) {
	want := strings.Repeat("a line that is a little longer than most\n", 50_000) + "no newline"
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := guest(t, "/bin/sh", "-c", "echo aside >&2; exec cat "+file)
	if code != 0 || stdout != want || stderr != "aside\n" {
		t.Errorf("exit code %d, %d of %d bytes, stderr %q", code, len(stdout), len(want), stderr)
	}
}

func TestOnlyOutReachesTheHost(t *testing.T) {
	t.Setenv("SOME_VARIABLE", "kept")
	out, elsewhere := t.TempDir(), t.TempDir()
	script := "echo $SOME_VARIABLE >$GUEST_OUT/kept && pwd >>$GUEST_OUT/kept && touch /usr/lost /etc/lost " + elsewhere + "/lost"
	if _, stderr, code := guest(t, "--out", out, "/bin/sh", "-c", script); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(out, "kept")); err != nil || string(got) != "kept\n"+here+"\n" {
		t.Errorf("the program left %q, %v", got, err)
	}
	for _, file := range []string{"/usr/lost", "/etc/lost", elsewhere + "/lost"} {
		if _, err := os.Lstat(file); !os.IsNotExist(err) {
			t.Errorf("%s is on the host: %v", file, err)
		}
	}
}

func TestServerServesAllVersions(t *testing.T) {
	script := `set -e
for version in 3 4.0 4.1 4.2; do
	mount -t nfs -o vers=$version $NFS_TEST_SERVER:$NFS_TEST_EXPORT /mnt
	echo $version >/mnt/version; cat $NFS_TEST_EXPORT/version; umount /mnt
done`
	stdout, stderr, code := guest(t, "--nfsd", "/bin/sh", "-c", script)
	if code != 0 || stdout != "3\n4.0\n4.1\n4.2\n" {
		t.Errorf("exit code %d, output %q\n%s", code, stdout, stderr)
	}
}
