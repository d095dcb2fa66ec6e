package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/util/workqueue"
)

// queues are the queues of claims, volumes and snapshots, under the names that Kubernetes' own components give to theirs. It is a
// [workqueue.MetricsProvider] and a [leaderelection.MetricsProvider].
type queues struct {
	depth, unfinished, longest, leader *prometheus.GaugeVec
	adds, retries                      *prometheus.CounterVec
	wait, work                         *prometheus.HistogramVec
}

// queueBuckets reach to claims that wait for a server of which many are full.
var queueBuckets = []float64{.001, .01, .1, 1, 10, 60, 600}

func newQueues(r prometheus.Registerer) queues {
	gauge := func(subsystem, name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Subsystem: subsystem, Name: name, Help: help}, []string{"name"})
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Subsystem: "workqueue", Name: name, Help: help}, []string{"name"})
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Subsystem: "workqueue", Name: name, Help: help, Buckets: queueBuckets}, []string{"name"})
	}
	q := queues{
		depth:      gauge("workqueue", "depth", "Objects that wait in a queue: claims to provision, volumes to delete, volumes to save."),
		unfinished: gauge("workqueue", "unfinished_work_seconds", "Sum of how long the objects in work have been in work."),
		longest:    gauge("workqueue", "longest_running_processor_seconds", "How long the object that is longest in work has been in work."),
		leader:     gauge("leader_election", "master_status", "1 where this pod leads, 0 where it stands by."),
		adds:       counter("adds_total", "Objects put into a queue."),
		retries:    counter("retries_total", "Objects put into a queue again after a failure."),
		wait:       histogram("queue_duration_seconds", "How long objects waited in a queue."),
		work:       histogram("work_duration_seconds", "How long objects were in work."),
	}
	r.MustRegister(q.depth, q.unfinished, q.longest, q.leader, q.adds, q.retries, q.wait, q.work)
	return q
}

// install gives them to client-go, which takes the first that come in a process.
func (q queues) install() {
	workqueue.SetProvider(q)
	leaderelection.SetProvider(q)
}

// NewDepthMetric is that of [workqueue.MetricsProvider], as are the next six.
func (q queues) NewDepthMetric(name string) workqueue.GaugeMetric {
	return q.depth.WithLabelValues(name)
}

func (q queues) NewAddsMetric(name string) workqueue.CounterMetric {
	return q.adds.WithLabelValues(name)
}

func (q queues) NewLatencyMetric(name string) workqueue.HistogramMetric {
	return q.wait.WithLabelValues(name)
}

func (q queues) NewWorkDurationMetric(name string) workqueue.HistogramMetric {
	return q.work.WithLabelValues(name)
}

func (q queues) NewUnfinishedWorkSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return q.unfinished.WithLabelValues(name)
}

func (q queues) NewLongestRunningProcessorSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return q.longest.WithLabelValues(name)
}

func (q queues) NewRetriesMetric(name string) workqueue.CounterMetric {
	return q.retries.WithLabelValues(name)
}

// NewLeaderMetric is that of [leaderelection.MetricsProvider].
func (q queues) NewLeaderMetric() leaderelection.LeaderMetric { return leading{q.leader} }

type leading struct{ *prometheus.GaugeVec }

// On is told that this process leads by the lease name, Off that it does not.
func (l leading) On(name string)  { l.WithLabelValues(name).Set(1) }
func (l leading) Off(name string) { l.WithLabelValues(name).Set(0) }

// SlowpathExercised is told of more calls to the API server than usual, which is nothing to know.
func (l leading) SlowpathExercised(string) {}
