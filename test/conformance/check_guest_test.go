//go:build guest

package conformance

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/check"
	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// TestCheckKernel looks at every kind of export that the kernel's server has in a guest.
func TestCheckKernel(t *testing.T) {
	any := []string{"ok reach", "ok portmap NFS 3 on 2049", "ok versions the server has 4.2, 4.1, 4.0, 3", "ok locks", "ok latency", "ok space"}
	for _, tt := range []struct {
		variable string
		result   check.Status
		want     []string
	}{
		{"NFS_TEST_EXPORT", check.OK, []string{"ok export version 4.2 opens it, and user 0", "ok ports any port (insecure)", "ok write user 0", "ok squash no_root_squash",
			"ok chown owners can be set", "ok clock agrees", "ok grace"}},
		{"NFS_TEST_EXPORT_SECURE", check.OK, []string{"ok ports ports below 1024 only (secure), which this process may use", "ok write"}},
		{"NFS_TEST_EXPORT_SQUASH", check.Warn, []string{"warn squash root_squash", "ok write"}},
		{"NFS_TEST_EXPORT_ALL_SQUASH", check.Warn, []string{"warn squash all_squash", "ok write"}},
		{"NFS_TEST_EXPORT_XFS", check.OK, []string{"ok copies shares blocks (CLONE)", "ok squash no_root_squash"}},
		{"NFS_TEST_EXPORT_EXT4", check.OK, []string{"ok copies copies by itself (COPY)"}},
		{"NFS_TEST_EXPORT_NESTED", check.OK, []string{"ok write"}},
		{"NFS_TEST_EXPORT_READONLY", check.Fail, []string{"fail export export it read-write"}},
		{"NFS_TEST_EXPORT_REFUSED", check.Fail, []string{"ok exports /exports/refused to 192.0.2.1", "fail export export it to this client's address"}},
	} {
		t.Run(tt.variable, func(t *testing.T) {
			c := guestExport(t, tt.variable)
			r := check.Run(t.Context(), check.Config{NFS: c, Timeout: checkTimeout, Calls: 5})
			wantLines(t, r, tt.want...)
			if tt.variable != "NFS_TEST_EXPORT_REFUSED" {
				wantLines(t, r, any...)
			}
			if r.Result != tt.result {
				t.Errorf("the result is %s, want %s", r.Result, tt.result)
			}
			if tt.result == check.Fail {
				return
			}
			c.ActAsOwner = true
			infos, err := open(t, c).ReadDir(t.Context(), ".")
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range infos {
				if len(info.Name()) > len(check.ScratchPrefix) && info.Name()[:len(check.ScratchPrefix)] == check.ScratchPrefix {
					t.Errorf("%s is left", info.Name())
				}
			}
		})
	}
}

// TestCheckKernelVersions: the older versions give the same answers.
func TestCheckKernelVersions(t *testing.T) {
	for _, v := range []nfs.Version{nfs.V3, nfs.V40} {
		c := guestExport(t, "NFS_TEST_EXPORT")
		c.Versions = []nfs.Version{v}
		r := check.Run(t.Context(), check.Config{NFS: c, Timeout: checkTimeout, Calls: 5})
		wantLines(t, r, "ok export version "+v.String(), "ok write", "ok squash no_root_squash", "ok copies does not copy by itself")
	}
}

// TestCheckKernelGrace: a server that has just restarted is not asked to write, so that nothing is left there.
func TestCheckKernelGrace(t *testing.T) {
	c := guestExport(t, "NFS_TEST_EXPORT")
	open(t, c) // whom the server waits for
	command(t, "rpc.nfsd", "0")
	command(t, "rpc.nfsd", "--grace-time", "90", "--lease-time", "15", "8")
	t.Cleanup(func() {
		if err := os.WriteFile(endGrace, []byte("Y"), 0o600); err != nil && inGrace(t) {
			t.Error(err)
		}
	})
	r := check.Run(t.Context(), check.Config{NFS: c, Timeout: 10 * time.Second, Calls: 5})
	if !inGrace(t) {
		t.Fatal("the grace period is over: that shows nothing")
	}
	wantLines(t, r, "warn grace in its grace period", "ok export")
	if slices.ContainsFunc(r.Lines, func(l check.Line) bool { return l.Check == "write" || l.Check == "left" }) {
		t.Errorf("it wrote: %+v", r.Lines)
	}
}
