package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/nfs-csi/nfs-csi/pkg/check"
)

const checkHelp = `Look at an NFS export from here, and say what to mend.

It runs anywhere, without privileges and without mounting: it speaks NFS by itself. Each line is ok, warn or fail, with what to do
about it. All that it changes on the export is one directory called ` + check.ScratchPrefix + `RANDOM, which it makes, uses and removes
again; --read-only leaves that out.

Exit code 0: volumes will work, perhaps with warnings. 1: they will not, or with --strict there are warnings.

The export sees the address of the machine that this runs on. What the pods of the driver may do there can be another thing:
"helm test" runs the same in the cluster.`

const checkExamples = `  nfs-csi check nfs.example.com:/exports/k8s
  nfs-csi check '[2001:db8::1]:/exports/k8s' -O vers=4.1,xprtsec=tls --tls-ca ca.crt
  nfs-csi check nfs.example.com:/exports/k8s --read-only -o json`

// checkOptions are the flags of `nfs-csi check`.
type checkOptions struct {
	export     exportFlags
	output     output
	timeout    time.Duration
	readOnly   bool
	strict     bool
	calls      int
	throughput string
}

func checkCommand() *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use: "check SERVER:/EXPORT", Short: "Look at an NFS export, and say what to mend", Long: checkHelp, Example: checkExamples,
		Args: oneExport,
		RunE: func(c *cobra.Command, args []string) error {
			return o.run(c.Context(), args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	o.export.add(f)
	o.output.add(f, "text", "json")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "longest time for each probe")
	f.BoolVar(&o.readOnly, "read-only", false, "write nothing to the export")
	f.BoolVar(&o.strict, "strict", false, "fail on warnings, too")
	f.IntVar(&o.calls, "calls", 50, "small calls to measure")
	f.StringVar(&o.throughput, "throughput", "", "how much to write and to read to measure that, such as 256Mi (default: nothing)")
	suggest(c, "output", "text", "json")
	return c
}

func (o *checkOptions) run(ctx context.Context, export string, stdout, stderr io.Writer) error {
	config, err := o.config(export, stderr)
	if err != nil {
		return err
	}
	if o.output == "text" {
		config.Found = func(l check.Line) { printLine(stdout, l) }
	}
	report := check.Run(ctx, config)
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	if o.output == "json" {
		if err := printJSON(stdout, report); err != nil {
			return err
		}
	} else {
		printResult(stdout, report)
	}
	if report.Result == check.Fail || o.strict && report.Result == check.Warn {
		return exitCode(1)
	}
	return nil
}

// config checks the flags.
func (o *checkOptions) config(export string, stderr io.Writer) (check.Config, error) {
	var none check.Config
	if err := o.output.oneOf("text", "json"); err != nil {
		return none, err
	}
	if o.timeout <= 0 || o.calls < 1 {
		return none, fmt.Errorf("--timeout is %v and --calls is %d: both must be more than 0", o.timeout, o.calls)
	}
	c := check.Config{Timeout: o.timeout, ReadOnly: o.readOnly, Calls: o.calls}
	if o.throughput != "" {
		q, err := resource.ParseQuantity(o.throughput)
		if err != nil || q.Value() < 1 {
			return none, fmt.Errorf("--throughput is %q: it must be a number of bytes such as 256Mi", o.throughput)
		}
		c.Throughput = q.Value()
	}
	l, err := parseExport(export)
	if err != nil {
		return none, err
	}
	if c.NFS, err = o.export.config(l, stderr); err != nil {
		return none, err
	}
	c.TLS = func() (*tls.Config, error) { return o.export.tls.settings(o.export.tls.cert != "") }
	return c, nil
}

func printLine(w io.Writer, l check.Line) {
	fmt.Fprintf(w, "%-4s  %-10s  %s\n", l.Status, l.Check, printable(l.Text))
	if l.Fix != "" {
		fmt.Fprintf(w, "%-4s  %-10s  -> %s\n", "", "", printable(l.Fix))
	}
}

func printResult(w io.Writer, r check.Report) {
	count := map[check.Status]int{}
	for _, l := range r.Lines {
		count[l.Status]++
	}
	fmt.Fprintf(w, "\n%s: %d ok, %d warn, %d fail\n", r.Export, count[check.OK], count[check.Warn], count[check.Fail])
}

// printable shows what came from a server or a pod without what a terminal would take for a command.
func printable(text string) string {
	clean := []rune(text)
	for i, r := range clean {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			clean[i] = '?'
		}
	}
	return string(clean)
}
