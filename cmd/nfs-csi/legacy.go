package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nfs-csi/nfs-csi/pkg/provisioner"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// The values of --volume-source.
const sourceCSI, sourceNFS = "csi", "nfs"

func (o *controllerOptions) addLegacy(f *pflag.FlagSet) {
	var names []string
	if name := os.Getenv("PROVISIONER_NAME"); name != "" {
		names = []string{name}
	}
	f.StringArrayVar(&o.provisionerNames, "provisioner-name", names, "another provisioner name to answer to besides the driver's, as NAME or, where its export is not "+
		"that of --nfs-server and --nfs-share, NAME=SERVER:/PATH; its classes are read as nfs-subdir-external-provisioner does; may be repeated (environment: PROVISIONER_NAME)")
	f.StringVar(&o.volumeSource, "volume-source", sourceCSI, "what the volumes of such classes are to nodes: csi, or nfs, which is mounted without this driver's node service by the nodes' own mount.nfs")
}

// legacy reads what the flags say of nfs-subdir-external-provisioner, and reports all mistakes.
func (o *controllerOptions) legacy(d volume.Defaults) (provisioner.Legacy, error) {
	l := provisioner.Legacy{Exports: map[string]volume.Location{}, InTree: o.volumeSource == sourceNFS}
	var mistakes []error
	if o.volumeSource != sourceCSI && o.volumeSource != sourceNFS {
		mistakes = append(mistakes, fmt.Errorf("--volume-source is %q: it must be %s or %s", o.volumeSource, sourceCSI, sourceNFS))
	}
	for _, known := range locations(d) {
		l.Default = known
	}
	for _, text := range o.provisionerNames {
		name, export, own := strings.Cut(text, "=")
		if own {
			location, err := volume.ParseExport(export)
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("--provisioner-name %s: %w", text, err))
			}
			l.Exports[name] = location
		}
		if name == "" {
			mistakes = append(mistakes, errors.New("--provisioner-name is empty: give it a name, or leave it out"))
		}
		if name != o.driverName && !slices.Contains(l.Names, name) {
			l.Names = append(l.Names, name)
		}
	}
	return l, errors.Join(mistakes...)
}
