package driver

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// maxName bounds the name of a volume or a snapshot in bytes (CSI spec, Size Limits).
const maxName = 128

func missing(what string) error { return fmt.Errorf("%w: %s is missing", volume.ErrInvalid, what) }

// required refuses a field that is not set.
func required(what, value string) error {
	if value == "" {
		return missing(what)
	}
	return nil
}

// checkName refuses a name that is too long or has one of the characters that the CSI spec bans (CreateVolumeRequest.name).
func checkName(what, name string) error {
	switch {
	case name == "":
		return missing(what)
	case len(name) > maxName:
		return fmt.Errorf("%w: %s is %d bytes long, at most %d fit", volume.ErrInvalid, what, len(name), maxName)
	case strings.ContainsFunc(name, func(c rune) bool { return unicode.IsControl(c) && c != '\t' && c != '\n' && c != '\r' }):
		return fmt.Errorf("%w: %s %q has a control character", volume.ErrInvalid, what, name)
	}
	return nil
}

func checkRange(r *csi.CapacityRange) error {
	required, limit := r.GetRequiredBytes(), r.GetLimitBytes()
	switch {
	case required < 0 || limit < 0:
		return fmt.Errorf("%w: capacity is negative: required %d, limit %d", volume.ErrInvalid, required, limit)
	case limit > 0 && limit < required:
		return fmt.Errorf("%w: required capacity %d is above its limit %d", volume.ErrInvalid, required, limit)
	}
	return nil
}

// checkPage checks the length of a page of a list; 0 is no limit.
func checkPage(maxEntries int32) error {
	if maxEntries < 0 {
		return fmt.Errorf("%w: max_entries is %d", volume.ErrInvalid, maxEntries)
	}
	return nil
}

// parseVolumeID reads the handle, called what, of a volume that must exist. There is none for a handle that does not parse.
func parseVolumeID(what, handle string) (volume.ID, error) {
	id, err := volume.ParseID(handle)
	return id, errNoHandle(what, handle, err)
}

// parseSnapshotID reads the handle of a snapshot that must exist, as parseVolumeID does that of a volume.
func parseSnapshotID(what, handle string) (volume.SnapshotID, error) {
	id, err := volume.ParseSnapshotID(handle)
	return id, errNoHandle(what, handle, err)
}

func errNoHandle(what, handle string, err error) error {
	switch {
	case handle == "":
		return missing(what)
	case err != nil:
		return fmt.Errorf("%w: the %s is none of this driver's: %s", volume.ErrNotFound, what, shorten(err.Error()))
	}
	return nil
}

// keyMountOptions is the key of the one secret that is read, in any case.
const keyMountOptions = volume.ParamMountOptions

// secretOptions reads the mount options of a volume whose class, where they came from, may be gone.
func secretOptions(secrets map[string]string) ([]string, error) {
	var options []string
	for _, k := range slices.Sorted(maps.Keys(secrets)) { // of two spellings the order must not be luck
		if strings.EqualFold(k, keyMountOptions) {
			options = append(options, volume.SplitOptions(secrets[k])...)
		}
	}
	return options, checkFlags(options)
}

func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
