package share

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	maxElement  = 255 // bytes of a file name, NAME_MAX
	maxArchives = 100 // names that are tried before an archive is refused
)

// archive moves the directory to the first free one of its archive names, which are beside its own where the others are
// on another file system.
func (d *deletion) archive(ctx context.Context) error {
	names, beside, err := d.archiveNames(ctx)
	if err != nil {
		return err
	}
	err = d.archiveTo(ctx, names)
	if errors.Is(err, syscall.EXDEV) && len(beside) > 0 {
		return d.archiveTo(ctx, beside)
	}
	return err
}

// archiveTo moves the directory to the first free name, and records that. The name is reserved meanwhile, as the
// directory of a volume is, so that no volume is made there; NFS cannot rename without replacing.
func (d *deletion) archiveTo(ctx context.Context, names []volume.Dir) error {
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
		if errors.Is(err, syscall.EXDEV) {
			if undone := d.remove(ctx, linkPath(target)); undone != nil {
				return undone
			}
			return err
		}
		if err == nil && info == nil {
			err = d.recordArchive(ctx, target, d.seen.info)
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

// moveTo makes what is missing above the target, and takes it back where that is on another file system.
func (d *deletion) moveTo(ctx context.Context, target volume.Dir) error {
	var made []volume.Dir
	for _, p := range target.Parents() {
		fresh, err := d.makeParent(ctx, p)
		if err != nil {
			return err
		}
		if fresh {
			made = append(made, p)
		}
	}
	moved, err := d.move(ctx, string(target))
	if moved {
		return d.confirmMoved(ctx, target)
	}
	if errors.Is(err, syscall.EXDEV) {
		for _, p := range slices.Backward(made) {
			if err := d.remove(ctx, string(p)); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
				return err
			}
		}
	}
	return err
}

// confirmMoved moves back what has become another volume's before we moved it, see aside.
func (d *deletion) confirmMoved(ctx context.Context, target volume.Dir) error {
	owner, err := d.claimant(ctx)
	if err != nil || owner == "" {
		return err
	}
	back := d.giveBack(ctx, aside{at: string(target)}, owner)
	if errors.Is(back, volume.ErrBusy) {
		if err := d.remove(ctx, linkPath(target)); err != nil {
			return err
		}
	}
	return back
}

// finishArchive completes an archive that was interrupted: its record, if the directory was moved, and the end of its
// reservation. It goes through the names as archive did.
func (d *deletion) finishArchive(ctx context.Context) error {
	names, beside, err := d.archiveNames(ctx)
	if err != nil {
		return err
	}
	found, err := d.finishArchiveTo(ctx, names)
	if err == nil && !found {
		_, err = d.finishArchiveTo(ctx, beside)
	}
	return err
}

// finishArchiveTo goes past the names that were taken, to ours or to the first free one.
func (d *deletion) finishArchiveTo(ctx context.Context, names []volume.Dir) (found bool, err error) {
	for _, target := range names {
		owner, err := d.reservedFor(ctx, target)
		if err != nil {
			return false, err
		}
		info, err := d.lstat(ctx, string(target))
		if err != nil {
			return false, err
		}
		if owner == d.seen.key {
			if info != nil {
				err = d.recordArchive(ctx, target, info)
			}
			if err == nil {
				err = d.remove(ctx, linkPath(target))
			}
			return true, err
		}
		if info == nil {
			return false, nil
		}
	}
	return false, nil
}

// archiveNames lists where the directory may go: [volume.Dir.Archived], or flat at the top of the share where the policy says
// so or that would be inside a volume; then with the volume's name, then with a number. beside are names in the directory's parent,
// which is on the same file system in any case.
func (d *deletion) archiveNames(ctx context.Context) (names, beside []volume.Dir, err error) {
	dir := d.id.Dir
	above, err := d.aboveOwner(ctx, d.seen.key, archiveName(dir, ""))
	if err != nil {
		return nil, nil, err
	}
	switch {
	case d.policy == volume.ArchiveFlat:
		dir = volume.Dir(path.Base(string(dir)))
	case above != "":
		dir = volume.Dir(strings.ReplaceAll(string(dir), "/", "-"))
	}
	parent, base := path.Split(string(d.id.Dir))
	for n := range maxArchives {
		suffix := ""
		switch {
		case n == 1:
			suffix = "-" + d.seen.key
		case n > 1:
			suffix = "-" + d.seen.key + "-" + strconv.Itoa(n)
		}
		names = append(names, archiveName(dir, suffix))
		if parent != "" {
			beside = append(beside, volume.Dir(parent)+archiveName(volume.Dir(base), suffix))
		}
	}
	return names, beside, nil
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
