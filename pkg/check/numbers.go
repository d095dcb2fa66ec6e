package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Bounds of what is worth a word.
const (
	slow        = 50 * time.Millisecond // of the median call
	littleSpace = 10                    // percent
	fewInodes   = 5                     // percent
)

// latency makes small calls one after the other.
func (c *checker) latency(ctx context.Context) bool {
	var took []time.Duration
	for range c.Calls {
		began := time.Now()
		if _, err := c.fs.Lstat(ctx, "."); err != nil {
			break
		}
		took = append(took, time.Since(began))
	}
	if len(took) == 0 {
		c.found(Line{Check: "latency", Status: Fail, Text: "the server stopped answering", Fix: fixOf(context.DeadlineExceeded)})
		return false
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	l := Line{Check: "latency", Status: OK, Text: fmt.Sprintf("of %d small calls half took %s or less, 99%% %s", len(took), milliseconds(p50), milliseconds(p99)),
		Data: map[string]any{"calls": len(took), "p50Seconds": p50.Seconds(), "p99Seconds": p99.Seconds()}}
	if p50 > slow || len(took) < c.Calls {
		l.Status, l.Fix = Warn, "look at the server's load and at the way to it: each file that a pod opens costs several such calls"
	}
	c.found(l)
	return true
}

// space tells how full the export is.
func (c *checker) space(ctx context.Context) bool {
	total, _, available, err := c.fs.Space(ctx)
	switch {
	case errors.Is(err, syscall.ENOTSUP) || err == nil && total == 0: // a pseudo root has no room of its own
		c.found(Line{Check: "space", Status: OK, Text: "the server does not say"})
		return true
	case err != nil:
		c.found(Line{Check: "space", Status: Warn, Text: err.Error(), Fix: fixOf(err)})
		return true
	}
	l := Line{Check: "space", Text: fmt.Sprintf("%s of %s are available", size(available), size(total)),
		Data: map[string]any{"totalBytes": total, "availableBytes": available}}
	l.Status, l.Fix = room(available, total, littleSpace, "make room on the server, or raise the quota")
	c.found(l)
	return true
}

// inodes tells how many more files the export can have.
func (c *checker) inodes(ctx context.Context) bool {
	total, free, err := c.fs.Inodes(ctx)
	switch {
	case errors.Is(err, syscall.ENOTSUP):
		c.found(Line{Check: "inodes", Status: OK, Text: "the server does not limit files, or does not say"})
		return true
	case err != nil:
		c.found(Line{Check: "inodes", Status: Warn, Text: err.Error(), Fix: fixOf(err)})
		return true
	}
	l := Line{Check: "inodes", Text: fmt.Sprintf("%d of %d files are left", free, total), Data: map[string]any{"total": total, "free": free}}
	l.Status, l.Fix = room(free, total, fewInodes, "remove files, or make the server's file system anew with more inodes")
	c.found(l)
	return true
}

// room judges how much is left.
func room(left, total, percent uint64, fix string) (Status, string) {
	switch {
	case left == 0:
		return Fail, fix
	case left < total/100*percent:
		return Warn, fix
	}
	return OK, ""
}

func size(n uint64) string { return volume.FormatBytes(n) }
