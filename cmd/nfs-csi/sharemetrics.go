package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nfs-csi/nfs-csi/pkg/share"
)

// work shows what a [share.Manager] does beside calls, read when somebody asks for it. No server is asked.
type work struct {
	stats  func() []share.Stats
	copies func() []share.Copy
	now    func() time.Time
}

// controller shows what only the controller has.
func (m *metrics) controller(w work) queues {
	m.registry.MustRegister(m.operations, w)
	return newQueues(m.registry)
}

// numbers are what each share shows, by the label share: "server:/share".
var numbers = []struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(s share.Stats, now time.Time) float64
}{
	{numberOf("trash_entries", "Deleted volumes and archives whose content is still being removed."), prometheus.GaugeValue,
		func(s share.Stats, _ time.Time) float64 { return float64(s.Trash) }},
	{numberOf("trash_oldest_age_seconds", "Time since the deletion of the oldest volume whose content is still being removed, 0 if there is none."), prometheus.GaugeValue,
		func(s share.Stats, now time.Time) float64 { return age(s.OldestTrash, now) }},
	{numberOf("removed_files_total", "Files, links and directories of deleted volumes that this process has removed."), prometheus.CounterValue,
		func(s share.Stats, _ time.Time) float64 { return float64(s.RemovedFiles) }},
	{numberOf("removed_bytes_total", "Sum of the sizes of the files of deleted volumes that this process has removed, in bytes."), prometheus.CounterValue,
		func(s share.Stats, _ time.Time) float64 { return float64(s.RemovedBytes) }},
	{numberOf("archives", "Archived volumes when the share was last looked through; how many bytes they hold is not known."), prometheus.GaugeValue,
		func(s share.Stats, _ time.Time) float64 { return float64(s.Archives) }},
	{numberOf("archives_oldest_age_seconds", "Time since the oldest archived volume was archived, 0 if there is none."), prometheus.GaugeValue,
		func(s share.Stats, now time.Time) float64 { return age(s.OldestArchive, now) }},
}

// What the copies that are being made show, by share and operation: clone, restore or snapshot.
var (
	copying = prometheus.NewDesc("nfs_csi_copies", "Clones, restored volumes and snapshots that are being made.", []string{"share", "operation"}, nil)
	toCopy  = prometheus.NewDesc("nfs_csi_copies_left_bytes", "What the copies that are being made have still to copy, in bytes.", []string{"share", "operation"}, nil)
)

func numberOf(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("nfs_csi_"+name, help, []string{"share"}, nil)
}

// age is in seconds, 0 for no time.
func age(since, now time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return max(now.Sub(since).Seconds(), 0)
}

// Describe implements [prometheus.Collector].
func (w work) Describe(descs chan<- *prometheus.Desc) {
	for _, n := range numbers {
		descs <- n.desc
	}
	descs <- copying
	descs <- toCopy
}

// Collect implements [prometheus.Collector].
func (w work) Collect(metrics chan<- prometheus.Metric) {
	now := w.now()
	for _, s := range w.stats() {
		for _, n := range numbers {
			metrics <- prometheus.MustNewConstMetric(n.desc, n.kind, n.of(s, now), s.Location.String())
		}
	}
	type of struct{ share, operation string }
	count, left := map[of]float64{}, map[of]float64{}
	for _, c := range w.copies() {
		key := of{c.Location.String(), c.Op}
		count[key]++
		left[key] += float64(max(c.TotalBytes-c.Bytes, 0))
	}
	for key, n := range count {
		metrics <- prometheus.MustNewConstMetric(copying, prometheus.GaugeValue, n, key.share, key.operation)
		metrics <- prometheus.MustNewConstMetric(toCopy, prometheus.GaugeValue, left[key], key.share, key.operation)
	}
}
