package share

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	maxElement  = 255 // bytes of a file name, NAME_MAX
	maxArchives = 100 // names that are tried before an archive is refused
)

// archive moves the directory to the first free one of its archive names. The name is reserved meanwhile, as the
// directory of a volume is, so that no volume is made there; NFS cannot rename without replacing.
func (d *deletion) archive(ctx context.Context) error {
	names, err := d.archiveNames(ctx)
	if err != nil {
		return err
	}
	for _, target := range names {
		owner, err := d.reserveFor(ctx, d.seen.key, target)
		if err != nil {
			return err
		}
		if owner != d.seen.key {
			continue
		}
		info, err := d.lstat(ctx, string(target))
		if err == nil && info == nil {
			err = d.moveTo(ctx, target)
		}
		if err != nil {
			return err
		}
		if err := d.remove(ctx, linkPath(target)); err != nil || info == nil {
			return err
		}
	}
	return fmt.Errorf("%w: directory %q has been archived %d times: move some of them away", volume.ErrExists, d.id.Dir, len(names))
}

func (d *deletion) moveTo(ctx context.Context, target volume.Dir) error {
	for _, p := range target.Parents() {
		if _, err := d.makeParent(ctx, p); err != nil {
			return err
		}
	}
	return d.move(ctx, string(target))
}

// releaseArchive ends the reservation that an interrupted archive left. It goes through the names as archive did: past
// those that were taken, to ours or to the first free one.
func (d *deletion) releaseArchive(ctx context.Context) error {
	names, err := d.archiveNames(ctx)
	if err != nil {
		return err
	}
	for _, target := range names {
		owner, err := d.reservedFor(ctx, target)
		if err != nil {
			return err
		}
		if owner == d.seen.key {
			return d.remove(ctx, linkPath(target))
		}
		info, err := d.lstat(ctx, string(target))
		if err != nil || info == nil {
			return err
		}
	}
	return nil
}

// archiveNames lists where the directory may go: [volume.Dir.Archived], or flat at the top of the share where that
// would be inside a volume; then with the volume's name, then with a number.
func (d *deletion) archiveNames(ctx context.Context) ([]volume.Dir, error) {
	dir := d.id.Dir
	above, err := d.aboveOwner(ctx, d.seen.key, archiveName(dir, ""))
	if err != nil {
		return nil, err
	}
	if above != "" {
		dir = volume.Dir(strings.ReplaceAll(string(dir), "/", "-"))
	}
	names := []volume.Dir{archiveName(dir, ""), archiveName(dir, "-"+d.seen.key)}
	for n := 2; n < maxArchives; n++ {
		names = append(names, archiveName(dir, "-"+d.seen.key+"-"+strconv.Itoa(n)))
	}
	return names, nil
}

// archiveName is the archived dir with a suffix; what would be too long for a file name is cut.
func archiveName(dir volume.Dir, suffix string) volume.Dir {
	elements := strings.Split(string(dir.Archived()), "/")
	last := len(elements) - 1
	elements[0] = cut(elements[0], maxElement)
	elements[last] = cut(elements[last], maxElement-len(suffix)) + suffix
	return volume.Dir(strings.Join(elements, "/"))
}

// cut shortens s to at most n bytes, between two characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
