package removing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	maxElement  = 255 // bytes of a file name, NAME_MAX
	maxArchives = 100 // names that are tried before an archive is refused
)

// archive moves the directory to the first free one of its archive names, by way of staging, see aside; one that is on another
// file system than that to a name beside its own.
func (d *deletion) archive(ctx context.Context) error {
	moved, err := d.moveAside(ctx)
	switch {
	case errors.Is(err, syscall.EXDEV):
		return d.archiveBeside(ctx)
	case err != nil:
		return err
	case moved.at == "":
		return d.finishArchive(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), asideTimeout)
	defer cancel()
	return d.archiveHeld(ctx, append(d.held, moved.name), moved)
}

// archiveHeld brings what was moved aside to archive names, unless the directory's name is another volume's.
func (d *deletion) archiveHeld(ctx context.Context, held []string, moved aside) error {
	held, err := d.ownHeld(ctx, held, moved)
	if err != nil || len(held) == 0 {
		return err
	}
	names, _, err := d.archiveNames(ctx)
	if err != nil {
		return err
	}
	if len(held) > 1 || moved.name == "" {
		d.seen.Info = nil // it does not describe what an earlier try has moved
	}
	for _, name := range held {
		if err := d.archiveTo(ctx, registry.StagingDir+"/"+name, names); err != nil {
			return err
		}
	}
	return nil
}

// archiveBeside archives a directory that cannot be moved to staging.
func (d *deletion) archiveBeside(ctx context.Context) error {
	names, beside, err := d.archiveNames(ctx)
	if err != nil {
		return err
	}
	err = d.archiveTo(ctx, string(d.id.Dir), names)
	if errors.Is(err, syscall.EXDEV) && len(beside) > 0 {
		return d.archiveTo(ctx, string(d.id.Dir), beside)
	}
	return err
}

