//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Helm's test looks at the default export from a pod without privileges.
func TestHelmTest(t *testing.T) {
	c := connect(t)
	helm := os.Getenv("E2E_HELM")
	if helm == "" {
		t.Fatal("E2E_HELM is not set: start the tests with test/e2e/run")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, helm, "test", "nfs-csi", "--namespace", c.system, "--logs", "--timeout", "4m").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"ok    export", "ok    write", "ok    ports", "0 fail"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// The tools run in the controller's pod, with its rights: the list knows which volume is whose.
func TestListInTheControllersPod(t *testing.T) {
	n := newNamespace(t, "ls")
	n.applyClaim(claim{Claim: "listed", Class: "nfs"})
	v := n.bound("listed")
	server := n.server
	if strings.Contains(server, ":") {
		server = "[" + server + "]"
	}
	out := n.must("-n", n.system, "exec", "deployment/nfs-csi-controller", "--", "/nfs-csi", "ls", server+":"+n.share, "-n", n.name, "-o", "json")
	var lists []struct {
		Items []struct{ Kind, State, Directory, Claim, PersistentVolume string }
	}
	if err := json.Unmarshal([]byte(out), &lists); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(lists) != 1 || len(lists[0].Items) != 1 {
		t.Fatalf("listed is %s", out)
	}
	if i := lists[0].Items[0]; i.Kind != "volume" || i.State != "in-use" || i.Directory != v.Dir || i.Claim != n.name+"/listed" || i.PersistentVolume == "" {
		t.Errorf("listed is %+v, the directory is %q", i, v.Dir)
	}
}
