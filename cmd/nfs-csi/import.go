package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/nfs-csi/nfs-csi/pkg/importing"
	"github.com/nfs-csi/nfs-csi/pkg/migrate"
	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

const importHelp = `Write the PersistentVolumes of the volumes on an export, in a cluster that has lost them.

Each volume of this driver has a record on its export (.nfs-csi/volumes) that says its name, directory, size, policy and claim. With
--directories those are taken too that have no record and are called NAMESPACE-CLAIM-pvc-UID, as nfs-subdir-external-provisioner
leaves them. A volume is made for the claim that it had: a claim of that name gets it; --claims writes the claims too. Nothing on the
export is changed.

Without --yes nothing is written.`

const importExamples = `  nfs-csi import 10.0.0.1:/exports/k8s
  nfs-csi import 10.0.0.1:/exports/k8s --class nfs --claims --yes
  nfs-csi import 10.0.0.1:/exports/k8s --directories -o json`

// importOptions are the flags of `nfs-csi import`.
type importOptions struct {
	cluster       clusterFlags
	export        exportFlags
	output        output
	driverName    string
	class         string
	claims        bool
	directories   bool
	only          []string
	capacity      string
	reclaimPolicy string
	yes           bool
}

func importCommand() *cobra.Command {
	var o importOptions
	c := &cobra.Command{
		Use: "import SERVER:/EXPORT", Short: "Write PersistentVolumes for the volumes on an export", Long: importHelp, Example: importExamples,
		Args: oneExport,
		RunE: func(c *cobra.Command, args []string) error {
			return o.run(c.Context(), args[0], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f := c.Flags()
	o.cluster.addWay(f)
	o.export.add(f)
	o.output.add(f, "table", "json")
	f.StringVar(&o.driverName, "driver-name", defaultDriverName, "name of the CSI driver")
	f.StringVar(&o.class, "class", "nfs", "StorageClass of the volumes, whose mount options they get; empty: none")
	f.BoolVar(&o.claims, "claims", false, "write the claims too, in namespaces that are there")
	f.BoolVar(&o.directories, "directories", false, "take directories too that have no record and are called NAMESPACE-CLAIM-pvc-UID")
	f.StringArrayVar(&o.only, "volume", nil, "name of a volume to take, and no others; may be repeated (default: all)")
	f.StringVar(&o.capacity, "capacity", "1Gi", "size of volumes whose size nobody knows")
	f.StringVar(&o.reclaimPolicy, "reclaim-policy", string(v1.PersistentVolumeReclaimRetain), "of the volumes: Retain or Delete")
	f.BoolVar(&o.yes, "yes", false, "do it, instead of showing what would be done")
	return c
}

func (o *importOptions) run(ctx context.Context, export string, stdout, stderr io.Writer) (err error) {
	config, way, err := o.config(export, stderr)
	if err != nil {
		return err
	}
	opened, err := nfs.Open(ctx, way)
	if err != nil {
		return tellsMore(fmt.Errorf("opening %s: %w", config.Location, err), config.Location)
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	config.Export = opened
	config.Progress = progress(stderr, "written")
	plan, err := config.Plan(ctx)
	if err != nil {
		return err
	}
	if o.yes {
		if err := migrate.Installed(ctx, config.Client, o.driverName); err != nil {
			return err
		}
		return config.Apply(ctx, plan)
	}
	if o.output == "json" {
		err = printJSON(stdout, plan)
	} else {
		printFound(stdout, plan)
	}
	fmt.Fprintln(stderr, "nothing was written: add --yes to do it")
	return err
}

// config checks the flags.
func (o *importOptions) config(export string, stderr io.Writer) (config importing.Config, way nfs.Config, err error) {
	if err := o.output.oneOf("table", "json"); err != nil {
		return config, way, err
	}
	reclaim := v1.PersistentVolumeReclaimPolicy(o.reclaimPolicy)
	if reclaim != v1.PersistentVolumeReclaimRetain && reclaim != v1.PersistentVolumeReclaimDelete {
		return config, way, fmt.Errorf("--reclaim-policy is %q: it must be Retain or Delete", o.reclaimPolicy)
	}
	capacity, err := resource.ParseQuantity(o.capacity)
	if err != nil || capacity.Sign() <= 0 {
		return config, way, fmt.Errorf("--capacity is %q: it must be a number of bytes such as 1Gi", o.capacity)
	}
	l, err := parseExport(export)
	if err != nil {
		return config, way, err
	}
	if way, err = o.export.config(l, stderr); err != nil {
		return config, way, err
	}
	client, err := o.cluster.client()
	if err != nil {
		return config, way, err
	}
	return importing.Config{
		Client: client, DriverName: o.driverName, Location: l, Class: o.class, Only: o.only, Directories: o.directories, Claims: o.claims,
		Capacity: capacity, ReclaimPolicy: reclaim,
	}, way, nil
}

func printFound(w io.Writer, p importing.Plan) {
	row, flush := columns(w)
	row("CLAIM", "VOLUME", "DIRECTORY", "SIZE", "ON DELETE", "RECORD", "STATE", "REMARK")
	for _, v := range p.Volumes {
		record, remark := "no", v.Reason
		if v.Recorded {
			record = "yes"
		}
		if v.MakeClaim {
			remark = "the claim is written too"
		}
		row(v.Claim, v.Name, v.Directory, v.Capacity, v.OnDelete, record, string(v.State), remark)
	}
	flush()
	fmt.Fprintf(w, "\n%d importable, %d present, %d refused on %s\n", p.Count(importing.Importable), p.Count(importing.Present), p.Count(importing.Refused), p.Export)
}
