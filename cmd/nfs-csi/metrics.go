package main

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc/codes"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// metrics are what /metrics shows besides the provisioning library's own. Those of one pod only are registered where they are filled.
// docs/metrics.md is made from all.
type metrics struct {
	registry                               *prometheus.Registry
	calls, operations, nfss, servers, node *prometheus.HistogramVec

	mu    sync.Mutex
	known map[string]bool // servers with a label of their own
}

// buckets span a call on a machine beside the server and one that waits for a grace period.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// serverBuckets are few: there is a set of them for each server.
var serverBuckets = []float64{.005, .05, .5, 5, 30}

// maxServers bounds the servers that have a label of their own: whoever may write PersistentVolumes may name any. The others share one.
const maxServers = 50

const otherServers = "other"

func newMetrics() *metrics {
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		calls:      histogram("csi_call_duration_seconds", "Duration of CSI calls.", buckets, "method", "code"),
		operations: histogram("share_operation_duration_seconds", "Duration of operations on shares.", buckets, "operation", "result"),
		nfss:       histogram("nfs_call_duration_seconds", "Duration of file operations on NFS servers.", buckets, "operation", "result"),
		servers:    histogram("nfs_server_call_duration_seconds", "Duration of file operations by NFS server; those past the 50th server are called other.", serverBuckets, "server", "result"),
		node:       histogram("mount_duration_seconds", "Duration of what the node does with mounts.", buckets, "operation", "result"),
		known:      map[string]bool{},
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build(),
		m.calls, m.nfss, m.servers)
	return m
}

func build() prometheus.Collector {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "nfs_csi", Name: "build_info", Help: "Which version runs; always 1."}, []string{"version", "go"})
	info.WithLabelValues(version, runtime.Version()).Set(1)
	return info
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "nfs_csi", Name: name, Help: help, Buckets: buckets}, labels)
}

// gauge shows what value answers when somebody asks.
func (m *metrics) gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "nfs_csi", Name: name, Help: help}, value))
}

func (m *metrics) call(method string, d time.Duration, code codes.Code) {
	m.calls.WithLabelValues(method, code.String()).Observe(d.Seconds())
}

func (m *metrics) operation(op string, d time.Duration, err error) {
	m.operations.WithLabelValues(op, result(err)).Observe(d.Seconds())
}

// nfs answers who is told of the file operations on a server; nobody, where nothing is measured.
func (m *metrics) nfs(server string) func(op string, d time.Duration, err error) {
	if m == nil {
		return func(string, time.Duration, error) {}
	}
	server = m.label(server)
	return func(op string, d time.Duration, err error) {
		r := result(err)
		m.nfss.WithLabelValues(op, r).Observe(d.Seconds())
		m.servers.WithLabelValues(server, r).Observe(d.Seconds())
	}
}

func (m *metrics) label(server string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.known[server] && len(m.known) >= maxServers {
		return otherServers
	}
	m.known[server] = true
	return server
}

func (m *metrics) mount(op string, began time.Time, err error) {
	m.node.WithLabelValues(op, result(err)).Observe(time.Since(began).Seconds())
}

// results are what the label result may be, each with the errors that it stands for; the first match counts. What is not there is often just
// what was asked.
var results = []struct {
	name string
	errs []error
}{
	{"unavailable", []error{volume.ErrUnavailable}},
	{"refused", []error{volume.ErrRefused, fs.ErrPermission}},
	{"not_found", []error{volume.ErrNotFound, fs.ErrNotExist}},
	{"exists", []error{volume.ErrExists, fs.ErrExist}},
	{"busy", []error{volume.ErrBusy}},
	{"no_space", []error{volume.ErrNoSpace, syscall.ENOSPC, syscall.EDQUOT}},
	{"invalid", []error{volume.ErrInvalid, volume.ErrRange}},
	{"canceled", []error{context.Canceled}},
	{"timeout", []error{context.DeadlineExceeded}},
}

func result(err error) string {
	if err == nil {
		return "ok"
	}
	if kind := classify(err); kind != nil {
		err = kind
	}
	for _, r := range results {
		for _, known := range r.errs {
			if errors.Is(err, known) {
				return r.name
			}
		}
	}
	return "error"
}
