package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// common are the flags of every service.
type common struct {
	driverName     string
	endpoint       string
	metricsAddress string
	tls            tlsFiles
	logs           logOptions
}

func (c *common) add(f *pflag.FlagSet, endpoint, metricsAddress string) {
	f.StringVar(&c.driverName, "driver-name", defaultDriverName, "name of the CSI driver; PersistentVolumes carry it, so never change it while there are any")
	f.StringVar(&c.endpoint, "endpoint", endpoint, "socket to serve CSI on")
	f.StringVar(&c.metricsAddress, "metrics-address", metricsAddress, "address to serve /metrics, /healthz and /readyz on; empty: nowhere")
	c.tls.add(f)
	c.logs.add(f)
}

// command makes the command of a service: run gets the logger that the flags ask for.
func (c *common) command(use, short string, run func(context.Context, *slog.Logger) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			log, err := c.logs.logger(command.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := c.tls.check(); err != nil {
				return err
			}
			return run(command.Context(), log)
		},
	}
}

// together runs all tasks until ctx ends or one of them does, which ends the others; it waits for all.
func together(ctx context.Context, tasks ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(tasks))
	var running sync.WaitGroup
	for i, task := range tasks {
		running.Go(func() {
			defer cancel()
			errs[i] = task(ctx)
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// required reports all flags that are empty.
func required(flags map[string]string) error {
	var errs []error
	for name, value := range flags {
		if value == "" {
			errs = append(errs, fmt.Errorf("flag --%s is missing", name))
		}
	}
	return errors.Join(errs...)
}
