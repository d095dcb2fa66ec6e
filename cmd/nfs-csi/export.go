package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// exportFlags say how tools reach an export, as mount(8) does.
type exportFlags struct {
	options []string
	tls     tlsFiles
	verbose int
}

func (e *exportFlags) add(f *pflag.FlagSet) {
	f.StringArrayVarP(&e.options, "options", "O", nil, "mount options that lead to the server, such as vers=4.1,port=2050,xprtsec=tls; may be repeated")
	e.tls.add(f)
	f.IntVarP(&e.verbose, "v", "v", 0, "verbosity: 4 and more show every step")
}

// config is how the export at l is opened.
func (e *exportFlags) config(l volume.Location, stderr io.Writer) (nfs.Config, error) {
	if err := e.tls.check(); err != nil {
		return nfs.Config{}, err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.Level(-e.verbose)}))
	return client{log: log, tls: e.tls}.config(l.Server, l.Share, e.options)
}

var errExport = errors.New("name one as mount(8) does, server:/path, an IPv6 address in brackets: [2001:db8::1]:/path")

// parseExport reads "server:/path".
func parseExport(text string) (volume.Location, error) {
	server, path, ok := strings.Cut(text, ":/")
	if strings.HasPrefix(text, "[") {
		server, path, ok = strings.Cut(text, "]:/")
		server += "]"
	}
	if !ok || strings.Contains(server, ":") && !strings.HasPrefix(server, "[") {
		return volume.Location{}, fmt.Errorf("%q is no export: %w", text, errExport)
	}
	l, err := volume.ParseLocation(server, "/"+path)
	if err != nil {
		return l, fmt.Errorf("export %q: %w", text, err)
	}
	return l, nil
}

// tellsMore adds to what is wrong with an export how to learn what to mend.
func tellsMore(err error, l volume.Location) error {
	return fmt.Errorf("%w: `nfs-csi check %s` tells more", err, l)
}

// oneExport wants exactly one argument, and says so.
func oneExport(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes one export, not %d arguments: %w", c.Name(), len(args), errExport)
	}
	return nil
}

// output is the value of -o.
type output string

func (o *output) add(f *pflag.FlagSet, formats ...string) {
	f.VarP(o, "output", "o", "form of the output: "+strings.Join(formats, ", ")+" (default "+formats[0]+")")
}

func (o *output) String() string     { return string(*o) }
func (o *output) Set(s string) error { *o = output(s); return nil }
func (o *output) Type() string       { return "form" }

// oneOf refuses what add did not list.
func (o *output) oneOf(formats ...string) error {
	if *o == "" {
		*o = output(formats[0])
	}
	for _, f := range formats {
		if string(*o) == f {
			return nil
		}
	}
	return fmt.Errorf("--output is %q: it must be one of %s", *o, strings.Join(formats, ", "))
}
