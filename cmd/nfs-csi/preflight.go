package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// preflightTimeout is long for a server that answers at all.
const preflightTimeout = 10 * time.Second

// preflight is [mount.Config].Preflight: it tells a dead server, a wrong path and a refusal apart, in seconds and in
// words, before the kernel tries. What it cannot judge it leaves to the kernel.
func (c client) preflight(ctx context.Context, server, path string, mountOptions []string) error {
	config, err := c.config(server, path, mountOptions)
	if err != nil {
		return err
	}
	config.ActAsOwner = false // who may write there is the pods' business
	if slices.ContainsFunc(split(mountOptions), foreign) {
		return nil
	}
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

// foreign options ask for a way to the server that the kernel has and our client has not.
func foreign(option string) bool {
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "sec":
		return value != "sys"
	case "xprtsec":
		return value != "none"
	case "proto":
		return value != "tcp" && value != "tcp6"
	}
	return key == "rdma" || key == "udp"
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
