package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// preflightTimeout is long for a server that answers at all.
const preflightTimeout = 10 * time.Second

// preflight is [mount.Config].Preflight: it tells a dead server, a wrong path and a refusal apart, in seconds and in
// words, before the kernel tries. What it cannot judge it leaves to the kernel.
func (c client) preflight(ctx context.Context, server, path string, mountOptions []string) error {
	r, err := parseRoute(mountOptions)
	if err != nil || c.kernelOnly(r) {
		return err
	}
	config, err := c.along(r, server, path)
	if err != nil {
		return err
	}
	config.ActAsOwner = false // who may write there is the pods' business
	probing, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	err = c.probe(probing, config, mountOptions)
	if kind := preflightKind(err); kind != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", kind, err)
	}
	if err != nil {
		c.log.DebugContext(ctx, "preflight leaves the mount to the kernel", "server", server, "path", path, "err", err)
	}
	return ctx.Err()
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
