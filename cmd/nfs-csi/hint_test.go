package main

import (
	"strings"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/check"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// The controller opens the default export as it does for claims, and says in words what is wrong with it.
func TestLookAtTheDefaultExport(t *testing.T) {
	server := nfsserver.StartGoNFS(t)
	c := inCluster{controllerOptions: &controllerOptions{}, log: quietLog()}
	look := c.lookAt(volume.Location{Server: server.Host, Share: server.Export})
	if err := look(t.Context(), options(server)); err != nil {
		t.Errorf("an export that works: %v", err)
	}
	for words, mountOptions := range map[string][]string{
		"nothing listens there":              {"nfsvers=4.1,port=1"},
		"the controller speaks sec=sys only": {"sec=krb5"},
	} {
		if err := look(t.Context(), mountOptions); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v: %v does not say %q", mountOptions, err, words)
		}
	}
}

func TestFailureOfAReport(t *testing.T) {
	r := check.Report{Lines: []check.Line{{Status: check.Warn, Text: "nearly full"}, {Status: check.Fail, Text: "full", Fix: "make room"}}}
	if err := failure(r); err == nil || err.Error() != "full: make room" {
		t.Errorf("%v", err)
	}
	if err := failure(check.Report{Lines: r.Lines[:1]}); err != nil {
		t.Errorf("of a warning: %v", err)
	}
}

func TestOwnPod(t *testing.T) {
	t.Setenv("POD_NAME", "controller-0")
	t.Setenv("POD_NAMESPACE", "")
	if p := ownPod(); p != nil {
		t.Errorf("without a namespace: %v", p)
	}
	t.Setenv("POD_NAMESPACE", "nfs")
	t.Setenv("POD_UID", "u")
	if p := ownPod(); p == nil || p.Kind != "Pod" || p.Namespace != "nfs" || p.Name != "controller-0" || p.UID != "u" {
		t.Errorf("%v", p)
	}
}
