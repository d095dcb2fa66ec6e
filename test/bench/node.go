package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// publishing runs this program in a pod beside the node's socket.
func (b *clusterBench) publishing(ctx context.Context, t *table) error {
	volumes, err := b.contexts(ctx, 16)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	privileged := true
	p := b.podNamed("publish", core.Container{Name: "bench", Image: b.benchImage,
		Args: []string{"publish", "-socket", b.plugin() + "/csi.sock", "-pods", b.kubelet + "/pods"},
		Env: []core.EnvVar{{Name: "VOLUMES", Value: volumes},
			{Name: "POD_UID", ValueFrom: &core.EnvVarSource{FieldRef: &core.ObjectFieldSelector{FieldPath: "metadata.uid"}}}},
		SecurityContext: &core.SecurityContext{Privileged: &privileged},
		VolumeMounts:    []core.VolumeMount{{Name: "plugin", MountPath: b.plugin()}, {Name: "pods", MountPath: b.kubelet + "/pods"}}})
	for name, dir := range map[string]string{"plugin": b.plugin(), "pods": b.kubelet + "/pods"} {
		p.Spec.Volumes = append(p.Spec.Volumes, core.Volume{Name: name, VolumeSource: core.VolumeSource{HostPath: &core.HostPathVolumeSource{Path: dir}}})
	}
	if _, err := b.api.CoreV1().Pods(b.namespace).Create(ctx, p, meta.CreateOptions{}); err != nil {
		return err
	}
	failed := b.phase(ctx, "publish", core.PodSucceeded)
	said, err := b.api.CoreV1().Pods(b.namespace).GetLogs("publish", &core.PodLogOptions{}).DoRaw(ctx)
	if failed != nil || err != nil {
		return fmt.Errorf("publishing: %w: %s", cmp.Or(failed, err), said)
	}
	var r published
	if err := json.Unmarshal(said, &r); err != nil {
		return fmt.Errorf("publishing: %w: %s", err, said)
	}
	r.rows(t)
	return nil
}

// contexts are the volume contexts of n of the claims made before, as a JSON list.
func (b *clusterBench) contexts(ctx context.Context, n int) (string, error) {
	pvs, err := b.api.CoreV1().PersistentVolumes().List(ctx, meta.ListOptions{})
	if err != nil {
		return "", err
	}
	var all []map[string]string
	for _, pv := range pvs.Items {
		if c := pv.Spec.ClaimRef; len(all) < n && c != nil && c.Namespace == b.namespace && pv.Spec.CSI != nil {
			all = append(all, pv.Spec.CSI.VolumeAttributes)
		}
	}
	if len(all) < n {
		return "", fmt.Errorf("there are %d volumes, publishing wants %d", len(all), n)
	}
	text, err := json.Marshal(all)
	return string(text), err
}

// memory asks every pod of the release what it holds, through the API server; idle, as it is before the other parts.
func (b *clusterBench) memory(ctx context.Context, t *table) error {
	var total float64
	for _, part := range []struct{ component, port string }{{"controller", "9808"}, {"node", "9809"}} {
		pods, err := b.api.CoreV1().Pods(b.system).List(ctx, meta.ListOptions{LabelSelector: "app.kubernetes.io/component=" + part.component})
		if err != nil || len(pods.Items) == 0 {
			return fmt.Errorf("finding the %s in namespace %s: %w", part.component, b.system, err)
		}
		var most float64
		for _, p := range pods.Items {
			page, err := b.api.CoreV1().Pods(b.system).ProxyGet("http", p.Name, part.port, "/metrics", nil).DoRaw(ctx)
			if err != nil {
				return fmt.Errorf("metrics of %s: %w (the release wants metrics.enabled=true)", p.Name, err)
			}
			values, err := samples(bytes.NewReader(page))
			if err != nil {
				return err
			}
			most = max(most, values["process_resident_memory_bytes"])
		}
		t.row("resident memory of a "+part.component+", idle", mb(most), "")
		total += most
	}
	t.row("  both together", mb(total), "under 60 MB")
	return nil
}
