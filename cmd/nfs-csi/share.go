package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// client makes the settings of NFS clients, the controller's and the node's preflight alike.
type client struct {
	log     *slog.Logger
	metrics *metrics
	probe   func(ctx context.Context, c nfs.Config, mountOptions []string) error // the preflight's
}

// open is [share.Config].Open over the network.
func (c client) open(ctx context.Context, l volume.Location, mountOptions []string) (share.FS, io.Closer, error) {
	config, err := c.config(l.Server, l.Share, mountOptions)
	if err != nil {
		return nil, nil, err
	}
	f, err := nfs.Open(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	return f, f, nil
}

// config reads those mount options that say how to reach a server; the others are the kernel's. Of two the last counts,
// as with mount(8).
func (c client) config(server, export string, mountOptions []string) (nfs.Config, error) {
	config := nfs.Config{Server: server, Export: export, ActAsOwner: true, Log: c.log, Observe: c.metrics.nfs}
	for _, option := range split(mountOptions) {
		key, value, _ := strings.Cut(option, "=")
		var err error
		switch key {
		case "vers", "nfsvers":
			config.Versions, err = versions(value)
		case "v3", "v4", "v4.0", "v4.1", "v4.2":
			config.Versions, err = versions(key[1:])
		case "port":
			config.Port, err = port(value)
		case "mountport":
			config.MountPort, err = port(value)
		}
		if err != nil {
			return nfs.Config{}, fmt.Errorf("%w: mount option %q: %w", volume.ErrInvalid, option, err)
		}
	}
	return config, nil
}

// split lists single options: people join some by commas.
func split(mountOptions []string) []string {
	options := strings.Split(strings.Join(mountOptions, ","), ",")
	for i, o := range options {
		options[i] = strings.TrimSpace(o)
	}
	return options
}

// versions lists the versions to try for vers=s. A path may mean another directory in version 3 than in 4, so the two
// are not mixed. The kernel mounts 4.0, which our client does not speak: it takes a newer minor version then.
func versions(s string) ([]nfs.Version, error) {
	switch s {
	case "4", "4.0":
		return []nfs.Version{nfs.V42, nfs.V41}, nil
	}
	v, err := nfs.ParseVersion(s)
	if err != nil {
		return nil, err
	}
	return []nfs.Version{v}, nil
}

func port(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, errors.New("it must be a number from 0 to 65535")
	}
	return int(n), nil
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
