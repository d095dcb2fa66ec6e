package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// client makes the settings of NFS clients, the controller's and the node's preflight alike.
type client struct {
	log     *slog.Logger
	metrics *metrics
	tls     tlsFiles
	compare bool                                                                 // what is copied
	probe   func(ctx context.Context, c nfs.Config, mountOptions []string) error // the preflight's
}

// open is [share.Config].Open over the network.
func (c client) open(ctx context.Context, l volume.Location, mountOptions []string) (share.FS, io.Closer, error) {
	config, err := c.config(l.Server, l.Share, mountOptions)
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	f, err := nfs.Open(ctx, config)
	config.Observe("open", time.Since(began), err)
	if err != nil {
		return nil, nil, err
	}
	return f, f, nil
}

// routeName is [share.Config].Route: options that lead to a server in one way have one name.
func routeName(mountOptions []string) string {
	r, err := parseRoute(mountOptions)
	if err != nil {
		return strings.Join(mountOptions, ",") // to be refused
	}
	if !r.byKerberos() {
		r.security = ""
	}
	return fmt.Sprintf("%+v", r)
}

// config is how the controller reaches a server that nodes mount with these options.
func (c client) config(server, export string, mountOptions []string) (nfs.Config, error) {
	r, err := parseRoute(mountOptions)
	if err != nil {
		return nfs.Config{}, err
	}
	if r.byKerberos() {
		return nfs.Config{}, fmt.Errorf("%w: mount option sec: the controller speaks sec=sys only, so it makes no volumes for Kerberos: use "+
			"sec=sys, protected by xprtsec=tls or mtls, or make the PersistentVolumes yourself, which nodes mount with any sec", volume.ErrInvalid)
	}
	if strings.Contains(server, "%") {
		return nfs.Config{}, fmt.Errorf("%w: server %q: a zone means something on one machine only: give the server another address, or a name", volume.ErrInvalid, server)
	}
	return c.along(r, server, export)
}

// along is the way to a server that r describes. What is mounted by RDMA has its own port there.
func (c client) along(r route, server, export string) (nfs.Config, error) {
	config := nfs.Config{
		Server: server, Address: r.address, Export: export, Versions: r.versions, Port: r.port, MountPort: r.mountPort, Network: r.network, SourcePorts: r.ports,
		ActAsOwner: true, CompareCopies: c.compare, Log: c.log, Observe: c.metrics.nfs(server),
	}
	if strings.HasPrefix(r.kernel, "proto=rdma") {
		config.Port = 0
	}
	var err error
	if r.secured() {
		config.TLS, err = c.tls.source(r.transport == "mtls")
	}
	return config, err
}

// classify is [share.Config].Classify: what the client's errors mean for a volume.
func classify(err error) error {
	switch {
	case errors.Is(err, nfs.ErrUnreachable), errors.Is(err, nfs.ErrGrace):
		return volume.ErrUnavailable
	case errors.Is(err, nfs.ErrRefused):
		return volume.ErrRefused
	}
	return nil
}
