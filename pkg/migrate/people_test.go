package migrate

import (
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Who names one provisioner undoes and finishes its volumes and no others.
func TestNotesOfOtherProvisioners(t *testing.T) {
	const other = "fuseim.pri/ifs"
	w := newWorld(t, append(pair("a"), pair("b", func(pv *v1.PersistentVolume, _ *v1.PersistentVolumeClaim) { pv.Annotations[annProvisionedBy] = other })...)...)
	m := w.migration(func(c *Config) {
		c.Exports = map[string]volume.Location{other: {Server: "10.0.0.1", Share: "/exports/k8s"}}
	})
	if err := m.Apply(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	one := w.migration(func(c *Config) { c.From = []string{other} })
	if err := one.Finish(t.Context(), w.plan(one)); err != nil {
		t.Fatal(err)
	}
	if err := m.Undo(t.Context(), w.plan(m)); err != nil {
		t.Fatal(err)
	}
	w.asBefore("a")
	if pv := w.volume("pvc-b"); pv.Spec.CSI == nil {
		t.Error("what was finished was undone")
	}
}
