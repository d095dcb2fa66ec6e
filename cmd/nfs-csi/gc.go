package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/inventory"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const gcHelp = `Remove from an export what nobody needs, of the kinds that you name. It shows what it would do; --yes does it.

  --trash                  what deleted volumes have left, at once and for good; the driver does so by itself
  --archives-older-than    archives of that age that no PersistentVolume or pod of the cluster mounts: they go to the trash, which the
                           driver empties
  --orphans                volumes that no PersistentVolume, claim or pod of the cluster needs: they become archives
                           ("archived-NAME"), which the driver removes when --keep is over and which can be moved back until
                           then; and reservations of directories for volumes that were never made

Only the clusters that use an export know what is an orphan, and who mounts an archive to get files back. Where several do, name all of
them: --context and --also-context; and say so with --all-clusters-asked, without which no orphan is touched. With --no-cluster archives
go by their age alone. A volume younger than an hour is no orphan, nor is a directory without a record, nor one whose policy is to be
retained. Everything is looked at once more just before it is touched.

Directories can be named instead (--directory): of the orphans only those; and with --no-cluster whatever they are, which is for
clusters that are gone for good. One whose archiving was interrupted is named again, and goes on.`

const gcExamples = `  nfs-csi gc nfs.example.com:/exports/k8s --orphans
  nfs-csi gc nfs.example.com:/exports/k8s --orphans --all-clusters-asked --keep 30d --yes
  nfs-csi gc nfs.example.com:/exports/k8s --archives-older-than 90d --trash --yes
  nfs-csi gc nfs.example.com:/exports/k8s --no-cluster --orphans --directory shop-data-db-0-pvc-7d1f --yes`

// gcOptions are the flags of `nfs-csi gc`.
type gcOptions struct {
	shareFlags
	output      output
	trash       bool
	archives    days
	orphans     bool
	directories []string
	keep        days
	contexts    []string
	allAsked    bool
	yes         bool
}

func gcCommand() *cobra.Command {
	o := gcOptions{keep: days(7 * day)}
	c := &cobra.Command{
		Use: "gc SERVER:/EXPORT", Short: "Remove from an export what nobody needs", Long: gcHelp, Example: gcExamples,
		Args: oneExport,
		RunE: func(c *cobra.Command, args []string) error {
			return o.run(c.Context(), args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	o.add(f)
	o.output.add(f, "table", "json")
	f.BoolVar(&o.trash, "trash", false, "remove what is in the trash")
	f.Var(&o.archives, "archives-older-than", "remove archives of this age, such as 90d or 36h")
	f.BoolVar(&o.orphans, "orphans", false, "archive volumes that nobody needs")
	f.StringArrayVar(&o.directories, "directory", nil, "of the orphans only this directory; may be repeated")
	f.Var(&o.keep, "keep", "how long to keep what becomes an archive; 0: until somebody removes it")
	f.StringArrayVar(&o.contexts, "also-context", nil, "context of another cluster that uses the export; may be repeated")
	f.BoolVar(&o.allAsked, "all-clusters-asked", false, "no other cluster uses the export")
	f.BoolVar(&o.yes, "yes", false, "do it")
	suggest(c, "output", "table", "json")
	return c
}

const day = 24 * time.Hour

// days is a duration that may be given in days.
type days time.Duration

func (d *days) String() string { return time.Duration(*d).String() }
func (d *days) Type() string   { return "duration" }

func (d *days) Set(s string) error {
	if number, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return errDays
		}
		*d = days(time.Duration(n) * day)
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return errDays
	}
	*d = days(v)
	return nil
}

var errDays = errors.New("it must be a time such as 90d or 36h, and not negative")

// run plans, shows, and with --yes does it.
func (o *gcOptions) run(ctx context.Context, export string, stdout, stderr io.Writer) (err error) {
	l, err := parseExport(export)
	if err == nil {
		err = errors.Join(o.output.oneOf("table", "json"), o.check())
	}
	if err != nil {
		return err
	}
	wish := inventory.Wish{Trash: o.trash, OlderThan: time.Duration(o.archives), Orphans: o.orphans, Directories: o.directories, Keep: time.Duration(o.keep)}
	cluster, err := o.clusters(ctx)
	if err != nil {
		return err
	}
	m := o.export.manager(stderr, false)
	defer func() { err = errors.Join(err, m.Close()) }()
	now := time.Now()
	items, err := inventory.Take(ctx, m, l, cluster, now)
	if err != nil {
		return tellsMore(err, l)
	}
	acts, err := inventory.Plan(o.inNamespace(items), wish, cluster != nil, now)
	if err != nil {
		return err
	}
	if !o.yes {
		return o.show(stdout, stderr, acts)
	}
	return o.carry(ctx, m, l, acts, wish, stdout)
}

// check refuses wishes that say too little.
func (o *gcOptions) check() error {
	switch {
	case !o.trash && o.archives == 0 && !o.orphans:
		return errors.New("nothing is chosen: say what to remove with --trash, --archives-older-than (more than 0) or --orphans")
	case len(o.directories) > 0 && !o.orphans:
		return errors.New("--directory narrows --orphans: give both")
	case o.orphans && o.noCluster && len(o.directories) == 0:
		return errors.New("only a cluster tells which volumes nobody needs: name one with --kubeconfig, or with --no-cluster name each --directory")
	case o.orphans && o.yes && !o.noCluster && !o.allAsked:
		return errors.New("volumes of a cluster that was not asked look like orphans: name every cluster that uses the export (--context, --also-context), " +
			"and say that with --all-clusters-asked")
	}
	return nil
}

// clusters asks every cluster that is named; nil where none is needed.
func (o *gcOptions) clusters(ctx context.Context) (*inventory.Cluster, error) {
	if !o.orphans && o.archives == 0 || o.noCluster {
		return nil, nil
	}
	tells, without := "who mounts an archive", "give --no-cluster, where certainly nobody does"
	if o.orphans {
		tells, without = "which volumes nobody needs", "give --no-cluster and name each --directory"
	}
	var n needs
	for _, context := range append([]string{o.cluster.context}, o.contexts...) {
		flags := o.cluster
		flags.context = context
		api, err := flags.client()
		if err != nil {
			return nil, fmt.Errorf("only a cluster tells %s: %w, or %s", tells, err, without)
		}
		if err := n.add(ctx, api); err != nil {
			return nil, fmt.Errorf("only a cluster tells %s: %w; make it answer, or %s", tells, err, without)
		}
	}
	if n.blind != nil {
		return nil, fmt.Errorf("pods may mount volumes past PersistentVolumes, so all pods must be listed to tell %s: %w; or %s", tells, n.blind, without)
	}
	return n.Index(), nil
}

// outcome is an act, and what came of it.
type outcome struct {
	inventory.Act
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

// show prints what would be done.
func (o *gcOptions) show(stdout, stderr io.Writer, acts []inventory.Act) error {
	outcomes := make([]outcome, len(acts))
	for i, a := range acts {
		outcomes[i].Act = a
	}
	if err := o.print(stdout, outcomes); err != nil || len(acts) == 0 {
		return err
	}
	fmt.Fprintln(stderr, "Nothing was done: --yes does this.")
	return nil
}

func (o *gcOptions) print(w io.Writer, outcomes []outcome) error {
	if o.output == "json" {
		return printJSON(w, outcomes)
	}
	if len(outcomes) == 0 {
		_, err := fmt.Fprintln(w, "There is nothing to do.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "DO\tKIND\tDIRECTORY\tCLAIM\tCAPACITY\tAGE\tWHY")
	for _, c := range outcomes {
		i := c.Item
		fmt.Fprintln(t, strings.Join([]string{string(c.Do), string(i.Kind), printable(i.Directory), dash(printable(i.Claim)), sizeOf(i.CapacityBytes),
			ageOf(i.Created), dash(printable(i.Note))}, "\t"))
	}
	return t.Flush()
}

// carry does everything that can be done, one after the other, and says what cannot.
func (o *gcOptions) carry(ctx context.Context, m *share.Manager, l volume.Location, acts []inventory.Act, wish inventory.Wish, stdout io.Writer) error {
	again := o.clusters
	if o.noCluster {
		again = nil
	}
	outcomes := []outcome{} // in JSON no null
	failed := 0
	for _, a := range acts {
		c := outcome{Act: a}
		err := inventory.Carry(ctx, m, l, a, wish, again, time.Now())
		if c.Done = err == nil; !c.Done {
			c.Error = err.Error()
			failed++
		}
		outcomes = append(outcomes, c)
		if o.output == "table" {
			fmt.Fprintln(stdout, c)
		}
	}
	if o.output == "json" || len(outcomes) == 0 {
		if err := o.print(stdout, outcomes); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d could not be done: see above; nothing of these was lost", failed, len(acts))
	}
	return nil
}

// String is a line about what came of an act.
func (c outcome) String() string {
	thing := fmt.Sprintf("%s %s", c.Item.Kind, printable(c.Item.Directory))
	if c.Error != "" {
		return fmt.Sprintf("NOT DONE (%s) %s: %s", c.Do, thing, printable(c.Error))
	}
	return fmt.Sprintf("done (%s) %s", c.Do, thing)
}
