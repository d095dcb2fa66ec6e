//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/test/faults"
)

// verdicts are what all tests have measured.
var verdicts faults.Table

// judge enters a line, "fault: operation", into the table, and fails the test unless the bound was kept.
func (c cluster) judge(what, bound, measured string, kept bool) {
	c.t.Helper()
	fault, operation, _ := strings.Cut(what, ": ")
	c.t.Logf("%s: %s (bound %s)", what, measured, bound)
	if !verdicts.Enter(fault, operation, bound, measured, kept) {
		c.t.Errorf("%s: %s, and the bound is %s", what, measured, bound)
	}
}

// patience is how much longer than its bound something is waited for, so that the table can tell by how much it is late.
const patience = 3 * time.Minute

// within wants check to return nil no later than bound from now.
func (c cluster) within(what string, bound time.Duration, check func() error) {
	c.t.Helper()
	c.since(time.Now(), what, bound, check)
}

// since wants check to return nil no later than bound from start.
func (c cluster) since(start time.Time, what string, bound time.Duration, check func() error) {
	c.t.Helper()
	err := poll(time.Until(start.Add(bound+patience)), check)
	took := time.Since(start)
	if err != nil {
		c.t.Errorf("%s: %v", what, err)
		c.judge(what, bound.String(), "never", false)
		return
	}
	c.judge(what, bound.String(), took.Round(100*time.Millisecond).String(), took <= bound)
}

// none wants an empty list: nothing leaked, no write failed.
func (c cluster) none(what string, found []string) {
	c.t.Helper()
	c.judge(what, "0", fmt.Sprint(len(found)), len(found) == 0)
	if len(found) > 0 {
		c.t.Errorf("%s:\n%s", what, strings.Join(found[:min(len(found), 40)], "\n"))
	}
}

// printVerdicts prints the table, if anything is in it.
func printVerdicts(w io.Writer) error {
	text := verdicts.String()
	if strings.Count(text, "\n") <= 2 { // its head
		return nil
	}
	_, err := fmt.Fprint(w, "\n", text)
	return err
}
