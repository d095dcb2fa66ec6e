package migrate

import (
	"context"
	"maps"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// findExports reads NFS_SERVER and NFS_PATH of each PROVISIONER_NAME from the Deployments of the cluster; what the config says
// counts more. Who may not list Deployments has to say it.
func (m *Migration) findExports(ctx context.Context) (map[string]volume.Location, error) {
	found := map[string]volume.Location{}
	list, err := m.Client.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
	switch {
	case errors.IsForbidden(err):
	case err != nil:
		return nil, explain(err, "listing the Deployments")
	default:
		for _, d := range list.Items {
			for _, c := range d.Spec.Template.Spec.Containers {
				addExport(found, c.Env)
			}
		}
	}
	maps.Copy(found, m.Exports)
	return found, nil
}

func addExport(found map[string]volume.Location, environment []v1.EnvVar) {
	values := map[string]string{}
	for _, e := range environment {
		values[e.Name] = e.Value
	}
	name := values["PROVISIONER_NAME"]
	if l, err := volume.ParseLocation(values["NFS_SERVER"], values["NFS_PATH"]); err == nil && name != "" {
		found[name] = l
	}
}
