package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/inventory"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const lsHelp = `List what is on an export: volumes, snapshots, archives, what is on its way out or in, and directories that nobody knows.

It changes nothing and needs no privileges and no mount. With a cluster (--kubeconfig, KUBECONFIG, ~/.kube/config, or the one that
this is a pod of) it tells which volumes are in use, which nobody needs (orphan), and which PersistentVolumes have lost their
directory (missing). Without an export it lists those of the cluster's volumes.

A directory without a record is unknown and never an orphan: predecessors' volumes have no records, nor have retained directories.`

const lsExamples = `  nfs-csi ls nfs.example.com:/exports/k8s
  nfs-csi ls nfs.example.com:/exports/k8s --state orphan,missing -o wide
  nfs-csi ls nfs.example.com:/exports/k8s --no-cluster --usage -o json
  kubectl nfs ls -n shop`

// shareFlags are what ls and gc have in common.
type shareFlags struct {
	export    exportFlags
	cluster   clusterFlags
	noCluster bool
}

func (s *shareFlags) add(f *pflag.FlagSet) {
	s.export.add(f)
	s.cluster.add(f)
	f.BoolVar(&s.noCluster, "no-cluster", false, "ask no cluster")
}

// manager looks at shares and does nothing by itself. toLook: exports that nobody may write to are opened, too.
func (e *exportFlags) manager(stderr io.Writer, toLook bool) *share.Manager {
	return share.NewManager(share.Config{
		Passive: true, Classify: classify,
		Open: func(ctx context.Context, l volume.Location, _ []string) (share.FS, io.Closer, error) {
			config, err := e.config(l, stderr)
			if err != nil {
				return nil, nil, err
			}
			f, err := nfs.Open(ctx, config)
			if toLook && errors.Is(err, nfs.ErrRefused) {
				config.ActAsOwner = false
				if g, again := nfs.Open(ctx, config); again == nil {
					f, err = g, nil
				}
			}
			return f, f, err
		},
	})
}

// ask asks the cluster; nil where there is none, or none is wanted.
func (s *shareFlags) ask(ctx context.Context) (*needs, error) {
	if s.noCluster {
		return nil, nil
	}
	api, err := s.cluster.client()
	if errors.Is(err, errNoKubeconfig) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var n needs
	if err := n.add(ctx, api); err != nil {
		return nil, fmt.Errorf("%w (--no-cluster asks none)", err)
	}
	return &n, nil
}

// inNamespace keeps what belongs to claims of the namespace that the flags name, if they name one.
func (s *shareFlags) inNamespace(items []inventory.Item) []inventory.Item {
	return slices.DeleteFunc(items, func(i inventory.Item) bool {
		namespace, _, _ := strings.Cut(i.Claim, "/")
		return s.cluster.namespace != "" && namespace != s.cluster.namespace
	})
}

// lsOptions are the flags of `nfs-csi ls`.
type lsOptions struct {
	shareFlags
	output        output
	usage         bool
	kinds, states []string
}

func lsCommand() *cobra.Command {
	var o lsOptions
	c := &cobra.Command{
		Use: "ls [SERVER:/EXPORT]", Short: "List the volumes on an export, and what else is there", Long: lsHelp, Example: lsExamples,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.run(c.Context(), args, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	o.add(f)
	o.output.add(f, "table", "wide", "json")
	f.BoolVar(&o.usage, "usage", false, "walk through everything and tell what it takes; this may take long")
	f.StringSliceVar(&o.kinds, "kind", nil, "list these kinds only: "+joined(inventory.Kinds()))
	f.StringSliceVar(&o.states, "state", nil, "list these states only: "+joined(inventory.States()))
	suggest(c, "output", "table", "wide", "json")
	suggest(c, "kind", inventory.Kinds()...)
	suggest(c, "state", inventory.States()...)
	return c
}

func joined[T ~string](list []T) string {
	var texts []string
	for _, item := range list {
		texts = append(texts, string(item))
	}
	return strings.Join(texts, ", ")
}

// listing is what is on one export.
type listing struct {
	Export  string           `json:"export"`
	Cluster bool             `json:"clusterAsked"`
	Items   []inventory.Item `json:"items"`
	Error   string           `json:"error,omitempty"` // why there are none
}

func (o *lsOptions) run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if err := errors.Join(o.output.oneOf("table", "wide", "json"), known("--kind", o.kinds, inventory.Kinds()), known("--state", o.states, inventory.States())); err != nil {
		return err
	}
	found, err := o.ask(ctx)
	if err != nil {
		return err
	}
	locations, err := o.locations(args, found)
	if err != nil {
		return err
	}
	m := o.export.manager(stderr, true)
	defer func() { err = errors.Join(err, m.Close()) }()
	var all []listing
	var failures []error // one export that cannot be read is no reason to hide the others
	for _, l := range locations {
		items, err := o.take(ctx, m, l, found)
		if err != nil {
			failures = append(failures, tellsMore(err, l))
			all = append(all, listing{Export: l.String(), Cluster: found != nil, Items: []inventory.Item{}, Error: err.Error()})
			continue
		}
		all = append(all, listing{Export: l.String(), Cluster: found != nil, Items: append([]inventory.Item{}, items...)}) // in JSON no null
	}
	if o.output == "json" {
		return errors.Join(append(failures, printJSON(stdout, all))...)
	}
	if len(failures) < len(all) {
		o.print(stdout, all)
		o.remark(stderr, found)
	}
	return errors.Join(failures...)
}

// known refuses words that name nothing.
func known[T ~string](flag string, words []string, list []T) error {
	for _, w := range words {
		if !slices.Contains(list, T(w)) {
			return fmt.Errorf("%s is %q: it must be some of %s", flag, w, joined(list))
		}
	}
	return nil
}

// locations are the export that is asked for, or those of the cluster's volumes.
func (o *lsOptions) locations(args []string, found *needs) ([]volume.Location, error) {
	if len(args) == 1 {
		l, err := parseExport(args[0])
		return []volume.Location{l}, err
	}
	if found == nil {
		return nil, fmt.Errorf("no export is given, and no cluster to ask for some: %w; or name a cluster with --kubeconfig", errExport)
	}
	if len(found.shares) == 0 {
		return nil, fmt.Errorf("the cluster has no volumes on NFS exports: %w", errExport)
	}
	var all []volume.Location
	for l := range found.shares {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b volume.Location) int { return strings.Compare(a.String(), b.String()) })
	return all, nil
}

