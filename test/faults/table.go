// Package faults breaks the NFS servers of a node under the driver's hands and judges what becomes of its calls.
package faults

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Table is what a run has measured: one row for each operation under a fault. Its methods may be called at once.
type Table struct {
	mu   sync.Mutex
	rows []row
}

type row struct {
	fault, operation, bound, measured string
	kept                              bool
}

// Took enters how long an operation took under a fault, and answers whether that is within bound.
func (t *Table) Took(fault, operation string, bound, measured time.Duration) bool {
	unit := time.Millisecond
	if measured >= 10*time.Second {
		unit = 100 * time.Millisecond
	}
	return t.Enter(fault, operation, bound.String(), measured.Round(unit).String(), measured <= bound)
}

// Enter enters what was found beside what is promised, in words, and answers kept.
func (t *Table) Enter(fault, operation, bound, measured string, kept bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, row{fault, operation, bound, measured, kept})
	return kept
}

// String is the table in Markdown.
func (t *Table) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &strings.Builder{}
	fmt.Fprintln(b, "| fault | operation | bound | measured | verdict |\n| --- | --- | --- | --- | --- |")
	for _, r := range t.rows {
		verdict := "kept"
		if !r.kept {
			verdict = "BROKEN"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", r.fault, r.operation, r.bound, r.measured, verdict)
	}
	return b.String()
}
