package migrate

import (
	"maps"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// findExports reads NFS_SERVER and NFS_PATH of each PROVISIONER_NAME from the Deployments of the cluster; what the config says
// counts more.
func (m *Migration) findExports(deployments []apps.Deployment) map[string]volume.Location {
	found := map[string]volume.Location{}
	for _, d := range deployments {
		for _, c := range d.Spec.Template.Spec.Containers {
			addExport(found, c.Env)
		}
	}
	maps.Copy(found, m.Exports)
	return found
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
