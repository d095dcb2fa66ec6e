//go:build guest

package sanity_test

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// writeAs writes a file as a user without any privilege.
func writeAs(t *testing.T, uid uint32, file, data string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `cat > "$1"`, "sh", file)
	cmd.Stdin = strings.NewReader(data)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("writing %s as user %d: %v\n%s", file, uid, err, out)
	}
}
