package migrate

import (
	"context"
	"fmt"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// groupPolicy is what the driver's object says of fsGroup. Where there is none yet, or who asks may not see it, it is the chart's default.
func (m *Migration) groupPolicy(ctx context.Context) (storage.FSGroupPolicy, error) {
	driver, err := m.Client.StorageV1().CSIDrivers().Get(ctx, m.DriverName, metav1.GetOptions{})
	switch {
	case errors.IsNotFound(err) || errors.IsForbidden(err):
		return storage.FileFSGroupPolicy, nil
	case err != nil:
		return "", fmt.Errorf("looking at CSIDriver %q: %w", m.DriverName, err)
	case driver.Spec.FSGroupPolicy == nil:
		return storage.ReadWriteOnceWithFSTypeFSGroupPolicy, nil // the API server's default
	}
	return *driver.Spec.FSGroupPolicy, nil
}

// addGroup notes for which group a pod wants its claims' files.
func (c *cluster) addGroup(namespace string, pod v1.PodSpec) {
	if pod.SecurityContext == nil || pod.SecurityContext.FSGroup == nil {
		return
	}
	for key := range claimsOf(namespace, pod) {
		c.groups[key] = *pod.SecurityContext.FSGroup
	}
}

func (c *cluster) addDeployments(deployments []apps.Deployment) {
	for _, d := range deployments {
		c.addGroup(d.Namespace, d.Spec.Template.Spec)
	}
}

// addRemark tells of the volume whose files kubelet would change, as it never did while it was in-tree.
func (v *Volume) addRemark(c *cluster) {
	group, wanted := c.groups[v.Claim]
	if !wanted || c.policy != storage.FileFSGroupPolicy || v.old.Spec.NFS == nil {
		return
	}
	if v.Reason != "" {
		v.Reason += "; "
	}
	v.Reason += fmt.Sprintf("a pod with fsGroup %d uses it: kubelet gives all files of a CSI volume to that group and lets it write them (fsGroupPolicy File), and where the server squashes root "+
		"the pod does not start; driver.fsGroupPolicy=None in the chart leaves files as they are, as with in-tree volumes", group)
}
