package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/socket"
	"github.com/nfs-csi/nfs-csi/pkg/provisioner"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// controllerOptions are the flags of `nfs-csi controller`.
type controllerOptions struct {
	common
	provisionerNames  []string
	volumeSource      string
	server, share     string
	onDelete, mode    string
	subDir            string
	secrets           []string
	leaderElection    bool
	electionNamespace string
	workers           int
	kubeconfig        string
	csiOnly           bool
	resizer           string
	snapshotter       string
	capacityOwner     string
	compareCopies     bool
}

func controllerCommand() *cobra.Command {
	var o controllerOptions
	c := o.command("controller", "Make and delete the volumes of claims", o.run)
	o.add(c.Flags())
	addOld(c.Flags())
	return c
}

func (o *controllerOptions) add(f *pflag.FlagSet) {
	o.common.add(f, "unix:///run/nfs-csi/csi.sock", ":9808")
	o.addLegacy(f)
	f.StringVar(&o.server, "nfs-server", os.Getenv("NFS_SERVER"), "NFS server of classes that name none (environment: NFS_SERVER)")
	f.StringVar(&o.share, "nfs-share", os.Getenv("NFS_PATH"), "share of classes that name none (environment: NFS_PATH)")
	f.StringVar(&o.onDelete, "default-on-delete", "", "what becomes of the directory of a deleted volume whose class does not say: delete, retain or archive (default delete)")
	f.StringVar(&o.mode, "mount-permissions", "", "octal mode of new directories of classes that set none (default 0777)")
	f.StringVar(&o.subDir, "default-subdir", "", "directory of new volumes of classes that set no subDir, a template like it (default namespace-claim-volume)")
	f.StringArrayVar(&o.secrets, "secret", nil, "NAMESPACE/NAME of a Secret with mountOptions that a class of csi-driver-nfs names; no other is read; may be repeated")
	f.BoolVar(&o.leaderElection, "leader-election", true, "let one of several controllers work at a time")
	f.StringVar(&o.electionNamespace, "leader-election-namespace", podNamespace(), "namespace of the lease (default: the pod's)")
	f.IntVar(&o.workers, "workers", 32, "claims, and as many volumes, to work on at once")
	f.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "file that says how to reach the API server (default: as a pod does)")
	f.StringVar(&o.resizer, "resizer", auto, "grow and change volumes in this process: auto (change them where the API server has VolumeAttributesClasses), on (and warn where it has none) or off")
	f.StringVar(&o.snapshotter, "snapshotter", auto, "make snapshots in this process: auto (where the cluster has VolumeSnapshots), on (and warn while it has none) or off")
	f.StringVar(&o.capacityOwner, "storage-capacity", "", "publish CSIStorageCapacity objects that go with this Deployment, NAMESPACE/NAME (default: publish none)")
	f.BoolVar(&o.compareCopies, "compare-copies", false, "read every file of a clone, a snapshot and a restored volume once more, with its source, and compare them before it counts as made")
	f.BoolVar(&o.csiOnly, "csi-only", false, "serve the CSI socket and leave claims to somebody else")
}

// run is the controller: NFS client, shares, CSI service, and around it the provisioner and a socket.
func (o *controllerOptions) run(ctx context.Context, log *slog.Logger) (err error) {
	says, err := o.check()
	if err != nil {
		return err
	}
	m := newMetrics()
	identity, err := driver.NewIdentity(o.driverName, version)
	if err != nil {
		return err
	}
	manager := share.NewManager(share.Config{
		Open: client{log: log, metrics: m, tls: o.tls, compare: o.compareCopies}.open, Route: routeName, Locations: locations(says.defaults),
		Classify: classify, Observe: m.operation, Log: log,
	})
	defer func() { err = errors.Join(err, manager.Close()) }()
	m.controller(work{manager.Stats, manager.Copies, time.Now}).install()
	calls := driver.Calls{Log: log, Observe: m.call}
	service := driver.NewController(manager, says.defaults, log)
	claims, err := o.kubernetes(calls.Controller(service), manager, says, m, log)
	if err != nil {
		return err
	}
	web, err := listenHTTP(ctx, o.metricsAddress)
	if err != nil {
		return err
	}
	l, err := socket.Listen(ctx, o.endpoint)
	if err != nil {
		return errors.Join(err, closeAll(web))
	}
	log.Info("nfs-csi controller", "version", version, "driver", o.driverName, "endpoint", o.endpoint, "metrics", addressOf(web))
	saveMemory(log)
	return together(ctx,
		func(ctx context.Context) error {
			return driver.Serve(ctx, l, driver.Services{Identity: identity, Controller: service}, calls)
		},
		func(ctx context.Context) error {
			return serveHTTP(ctx, web, m.registry, health{healthy: holds(l), ready: claims.Ready}, log)
		},
		claims.Run)
}

// settings are what the flags say, as values.
type settings struct {
	defaults volume.Defaults
	legacy   provisioner.Legacy
	secrets  provisioner.Secrets
}

// check reads what the flags say, and reports all mistakes.
func (o *controllerOptions) check() (p settings, err error) {
	d := &p.defaults
	d.Server, d.Share = o.server, o.share
	var errs [8]error
	d.Policy, errs[0] = volume.ParsePolicy(o.onDelete)
	d.Mode, errs[1] = volume.ParseMode(o.mode)
	if o.server != "" || o.share != "" {
		if _, err := volume.ParseLocation(o.server, o.share); err != nil {
			errs[2] = fmt.Errorf("--nfs-server and --nfs-share: %w", err)
		}
	}
	if o.workers < 1 {
		errs[3] = fmt.Errorf("--workers is %d: it must be at least 1", o.workers)
	}
	if o.leaderElection && !o.csiOnly && o.electionNamespace == "" {
		errs[4] = errors.New("--leader-election-namespace is missing: name the namespace of the lease, or switch --leader-election=false")
	}
	if d.Template, err = volume.ParseTemplate(o.subDir); err != nil {
		errs[5] = fmt.Errorf("--default-subdir: %w", err)
	}
	if p.secrets, err = provisioner.ParseSecrets(o.secrets); err != nil {
		errs[6] = fmt.Errorf("--secret: %w", err)
	}
	p.legacy, errs[7] = o.legacy(p.defaults)
	return p, errors.Join(append(errs[:], mode("--resizer", o.resizer), mode("--snapshotter", o.snapshotter), o.checkCapacityOwner())...)
}

func locations(d volume.Defaults) []volume.Location {
	l, err := volume.ParseLocation(d.Server, d.Share)
	if err != nil {
		return nil // no default: check has looked
	}
	return []volume.Location{l}
}
