package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// preflightTimeout is long for a server that answers at all, also for one that takes 2 seconds each time.
const preflightTimeout = 12 * time.Second

// preflight is [mount.Config].Preflight: it tells a dead server, a wrong path and a refusal apart, in seconds and in
// words, before the kernel tries. What it cannot judge it leaves to the kernel.
func (c client) preflight(ctx context.Context, server, path string, mountOptions []string) error {
	r, err := parseRoute(mountOptions)
	if err != nil {
		return err
	}
	if c.kernelOnly(r) {
		return touch(ctx, r, server)
	}
	config, err := c.along(r, server, path)
	if err != nil {
		return err
	}
	config.ActAsOwner = false // who may write there is the pods' business
	probing, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	began := time.Now()
	err = c.probe(probing, config, mountOptions)
	config.Observe("probe", time.Since(began), err)
	if kind := preflightKind(err); kind != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", kind, err)
	}
	if err != nil {
		c.log.DebugContext(ctx, "preflight leaves the mount to the kernel", "server", server, "path", path, "err", err)
	}
	return ctx.Err()
}

// nfsPort is that of NFS over TCP (RFC 8881, section 2.9.3).
const nfsPort = 2049

// touchTimeout is long for a server to take a connection.
const touchTimeout = 5 * time.Second

// touch finds that nobody takes connections, where only the kernel's client can find out more. Of protocols other than TCP it
// knows nothing.
func touch(ctx context.Context, r route, server string) error {
	if r.kernel != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, touchTimeout)
	defer cancel()
	address := net.JoinHostPort(cmp.Or(r.address, server), strconv.Itoa(cmp.Or(r.port, nfsPort)))
	conn, err := new(net.Dialer).DialContext(ctx, cmp.Or(r.network, "tcp"), address)
	if err != nil {
		return fmt.Errorf("%w: server %s takes no connection at %s: check that it is up, the address, the network and firewalls (%w)",
			volume.ErrUnavailable, server, address, err)
	}
	return conn.Close()
}

// kernelOnly tells of ways to the server that the kernel has and our client has not. TLS is one of them where this process was
// not told whom to trust: the kernel's handshakes are made by tlshd, with its own files.
func (c client) kernelOnly(r route) bool {
	return r.byKerberos() || r.kernel != "" || r.secured() && !c.tls.given() || r.transport == "mtls" && c.tls.cert == ""
}

func preflightKind(err error) error {
	switch {
	case err == nil:
		return nil
	case classify(err) != nil:
		return classify(err)
	case errors.Is(err, context.DeadlineExceeded):
		return volume.ErrUnavailable
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return volume.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return volume.ErrRefused
	}
	return nil
}
