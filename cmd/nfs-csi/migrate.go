package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nfs-csi/nfs-csi/pkg/migrate"
	"github.com/nfs-csi/nfs-csi/pkg/share/inventory"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const migrateHelp = `Give the PersistentVolumes of nfs-subdir-external-provisioner, or of csi-driver-nfs, to this driver.

A PersistentVolume cannot be changed from one kind into another, so each is made anew: same name, same claim, same directory. No file
is touched. Pods that run keep their mount; pods that start later get the volume from this driver. What is needed to go back is kept
in ConfigMaps until "finish". A run that was stopped is begun again: it reads from the cluster how far it is.

Without --yes nothing is changed.`

const migrateExamples = `  nfs-csi migrate plan
  nfs-csi migrate plan --export 10.0.0.1:/exports/k8s --usage -o json
  nfs-csi migrate apply --yes
  nfs-csi migrate apply --from nfs.csi.k8s.io --yes
  nfs-csi migrate undo pvc-7d1f... --yes
  nfs-csi migrate finish --yes`

// migrateOptions are the flags of `nfs-csi migrate`.
type migrateOptions struct {
	cluster    clusterFlags
	output     output
	driverName string
	from       []string
	exports    []string
	yes        bool
	usage      bool
	reach      exportFlags // how usage is asked for
}

func migrateCommand() *cobra.Command {
	var o migrateOptions
	c := &cobra.Command{
		Use: "migrate", Short: "Give volumes of other provisioners to this driver", Long: migrateHelp, Example: migrateExamples,
		Args: noArguments, RunE: showHelp,
	}
	o.add(c.PersistentFlags())
	c.AddCommand(o.planCommand(),
		o.command("apply", "Give the volumes that can be moved to this driver, and go on with what was begun", "converted", (*migrate.Migration).Apply),
		o.command("undo", "Make volumes that were moved what they were", "undone", (*migrate.Migration).Undo),
		o.command("finish", "Forget how to undo", "finished", (*migrate.Migration).Finish))
	return c
}

func (o *migrateOptions) add(f *pflag.FlagSet) {
	o.cluster.addWay(f)
	f.StringVarP(&o.cluster.namespace, "namespace", "n", "nfs-csi", "namespace of the ConfigMaps with what undoing needs")
	f.StringVar(&o.driverName, "driver-name", defaultDriverName, "name of the CSI driver that gets the volumes")
	f.StringArrayVar(&o.from, "from", nil, "provisioner name, or CSI driver, whose volumes are moved; may be repeated (default: whoever made in-tree NFS volumes)")
	f.StringArrayVar(&o.exports, "export", nil, "NFS_SERVER and NFS_PATH of the old provisioner as SERVER:/PATH, or of one by its name as NAME=SERVER:/PATH; may be repeated (default: read from its Deployment)")
	o.output.add(f, "table", "json")
}

// planCommand makes the subcommand that changes nothing, ever.
func (o *migrateOptions) planCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "plan [PERSISTENTVOLUME...]", Short: "Show what there is and what would become of it",
		RunE: func(c *cobra.Command, args []string) error {
			_, plan, err := o.plan(c, args)
			if err == nil && o.usage {
				err = o.measure(c.Context(), plan, c.ErrOrStderr())
			}
			if err != nil {
				return err
			}
			if o.output == "table" {
				defer unmeasured(c.ErrOrStderr(), plan)
			}
			return o.show(c.OutOrStdout(), plan)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.usage, "usage", false, "walk through the directories, by NFS from here, and tell what they take; this may take long")
	o.reach.add(f)
	return c
}

// command makes a subcommand that does something; its arguments are names of PersistentVolumes, none are all. past is what a volume is
// called that it was done to.
func (o *migrateOptions) command(name, short, past string, do func(*migrate.Migration, context.Context, migrate.Plan) error) *cobra.Command {
	c := &cobra.Command{
		Use: name + " [PERSISTENTVOLUME...]", Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			m, plan, err := o.plan(c, args)
			if err != nil {
				return err
			}
			if !o.yes {
				fmt.Fprintln(c.ErrOrStderr(), "nothing was changed: add --yes to do it")
				return o.show(c.OutOrStdout(), plan)
			}
			m.Progress = progress(c.ErrOrStderr(), past)
			return do(m, c.Context(), plan)
		},
	}
	c.Flags().BoolVar(&o.yes, "yes", false, "do it, instead of showing what would be done")
	return c
}

func (o *migrateOptions) plan(c *cobra.Command, only []string) (*migrate.Migration, migrate.Plan, error) {
	config, err := o.config(only)
	if err != nil {
		return nil, migrate.Plan{}, err
	}
	m := migrate.New(config)
	plan, err := m.Plan(c.Context())
	return m, plan, err
}

