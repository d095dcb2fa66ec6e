package driver

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// modes are the access modes that volumes can be used with, all of CSI v1.13, and whether each is exclusive: one target on a node at
// a time. None makes a mount read-only, only the request's own field does: of a PersistentVolume's list of modes kubelet sends the
// first, and a volume that is for reading must be filled by somebody.
var modes = map[csi.VolumeCapability_AccessMode_Mode]bool{
	csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER:        true,
	csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER: true,
	csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER:  false,
	csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY:   true,
	csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY:    false,
	csi.VolumeCapability_AccessMode_MULTI_NODE_SINGLE_WRITER:  false,
	csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER:   false,
}

// maxMountFlags bounds the mount options of one capability in bytes (CSI spec, VolumeCapability.MountVolume).
const maxMountFlags = 4096

// checkCapabilities reports every mistake in the capabilities that a new volume must have.
func checkCapabilities(capabilities []*csi.VolumeCapability) error {
	if len(capabilities) == 0 {
		return errNoCapabilities()
	}
	var mistakes []error
	for _, c := range capabilities {
		mistakes = append(mistakes, checkCapability(c), checkType(c.GetMount().GetFsType()))
	}
	return errors.Join(mistakes...)
}

func errNoCapabilities() error {
	return fmt.Errorf("%w: volume capabilities are missing", volume.ErrInvalid)
}

// checkCapability reports every mistake in c that makes it impossible to use a volume that way.
func checkCapability(c *csi.VolumeCapability) error {
	if c == nil {
		return fmt.Errorf("%w: volume capability is missing", volume.ErrInvalid)
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("%w: "+format, append([]any{volume.ErrInvalid}, args...)...))
	}
	switch {
	case c.GetBlock() != nil:
		mistake("an NFS volume is no block device: use volumeMode Filesystem")
	case c.GetMount() == nil:
		mistake("volume capability has no access type: it must be mount")
	}
	if mode := c.GetAccessMode().GetMode(); mode == csi.VolumeCapability_AccessMode_UNKNOWN {
		mistake("volume capability has no access mode")
	} else if _, known := modes[mode]; !known {
		mistake("access mode %s is not known", mode)
	}
	if g := c.GetMount().GetVolumeMountGroup(); g != "" {
		mistake("volume mount group %q: NFS cannot mount for a group; use fsGroup, or gid in the StorageClass", g)
	}
	if err := checkFlags(c.GetMount().GetMountFlags()); err != nil {
		mistakes = append(mistakes, err)
	}
	return errors.Join(mistakes...)
}

// checkType refuses the type of a local file system for a new volume. For a volume that exists it is passed over: PVs of
// predecessors may carry one.
func checkType(fsType string) error {
	switch strings.ToLower(fsType) {
	case "", "nfs", "nfs4":
		return nil
	}
	return fmt.Errorf("%w: fsType is %q, but a volume is a directory on an NFS server: leave fsType out", volume.ErrInvalid, fsType)
}

// checkFlags never quotes an option: options may be sensitive.
func checkFlags(flags []string) error {
	size := 0
	for _, f := range flags {
		size += len(f)
		if strings.ContainsFunc(f, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%w: a mount option has a control character", volume.ErrInvalid)
		}
	}
	if size > maxMountFlags {
		return fmt.Errorf("%w: mount options are %d bytes long, at most %d fit", volume.ErrInvalid, size, maxMountFlags)
	}
	return nil
}

// mountOptions collects the options of all capabilities, each once, in order.
func mountOptions(capabilities ...*csi.VolumeCapability) []string {
	var options []string
	for _, c := range capabilities {
		for _, f := range c.GetMount().GetMountFlags() {
			for _, o := range volume.SplitOptions(f) {
				if !slices.Contains(options, o) {
					options = append(options, o)
				}
			}
		}
	}
	return options
}
