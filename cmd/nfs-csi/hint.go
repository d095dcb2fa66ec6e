package main

import (
	"context"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nfs-csi/nfs-csi/pkg/check"
	"github.com/nfs-csi/nfs-csi/pkg/provisioner"
	"github.com/nfs-csi/nfs-csi/pkg/provisioner/hinting"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// hint watches the default export, where there is one.
func (c *inCluster) hint(k *provisioner.Controller, visits provisioner.Visits, m *metrics) {
	for _, export := range locations(c.settings.defaults) {
		works := m.worksGauge().WithLabelValues(export.String())
		config := hinting.Config{
			Export: export, Look: c.lookAt(export), Ways: func() [][]string { return visits.Ways(export) }, Client: c.api, Pod: ownPod(), Source: c.driverName,
			Observe: func(ok bool) { works.Set(one(ok)) }, Log: c.log,
		}
		k.Beside(func(ctx context.Context) { hinting.Run(ctx, config) })
	}
}

// lookAt is a short `nfs-csi check`, as the controller opens the export.
func (c *inCluster) lookAt(l volume.Location) func(context.Context, []string) error {
	return func(ctx context.Context, mountOptions []string) error {
		config, err := client{log: c.log, tls: c.tls}.config(l.Server, l.Share, mountOptions)
		if err != nil {
			return err
		}
		return failure(check.Look(ctx, check.Config{NFS: config}))
	}
}

// failure is the first line of a report that says fail.
func failure(r check.Report) error {
	for _, line := range r.Lines {
		if line.Status == check.Fail {
			return fmt.Errorf("%s: %s", line.Text, line.Fix)
		}
	}
	return nil
}

// ownPod is the pod that we are, for Events; nil where nobody told us. kubectl describe finds them by the UID.
func ownPod() *v1.ObjectReference {
	name, namespace := os.Getenv("POD_NAME"), os.Getenv("POD_NAMESPACE")
	if name == "" || namespace == "" {
		return nil
	}
	return &v1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name, UID: types.UID(os.Getenv("POD_UID"))}
}

// worksGauge has a value once somebody has looked.
func (m *metrics) worksGauge() *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "nfs_csi", Name: "default_export_works", Help: "1 where volumes could be made on the default export when the leader last looked, else 0.",
	}, []string{"share"})
	m.registry.MustRegister(v)
	return v
}