// measure adds what the directories of a plan take.
func (o *migrateOptions) measure(ctx context.Context, p migrate.Plan, stderr io.Writer) (err error) {
	if _, err := o.reach.config(volume.Location{}, stderr); err != nil {
		return err // the flags'
	}
	m := o.reach.manager(stderr, true)
	defer func() { err = errors.Join(err, m.Close()) }()
	return p.Measure(ctx, func(ctx context.Context, l volume.Location, dir volume.Dir) (migrate.Used, error) {
		if info, err := m.Lstat(ctx, l, string(dir), nil); err != nil || info == nil {
			return migrate.Used{}, cmp.Or(err, fmt.Errorf("%w: its directory is not there", volume.ErrNotFound))
		}
		u, err := m.Usage(ctx, l, string(dir), nil)
		return migrate.Used{Bytes: u.Bytes, Files: u.Files, Partly: u.Partly}, err
	})
}

// config checks the flags.
func (o *migrateOptions) config(only []string) (migrate.Config, error) {
	var none migrate.Config
	if err := o.output.oneOf("table", "json"); err != nil {
		return none, err
	}
	exports := map[string]volume.Location{}
	for _, text := range o.exports {
		name, export, named := strings.Cut(text, "=")
		if !named {
			name, export = "", text
		}
		l, err := parseExport(export)
		if err != nil {
			return none, fmt.Errorf("--export: %w", err)
		}
		exports[name] = l
	}
	client, err := o.cluster.client()
	if err != nil {
		return none, err
	}
	return migrate.Config{Client: client, DriverName: o.driverName, From: o.from, Exports: exports, Namespace: o.cluster.namespace, Only: only}, nil
}

func (o *migrateOptions) show(stdout io.Writer, p migrate.Plan) error {
	if o.output == "json" {
		return printJSON(stdout, p)
	}
	o.print(stdout, p)
	return nil
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return nil
}

func (o *migrateOptions) print(w io.Writer, p migrate.Plan) {
	row, flush := columns(w)
	row("CLASS", "PROVISIONER", "ON DELETE", "VOLUMES", "PATH PATTERN")
	for _, c := range p.Classes {
		row(c.Name, c.Provisioner, c.OnDelete, fmt.Sprint(c.Volumes), c.PathPattern)
	}
	flush()
	fmt.Fprintln(w)
	head, tail := []string{"CLAIM", "VOLUME", "DIRECTORY", "CAPACITY"}, []string{"RECLAIM", "ON DELETE", "PODS", "STATE", "REMARK"}
	if o.usage {
		head = append(head, "USED")
	}
	row(append(head, tail...)...)
	for _, v := range p.Volumes {
		cells := []string{v.Claim, v.Name, v.Server + ":" + v.Path, v.Capacity}
		if o.usage {
			cells = append(cells, usedOf(v))
		}
		row(append(cells, v.ReclaimPolicy, v.OnDelete, strings.Join(v.Pods, ","), string(v.State), v.Reason)...)
	}
	flush()
	fmt.Fprintf(w, "\n%d convertible, %d begun, %d converted, %d gone, %d refused\n", p.Count(migrate.Convertible), p.Count(migrate.Begun),
		p.Count(migrate.Converted), p.Count(migrate.Gone), p.Count(migrate.Refused))
}

// usedOf is a size, or a question mark where [unmeasured] says why there is none.
func usedOf(v migrate.Volume) string {
	if v.Used == nil {
		return "?"
	}
	return usedBy(&inventory.Used{Bytes: v.Used.Bytes, Partly: v.Used.Partly})
}

// unmeasured says why sizes are missing, each reason once.
func unmeasured(w io.Writer, p migrate.Plan) {
	names := map[string][]string{}
	for _, v := range p.Volumes {
		if v.UsedError != "" {
			names[v.UsedError] = append(names[v.UsedError], v.Name)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(names)) {
		who := names[reason][0]
		if more := len(names[reason]) - 1; more > 0 {
			who += fmt.Sprintf(" and %d more", more)
		}
		fmt.Fprintf(w, "What %s takes is not known: %s\n", printable(who), printable(reason))
	}
}

// columns prints rows in columns; what is empty is a dash.
func columns(w io.Writer) (row func(cells ...string), flush func()) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	return func(cells ...string) {
		for i, c := range cells {
			if c == "" {
				c = "-"
			}
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, printable(c))
		}
		fmt.Fprintln(t)
	}, func() { _ = t.Flush() } // the writer below has told its error already
}
