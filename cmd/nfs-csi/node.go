package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/registration"
	"github.com/nfs-csi/nfs-csi/pkg/driver/socket"
	"github.com/nfs-csi/nfs-csi/pkg/mount"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// nodeOptions are the flags of `nfs-csi node`.
type nodeOptions struct {
	common
	nodeID          string
	kubeletDir      string
	registrationDir string
	inlineServers   []string
	mountOptions    []string
}

func nodeCommand() *cobra.Command {
	var o nodeOptions
	c := o.command("node", "Mount volumes into the pods of this node", o.run)
	o.add(c.Flags())
	addOld(c.Flags())
	return c
}

func (o *nodeOptions) add(f *pflag.FlagSet) {
	o.common.add(f, "", "127.0.0.1:9809")
	f.Lookup("endpoint").Usage = "socket to serve CSI on (default unix://KUBELET-DIR/plugins/DRIVER-NAME/csi.sock)"
	f.StringVar(&o.nodeID, "node-id", "", "name of the Node object of this node")
	f.StringVar(&o.kubeletDir, "kubelet-dir", "/var/lib/kubelet", "kubelet's directory")
	f.StringSliceVar(&o.inlineServers, "inline-servers", nil, "exports that pods may mount without a claim, SERVER or SERVER:/SHARE each; the CSIDriver object must allow it too (default: none)")
	f.StringSliceVar(&o.mountOptions, "allow-mount-option", nil, "names of mount options that volumes may have beside those that are known to do no harm; see docs/security.md")
	f.StringVar(&o.registrationDir, "registration-dir", "", "directory where kubelet finds drivers (default KUBELET-DIR/plugins_registry)")
}

// complete fills in what the flags leave to others.
func (o *nodeOptions) complete() error {
	if o.endpoint == "" {
		o.endpoint = "unix://" + filepath.Join(o.kubeletDir, "plugins", o.driverName, "csi.sock")
	}
	if o.registrationDir == "" {
		o.registrationDir = filepath.Join(o.kubeletDir, "plugins_registry")
	}
	return required(map[string]string{"node-id": o.nodeID})
}

// mounts is a [mount.Mounter] in the driver's words.
type mounts struct {
	*mount.Mounter
	pods string // the directory below which kubelet has all targets
}

// ByServer is that of driver.Mounter.
func (n mounts) ByServer() (map[string][]string, error) { return mount.ByServer(n.pods) }

// Mount attaches m to target.
func (n mounts) Mount(ctx context.Context, m volume.Mountpoint, readOnly bool, target string) error {
	return n.Mounter.Mount(ctx, mount.Source{Server: m.Server, Path: m.Path, Options: m.Options, ReadOnly: readOnly, Root: m.Root, Literal: m.Literal}, target)
}

// node makes the CSI service.
func (o *nodeOptions) node(m driver.Mounter) (*driver.Node, error) {
	inline, err := driver.ParseInline(o.inlineServers)
	if err != nil {
		return nil, fmt.Errorf("--inline-servers: %w", err)
	}
	return driver.NewNode(m, o.nodeID, inline)
}

// run is the node's part: mounts, the CSI service on a socket, and its registration with kubelet.
func (o *nodeOptions) run(ctx context.Context, log *slog.Logger) error {
	if err := o.complete(); err != nil {
		return err
	}
	m := newMetrics()
	identity, err := driver.NewIdentity(o.driverName, version)
	if err != nil {
		return err
	}
	servers := newProber()
	defer servers.close()
	mounter := mount.New(mount.Config{
		Preflight:    client{log: log, metrics: m, tls: o.tls, probe: servers.probe}.preflight,
		Below:        o.kubeletDir,
		AllowOptions: o.mountOptions,
		Log:          log,
	})
	defer mounter.Close()
	node, err := o.node(m.watch(mounts{mounter, o.kubeletDir}, o.kubeletDir))
	if err != nil {
		return err
	}
	path, err := socket.Path(o.endpoint)
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
	registrar := registration.New(registration.Config{Dir: o.registrationDir, Driver: o.driverName, Endpoint: path, Log: log})
	m.gauge(registeredName, registeredHelp, func() float64 { return one(registrar.Registered() == nil) })
	log.Info("nfs-csi node", "version", version, "driver", o.driverName, "node", o.nodeID, "endpoint", o.endpoint, "metrics", addressOf(web))
	saveMemory(log)
	return together(ctx,
		func(ctx context.Context) error {
			return driver.Serve(ctx, l, driver.Services{Identity: identity, Node: node}, driver.Calls{Log: log, Observe: m.call})
		},
		func(ctx context.Context) error {
			return serveHTTP(ctx, web, m.registry, health{healthy: holds(l), ready: registrar.Registered}, log)
		},
		func(ctx context.Context) error { registrar.Run(ctx); return nil })
}

var errSocketGone = errors.New("the CSI socket was removed by somebody: only a new process makes it again")

// holds finds that kubelet or others do not reach us any more.
func holds(l *socket.Listener) func() error {
	return func() error {
		if !l.Holds() {
			return errSocketGone
		}
		return nil
	}
}

func closeAll(closers ...io.Closer) error {
	var errs []error
	for _, c := range closers {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
