package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	snapshots "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/nfs-csi/nfs-csi/pkg/provisioner"
	"github.com/nfs-csi/nfs-csi/pkg/provisioner/capacity"
	"github.com/nfs-csi/nfs-csi/pkg/provisioner/resizing"
	"github.com/nfs-csi/nfs-csi/pkg/provisioner/snapshotting"
	"github.com/nfs-csi/nfs-csi/pkg/share"
)

// The values of --resizer and --snapshotter.
const auto, on, off = "auto", "on", "off"

func mode(flag, value string) error {
	if value != auto && value != on && value != off {
		return fmt.Errorf("%s is %q: it must be %s, %s or %s", flag, value, auto, on, off)
	}
	return nil
}

func (o *controllerOptions) checkCapacityOwner() error {
	if namespace, name, _ := strings.Cut(o.capacityOwner, "/"); o.capacityOwner != "" && (namespace == "" || name == "") {
		return fmt.Errorf("--storage-capacity is %q: name a Deployment as NAMESPACE/NAME", o.capacityOwner)
	}
	return nil
}

// claimWatcher is the provisioner, or what stands for it where there are no claims.
type claimWatcher interface {
	Run(ctx context.Context) error
	Ready() error
}

type noClaims struct{}

func (noClaims) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (noClaims) Ready() error                  { return nil }

// inCluster is everything that the controller does with the API server, while it leads.
type inCluster struct {
	*controllerOptions
	settings  settings
	service   csi.ControllerServer
	shares    *share.Manager
	api       kubernetes.Interface
	snapshots snapshots.Interface // nil: switched off
	log       *slog.Logger
}

// kubernetes composes it: the provisioner, and beside it what is switched on.
func (o *controllerOptions) kubernetes(service csi.ControllerServer, shares *share.Manager, p settings, m *metrics, log *slog.Logger) (claimWatcher, error) {
	if o.csiOnly {
		return noClaims{}, nil
	}
	config, err := restConfig(o.kubeconfig)
	if err != nil {
		return nil, err
	}
	c := inCluster{controllerOptions: o, settings: p, service: service, shares: shares, log: log}
	if c.api, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("making the client of the API server: %w", err)
	}
	if o.snapshotter != off {
		if c.snapshots, err = snapshotClient(config); err != nil {
			return nil, err
		}
	}
	return c.provisioner(config, m)
}

// snapshotClient speaks JSON: the API server has VolumeSnapshots in no other form.
func snapshotClient(config *rest.Config) (snapshots.Interface, error) {
	if err := snapshotting.KnowKinds(); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = "", ""
	client, err := snapshots.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the client for VolumeSnapshots: %w", err)
	}
	return client, nil
}

func (c *inCluster) provisioner(config *rest.Config, m *metrics) (claimWatcher, error) {
	p := provisioner.Config{
		DriverName: c.driverName, Legacy: c.settings.legacy, Volumes: c.service, Client: c.api, Snapshots: c.snapshots,
		Defaults: c.settings.defaults, Secrets: c.settings.secrets, Workers: c.workers, Log: c.log, Metrics: m.registry,
	}
	var room *capacity.Publisher
	if c.capacityOwner != "" {
		p.Full = func() { room.Soon() }
	}
	var err error
	if c.leaderElection {
		if p.Election, err = election(config, c.driverName, c.electionNamespace, c.sidecarLeases()); err != nil {
			return nil, err
		}
	}
	k, err := provisioner.New(p)
	if err != nil {
		return nil, err
	}
	known := k.Informers()
	if c.capacityOwner != "" {
		room = c.publisher(known)
		k.Beside(room.Run)
	}
	c.beside(k, known, m)
	return k, nil
}

// sidecarLeases are held besides the driver's own where it has been another program's, whose sidecars may still be at work. The
// chart's Role allows the same.
func (o *controllerOptions) sidecarLeases() []string {
	if o.driverName == defaultDriverName {
		return nil
	}
	return provisioner.SidecarLeases(o.driverName, o.resizer != off, o.snapshotter != off)
}

func (c *inCluster) beside(k *provisioner.Controller, known provisioner.Informers, m *metrics) {
	visits := provisioner.Visits{Visit: c.shares.Visit, Ours: c.ours, Legacy: c.settings.legacy, Defaults: c.settings.defaults, Classes: known.Classes, Log: c.log}
	k.Beside(visits.Run)
	c.hint(k, visits, m)
	if c.resizer != off {
		k.Beside(c.said("resizing", func(ctx context.Context) error {
			return resizing.Run(ctx, resizing.Config{
				DriverName: c.driverName, Volumes: c.service, Client: c.api, Claims: known.Claims, Persistent: known.Volumes,
				SecretsOfMount: provisioner.SecretMountOptions, Needed: c.resizer == on, Log: c.log,
			})
		}))
	}
	if c.snapshots != nil {
		k.Beside(c.said("snapshotting", func(ctx context.Context) error {
			return snapshotting.Run(ctx, snapshotting.Config{
				DriverName: c.driverName, Volumes: c.service, Client: c.settings.secrets.Client(c.api), Snapshots: c.snapshots, Persistent: known.Volumes,
				SecretsOfMount: provisioner.SecretMountOptions, Follows: c.follows, Needed: c.snapshotter == on, Log: c.log,
			})
		}))
	}
}

// said logs how a task ends that cannot begin.
func (c *inCluster) said(what string, task func(context.Context) error) func(context.Context) {
	return func(ctx context.Context) {
		if err := task(ctx); err != nil {
			c.log.Error("a service cannot begin", "service", what, "err", err)
		}
	}
}

func (c *inCluster) publisher(known provisioner.Informers) *capacity.Publisher {
	namespace, owner, _ := strings.Cut(c.capacityOwner, "/")
	return capacity.New(capacity.Config{
		DriverName: c.driverName, Names: c.settings.legacy.Names, Parameters: c.settings.legacy.Parameters, Shares: c.service, Client: c.api, Classes: known.Classes,
		Namespace: namespace, Owner: owner, Log: c.log,
	})
}

// follows says whether the controller can reach a server as nodes do that mount with these options.
func (c *inCluster) follows(mountOptions []string) bool {
	_, err := client{log: c.log, tls: c.tls}.config("server", "/", mountOptions)
	return err == nil
}

func (c *inCluster) ours(name string) bool {
	return name == c.driverName || slices.Contains(c.settings.legacy.Names, name)
}
