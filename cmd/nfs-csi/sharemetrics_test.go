package main

import (
	"maps"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestWorkIsShown(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	busy := share.Stats{
		Location: volume.Location{Server: "fd00::1", Share: "/exports"}, Trash: 3, OldestTrash: now.Add(-time.Minute),
		RemovedFiles: 7, RemovedBytes: 1 << 40, Archives: 2, OldestArchive: now.Add(-time.Hour),
	}
	idle := share.Stats{Location: volume.Location{Server: "server", Share: "/"}, OldestTrash: now.Add(time.Hour)}
	copies := func() []share.Copy {
		return []share.Copy{
			{Location: busy.Location, Op: "clone", Bytes: 10, TotalBytes: 100}, {Location: busy.Location, Op: "clone", Bytes: 10},
			{Location: busy.Location, Op: "snapshot", TotalBytes: 5},
		}
	}
	m := newMetrics()
	m.registry.MustRegister(work{func() []share.Stats { return []share.Stats{busy, idle} }, copies, func() time.Time { return now }})
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range metric.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if where, ok := labels["share"]; ok {
				got[f.GetName()+" "+where+labels["operation"]] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{
		"nfs_csi_copies [fd00::1]:/exportsclone": 2, "nfs_csi_copies_left_bytes [fd00::1]:/exportsclone": 90,
		"nfs_csi_copies [fd00::1]:/exportssnapshot": 1, "nfs_csi_copies_left_bytes [fd00::1]:/exportssnapshot": 5,
	}
	for name, values := range map[string][2]float64{
		"nfs_csi_trash_entries":               {3, 0},
		"nfs_csi_trash_oldest_age_seconds":    {60, 0},
		"nfs_csi_removed_files_total":         {7, 0},
		"nfs_csi_removed_bytes_total":         {1 << 40, 0},
		"nfs_csi_archives":                    {2, 0},
		"nfs_csi_archives_oldest_age_seconds": {3600, 0},
	} {
		want[name+" [fd00::1]:/exports"], want[name+" server:/"] = values[0], values[1]
	}
	if !maps.Equal(got, want) {
		t.Errorf("shown are %v, want %v", got, want)
	}
}

// TestWorkIsDescribed: nothing is shown that a registry would call inconsistent.
func TestWorkIsDescribed(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	w := work{func() []share.Stats { return make([]share.Stats, 1) }, func() []share.Copy { return make([]share.Copy, 2) }, time.Now}
	if err := r.Register(w); err != nil {
		t.Error(err)
	}
	if _, err := r.Gather(); err != nil {
		t.Error(err)
	}
}
