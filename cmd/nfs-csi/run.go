package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nfs-csi/nfs-csi/pkg/mount"
)

// version is set by the linker, see Makefile.
var version = "devel"

// defaultDriverName is the driver's name in the chart.
const defaultDriverName = "nfs-csi.github.io"

// exitCode is an error that says nothing but how to exit.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// run is the whole program. It returns when ctx has ended and all that it started has, or with what went wrong.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	return execute(ctx, rootCommand(), args, stdin, stdout, stderr)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{Use: "nfs-csi", Short: "Dynamic NFS volumes for Kubernetes", Args: noArguments, RunE: showHelp}
	root.AddCommand(controllerCommand(), nodeCommand(), versionCommand(), mountHelperCommand())
	root.AddCommand(toolCommands()...)
	return root
}

// execute runs one of root's commands.
func execute(ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: see %s --help", err, c.CommandPath())
	})
	root.SetArgs(doubleDashes(args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// noArguments refuses what is neither a command nor a flag, and says what may have been meant.
func noArguments(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !c.HasAvailableSubCommands():
		return fmt.Errorf("%s takes no arguments, not %q: see %s --help", c.Name(), args[0], c.CommandPath())
	}
	meant := ""
	if c.SuggestionsMinimumDistance = 2; len(c.SuggestionsFor(args[0])) > 0 {
		meant = fmt.Sprintf(", was it %s?", strings.Join(c.SuggestionsFor(args[0]), " or "))
	}
	return fmt.Errorf("there is no command %q%s: see %s --help", args[0], meant, c.CommandPath())
}

func showHelp(c *cobra.Command, _ []string) error { return c.Help() }

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "nfs-csi %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// mountHelperCommand is what the node runs for each mount, in a process that can be killed.
func mountHelperCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "mount-helper",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if code := mount.HelperMain(c.InOrStdin(), c.OutOrStdout()); code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
}
