package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc/codes"
)

// metrics are what /metrics shows besides the provisioning library's own.
type metrics struct {
	registry                *prometheus.Registry
	calls, operations, nfss *prometheus.HistogramVec
}

// buckets span a call on a machine beside the server and one that waits for a grace period.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newMetrics() *metrics {
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		calls:      histogram("csi_call_duration_seconds", "Duration of CSI calls.", "method", "code"),
		operations: histogram("share_operation_duration_seconds", "Duration of operations on shares.", "operation", "result"),
		nfss:       histogram("nfs_call_duration_seconds", "Duration of file operations on NFS servers.", "operation", "result"),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.calls, m.operations, m.nfss)
	return m
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "nfs_csi", Name: name, Help: help, Buckets: buckets}, labels)
}

func (m *metrics) call(method string, d time.Duration, code codes.Code) {
	m.calls.WithLabelValues(method, code.String()).Observe(d.Seconds())
}

func (m *metrics) operation(op string, d time.Duration, err error) {
	m.operations.WithLabelValues(op, result(err)).Observe(d.Seconds())
}

func (m *metrics) nfs(op string, d time.Duration, err error) {
	m.nfss.WithLabelValues(op, result(err)).Observe(d.Seconds())
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}
