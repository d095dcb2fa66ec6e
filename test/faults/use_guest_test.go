//go:build guest

package faults_test

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// use writes a file of that volume and reads it back, in a process that a dead server may hold.
func use(ctx context.Context, directory string) error {
	c := exec.CommandContext(ctx, "sh", "-c", `date >"$0/used" && test -s "$0/used"`, directory)
	c.WaitDelay = time.Second
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("using %s: %w: %s", directory, err, out)
	}
	return nil
}
