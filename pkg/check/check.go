// Package check looks at an NFS export from a client's place and says what to mend.
//
// It needs no privilege and no mount. All that it ever changes is one directory of a random name at the top of the export, which
// it makes and removes again. Every probe is bounded, so that a dead server costs seconds.
package check

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Status is how good what was found is.
type Status string

// The values of [Status]. Volumes work with a warning, or most do; with a failure they do not.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Line is one finding.
type Line struct {
	Check  string         `json:"check"` // such as "versions"; some checks have several lines
	Status Status         `json:"status"`
	Text   string         `json:"text"`
	Fix    string         `json:"fix,omitempty"`  // what to do about it
	Data   map[string]any `json:"data,omitempty"` // the numbers in Text
}

// Report is everything that was found.
type Report struct {
	Export string `json:"export"` // server:/path
	Result Status `json:"result"` // the worst of all lines
	Lines  []Line `json:"checks"`
}

// Config says what to look at, and how.
type Config struct {
	// NFS is how the export is opened, as the driver would. ActAsOwner and Observe are not looked at.
	NFS nfs.Config
	// TLS has the authorities to trust, for asking whether the server has TLS where NFS.TLS is nil.
	TLS func() (*tls.Config, error)
	// Timeout bounds each probe; default 10 s.
	Timeout time.Duration
	// ReadOnly leaves out whatever writes.
	ReadOnly bool
	// Calls is how many small calls are measured; default 50.
	Calls int
	// Throughput is how many bytes are written and read to measure that; 0: none.
	Throughput int64
	// Found is told of each line as it comes, may be nil.
	Found func(Line)
}

const (
	defaultTimeout = 10 * time.Second
	defaultCalls   = 50
)

// checker is one run.
type checker struct {
	Config
	report   Report
	services []nfs.Service // of the port mapper, nil without
	fs       *nfs.FS       // the export, once open
}

// Run looks at everything in order. What cannot be known after a failure is left out.
func Run(ctx context.Context, c Config) Report {
	r := newChecker(c)
	r.all(ctx)
	return r.report
}

// Look does as little as tells whether volumes can be made: it opens the export and asks for its room, by one connection, and writes
// nothing. TLS, ReadOnly, Calls and Throughput are not looked at.
func Look(ctx context.Context, c Config) Report {
	c.ReadOnly = false // a driver is to write there
	r := newChecker(c)
	if r.probe(ctx, r.open) {
		r.probe(ctx, r.space)
		r.probe(ctx, r.inodes)
	}
	if r.fs != nil {
		r.fs.Close()
	}
	return r.report
}

func newChecker(c Config) *checker {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Calls <= 0 {
		c.Calls = defaultCalls
	}
	if c.NFS.Log == nil {
		c.NFS.Log = slog.New(slog.DiscardHandler)
	}
	c.NFS.ActAsOwner, c.NFS.Observe = true, nil
	c.NFS.DialTimeout, c.NFS.CallTimeout = c.Timeout, c.Timeout
	r := &checker{Config: c}
	r.report.Export = volume.Location{Server: c.NFS.Server, Share: c.NFS.Export}.String()
	r.report.Result = OK
	return r
}

// all runs every probe, until one fails without which the others mean nothing.
func (c *checker) all(ctx context.Context) {
	if !c.probe(ctx, c.reach) || !c.probe(ctx, c.versions) {
		return
	}
	c.probe(ctx, c.exports)
	opened := c.probe(ctx, c.open)
	c.probe(ctx, c.encryption)
	if c.fs == nil {
		return
	}
	defer c.fs.Close()
	for _, probe := range []func(context.Context) bool{c.ports, c.locks, c.latency, c.space, c.inodes} {
		c.probe(ctx, probe)
	}
	if opened && !c.ReadOnly {
		c.write(ctx)
	}
}

// probe runs one probe in its time; false: there is no use in going on.
func (c *checker) probe(ctx context.Context, probe func(context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return probe(ctx)
}

// found adds a line.
func (c *checker) found(l Line) {
	if rank(l.Status) > rank(c.report.Result) {
		c.report.Result = l.Status
	}
	c.report.Lines = append(c.report.Lines, l)
	if c.Found != nil {
		c.Found(l)
	}
}

func rank(s Status) int {
	switch s {
	case OK:
		return 0
	case Warn:
		return 1
	}
	return 2
}
