//go:build e2e

package e2e

import (
	"regexp"
	"strings"
	"testing"
)

// A default export that is not there: the controller's pod says so in an Event, with what to do, and is ready; claims of classes with
// another export are served.
func TestDefaultExportFails(t *testing.T) {
	n := newNamespace(t, "hint")
	n.driver = n.name + ".nfs-csi.test"
	t.Cleanup(func() {
		if kept() {
			return
		}
		_, _ = n.tryIn("delete", "pvc", "--all")
		_ = n.helm("uninstall", n.name, "--wait", "--ignore-not-found")
	})
	n.release("--set", "driver.name="+n.driver+",nfs.server="+n.server+",nfs.share=/no/such/export,controller.replicas=1,metrics.nodePort=29762",
		"--set", "node.nodeSelector.nfs-csi\\.test/none=here", "--set-json", "storageClasses=[]")
	n.waits(podDeadline, "rollout", "status", "deployment/"+n.name+"-nfs-csi-controller")
	pod := strings.TrimSpace(n.in("get", "pods", "-l", "app.kubernetes.io/component=controller", "-o", "jsonpath={.items[0].metadata.name}"))
	n.warned(pod, `no volumes can be made on the default export `+regexp.QuoteMeta(n.server)+`:/no/such/export: .*Other exports are served`, podDeadline)
	if out := n.in("describe", "pod", pod); !strings.Contains(out, "DefaultExportFails") {
		t.Errorf("kubectl describe does not show it:\n%s", tail(out, 15))
	}
	n.applyClaim(claim{Claim: "served", Class: n.makeClass("other", map[string]string{"server": n.server, "share": n.share})})
	v := n.bound("served")
	if ready := n.in("get", "pod", pod, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); ready != "True" {
		t.Errorf("the controller's pod is ready: %s", ready)
	}
	n.in("delete", "pvc", "served")
	n.eventually("the volume goes away", goneDeadline, n.absent("pv", v.Name))
}