func (o *lsOptions) take(ctx context.Context, m *share.Manager, l volume.Location, found *needs) ([]inventory.Item, error) {
	var cluster *inventory.Cluster
	if found != nil {
		cluster = found.Index()
	}
	items, err := inventory.Take(ctx, m, l, cluster, time.Now())
	if err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(o.inNamespace(items), func(i inventory.Item) bool {
		return len(o.kinds) > 0 && !slices.Contains(o.kinds, string(i.Kind)) || len(o.states) > 0 && !slices.Contains(o.states, string(i.State))
	})
	if o.usage {
		err = inventory.Measure(ctx, m, l, items)
	}
	return items, err
}

func (o *lsOptions) print(w io.Writer, all []listing) {
	for n, l := range all {
		if len(all) > 1 {
			if n > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintln(w, l.Export)
		}
		if l.Error != "" {
			fmt.Fprintln(w, "It cannot be read.")
			continue
		}
		if len(l.Items) == 0 {
			fmt.Fprintln(w, "There is nothing to list.")
			continue
		}
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		fmt.Fprintln(t, strings.Join(o.header(), "\t"))
		for _, i := range l.Items {
			fmt.Fprintln(t, strings.Join(o.row(i), "\t"))
		}
		t.Flush()
	}
}

func (o *lsOptions) header() []string {
	h := []string{"KIND", "STATE", "DIRECTORY", "CLAIM", "CAPACITY"}
	if o.usage {
		h = append(h, "USED")
	}
	h = append(h, "ONDELETE", "AGE")
	if o.output == "wide" {
		h = append(h, "VOLUME", "PV", "EXPIRES", "NOTE")
	}
	return h
}

func (o *lsOptions) row(i inventory.Item) []string {
	r := []string{string(i.Kind), string(i.State), dash(printable(i.Directory)), dash(printable(i.Claim)), sizeOf(i.CapacityBytes)}
	if o.usage {
		r = append(r, usedBy(i.Used))
	}
	r = append(r, dash(string(i.Policy)), ageOf(i.Created))
	if o.output == "wide" {
		expires := ""
		if !i.Expires.IsZero() {
			expires = i.Expires.Format(time.DateOnly)
		}
		r = append(r, dash(printable(i.Name)), dash(i.PV), dash(expires), dash(printable(i.Note)))
	}
	return r
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func sizeOf(n int64) string {
	if n <= 0 {
		return "-"
	}
	return volume.FormatBytes(uint64(n))
}

func usedBy(u *inventory.Used) string {
	switch {
	case u == nil:
		return "-"
	case u.Partly:
		return ">" + volume.FormatBytes(uint64(u.Bytes))
	}
	return volume.FormatBytes(uint64(u.Bytes))
}

func ageOf(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return duration.HumanDuration(max(time.Since(at), 0))
}

// remark says what the list does not know.
func (o *lsOptions) remark(stderr io.Writer, found *needs) {
	switch {
	case found == nil:
		fmt.Fprintln(stderr, "No cluster was asked, so nobody knows here which volumes are needed: name one with --kubeconfig.")
	case found.blind != nil:
		fmt.Fprintln(stderr, "What pods mount by themselves is not known:", found.blind)
	}
}
