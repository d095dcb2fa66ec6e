//go:build e2e

package e2e

import (
	"testing"
	"time"
)

// A Job and a CronJob write to one claim.
func TestJobAndCronJob(t *testing.T) {
	n := newNamespace(t, "jobs")
	n.apply("jobs.yaml", nil)
	v := n.bound("reports")
	n.waits(podDeadline, "wait", "--for=condition=Complete", "job/once")
	// The schedule's next minute, and a pod.
	n.eventually("both jobs have written", time.Minute+podDeadline, func() error {
		_, err := n.try("-n", viewerNamespace, "exec", n.export().pod, "--", "sh", "-c",
			"grep -qx 'done once' /export/"+v.Dir+"/log && grep -qx 'done by schedule' /export/"+v.Dir+"/log")
		return err
	})
}