// archiveTo moves what is at from to the first free name, and records that. The name is reserved meanwhile, as the
// directory of a volume is, so that no volume is made there; NFS cannot rename without replacing.
func (d *deletion) archiveTo(ctx context.Context, from string, names []volume.Dir) error {
	for _, target := range names {
		owner, err := d.reserveArchive(ctx, target)
		if errors.Is(err, registry.ErrExpiring) {
			continue // it may be interrupted: nobody waits for it
		}
		if err != nil {
			return err
		}
		if owner != d.seen.Key {
			continue
		}
		info, err := d.Lstat(ctx, string(target))
		if err != nil {
			return err
		}
		if info == nil {
			return d.archiveAt(ctx, from, target)
		}
		if err := d.Unreserve(ctx, d.seen.Key, target); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: directory %q has been archived %d times: move some of them away", volume.ErrExists, d.id.Dir, len(names))
}

// reserveArchive reserves the target. Another try for the same volume may have it for a moment.
func (d *deletion) reserveArchive(ctx context.Context, target volume.Dir) (owner string, err error) {
	for range registry.Attempts {
		if owner, err = d.Reserve(ctx, d.seen.Key, target); !errors.Is(err, registry.ErrChanged) {
			return owner, err
		}
	}
	return "", fmt.Errorf("%w: others keep taking and freeing %q, where directory %q is to be archived: %w", volume.ErrBusy, target, d.id.Dir, err)
}

// archiveAt moves the directory to a name that is reserved for it. That reservation stays after an error with which the next
// try goes on.
func (d *deletion) archiveAt(ctx context.Context, from string, target volume.Dir) error {
	info := d.seen.Info
	moved, err := d.moveTo(ctx, from, target)
	if err == nil && (!moved || info == nil) { // another try has moved it, aside, here or elsewhere
		info, err = d.Lstat(ctx, string(target))
	}
	switch {
	case errors.Is(err, syscall.EXDEV), errors.Is(err, volume.ErrBusy), err == nil && info == nil:
		if undone := d.Unreserve(ctx, d.seen.Key, target); undone != nil {
			return undone
		}
		return err
	case err != nil:
		return err
	}
	if err := d.recordArchive(ctx, target, info); err != nil {
		return err
	}
	return d.Unreserve(ctx, d.seen.Key, target)
}

// moveTo makes what is missing above the target, and takes it back where that is on another file system, or another volume's by now. Whoever
// removes another archive may take what is above it, empty, away again.
func (d *deletion) moveTo(ctx context.Context, from string, target volume.Dir) (moved bool, err error) {
	var made []volume.Dir
	for range registry.Attempts {
		fresh, failed := d.MakeParents(ctx, target)
		if failed != nil {
			return false, failed
		}
		made = append(made, fresh...)
		if err = d.stillOutside(ctx, target); err != nil {
			break
		}
		moved, err = d.move(ctx, from, string(target))
		if !errors.Is(err, fs.ErrNotExist) || len(target.Parents()) == 0 {
			break
		}
	}
	switch {
	case moved:
		d.MarkParents(ctx, made)
	case errors.Is(err, syscall.EXDEV), errors.Is(err, errInside):
		if err := d.RemoveParents(ctx, d.seen.Key, made); err != nil {
			return false, err
		}
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		err = fmt.Errorf("%w: somebody else has just taken %q: %w", volume.ErrBusy, target, err)
	}
	return moved, err
}

// errInside says that a name of an archive has come to be inside a volume.
var errInside = errors.New("it would be inside")

// stillOutside looks once more for a volume above the target, which is reserved, now that what is above is there. Whoever makes a volume there
// reserves it before making it, and finds it made, with our reservation below, if that was before us.
func (d *deletion) stillOutside(ctx context.Context, target volume.Dir) error {
	above, err := d.Above(ctx, d.seen.Key, target)
	if err == nil && above != "" && above != d.seen.Above {
		err = fmt.Errorf("%w: archiving directory %q to %q: %w volume %q, which has just been made", volume.ErrBusy, d.id.Dir, target, errInside, above)
	}
	return err
}

// finishArchive completes an archive that was interrupted: what is still aside, its record if the directory was moved, and the
// end of its reservation. It goes through the names as archive did, also through those at the top of the share: what it would have been
// inside may be gone by now.
func (d *deletion) finishArchive(ctx context.Context) error {
	held, err := d.heldOf(ctx, d.seen.Key)
	if err == nil {
		err = d.archiveHeld(ctx, held, aside{})
	}
	if err != nil {
		return err
	}
	names, beside, err := d.archiveNames(ctx)
	if err != nil {
		return err
	}
	flat := d.numbered("", flatten(d.id.Dir))
	if flat[0] == names[0] {
		flat = nil
	}
	for _, some := range [][]volume.Dir{names, beside, flat} {
		if found, err := d.finishArchiveTo(ctx, some); err != nil || found {
			return err
		}
	}
	return nil
}

// finishArchiveTo goes past the names that were taken, to ours or to the second free one: of those before ours one may be free by now.
func (d *deletion) finishArchiveTo(ctx context.Context, names []volume.Dir) (found bool, err error) {
	free := 0
	for _, target := range names {
		owner, err := d.ReservedFor(ctx, target)
		if errors.Is(err, registry.ErrExpiring) {
			continue
		}
		if err != nil {
			return false, err
		}
		info, err := d.Lstat(ctx, string(target))
		if err != nil {
			return false, err
		}
		if owner == d.seen.Key {
			if info != nil {
				err = d.recordArchive(ctx, target, info)
			}
			if err == nil {
				err = d.Unreserve(ctx, d.seen.Key, target)
			}
			return true, err
		}
		if info == nil {
			free++
		}
		if free == 2 {
			break
		}
	}
	return false, nil
}

// archiveNames lists where the directory may go: [volume.Dir.Archived], or flat at the top of the share where the policy says
// so or that would be inside a volume or another archive, or longer than a Dir; then with the volume's name, then with a number. beside are
// names in the directory's parent, which is on the same file system in any case.
func (d *deletion) archiveNames(ctx context.Context) (names, beside []volume.Dir, err error) {
	dir := d.id.Dir
	var above string
	var archived, expiring bool
	err = registry.Together(
		func() (err error) {
			above, err = d.Above(ctx, d.seen.Key, archiveName(dir, ""))
			if expiring = errors.Is(err, registry.ErrExpiring); expiring {
				return nil
			}
			return err
		},
		func() (err error) { archived, err = d.archiveAbove(ctx, archiveName(dir, "")); return err },
	)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case d.policy == volume.ArchiveFlat:
		dir = volume.Dir(path.Base(string(dir)))
	case above != "", archived, expiring, len(archiveName(dir, "-"+d.seen.Key+"-"+strconv.Itoa(maxArchives))) > volume.MaxDir:
		dir = flatten(dir)
	}
	if parent, base := path.Split(string(d.id.Dir)); parent != "" {
		beside = d.numbered(parent, volume.Dir(base))
	}
	return d.numbered("", dir), beside, nil
}

// flatten makes one element of dir.
func flatten(dir volume.Dir) volume.Dir { return volume.Dir(strings.ReplaceAll(string(dir), "/", "-")) }

// numbered lists the names of the archived dir below parent.
func (d *deletion) numbered(parent string, dir volume.Dir) []volume.Dir {
	names := make([]volume.Dir, maxArchives)
	for n := range names {
		suffix := ""
		switch {
		case n == 1:
			suffix = "-" + d.seen.Key
		case n > 1:
			suffix = "-" + d.seen.Key + "-" + strconv.Itoa(n)
		}
		names[n] = volume.Dir(parent) + archiveName(dir, suffix)
	}
	return names
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
