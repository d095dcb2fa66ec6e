package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// ReservedFor is the key of the volume that dir is reserved for, "" if it is not.
func (s *Share) ReservedFor(ctx context.Context, dir volume.Dir) (string, error) {
	return s.OwnerAt(ctx, LinkPath(dir))
}

// OwnerAt is the key of the volume that a reservation points to, "" if there is no such reservation.
func (s *Share) OwnerAt(ctx context.Context, name string) (string, error) {
	target, err := s.FS.Readlink(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if errors.Is(err, fs.ErrInvalid) {
		return "", fmt.Errorf("%w: %q on the share is not a link: somebody put it there; remove it", volume.ErrInvalid, name)
	}
	if err != nil {
		return "", fmt.Errorf("reading the reservation %q: %w", name, err)
	}
	if strings.HasPrefix(target, expiringPrefix) {
		return "", fmt.Errorf("%w: %w: %q", volume.ErrBusy, ErrExpiring, name)
	}
	key, ok := OwnerIn(target)
	if !ok {
		return "", fmt.Errorf("%w: the link %q on the share points to %q and to no volume: somebody changed it; remove it", volume.ErrInvalid, name, target)
	}
	return key, nil
}

// OwnerIn reads the volume's key from what a reservation holds.
func OwnerIn(target string) (key string, ok bool) {
	file, ok := strings.CutPrefix(target, linkPrefix)
	if !ok {
		return "", false
	}
	key, ok = strings.CutSuffix(file, RecordSuffix)
	return key, ok && key != "" && !strings.ContainsAny(key, "/\x00")
}

// Reserve reserves dir for the volume with the given key, and answers the key of the volume that has it then.
func (s *Share) Reserve(ctx context.Context, key string, dir volume.Dir) (owner string, err error) {
	err = s.FS.Symlink(ctx, linkTarget(key), LinkPath(dir))
	switch {
	case err == nil:
		return key, nil
	case errors.Is(err, fs.ErrNotExist):
		s.Forget()
		return "", ErrChanged
	case errors.Is(err, fs.ErrExist):
		if owner, err = s.ReservedFor(ctx, dir); err == nil && owner == "" {
			return "", ErrChanged
		}
		return owner, err
	}
	return "", fmt.Errorf("reserving directory %q: %w", dir, err)
}

// Above answers the key of another volume than key's that has a directory above dir, "" if none has.
func (s *Share) Above(ctx context.Context, key string, dir volume.Dir) (string, error) {
	parents := dir.Parents()
	owners := make([]string, len(parents))
	calls := make([]func() error, len(parents))
	for i, p := range parents {
		calls[i] = func() (err error) { owners[i], err = s.ReservedFor(ctx, p); return err }
	}
	if err := Together(calls...); err != nil {
		return "", err
	}
	for _, owner := range owners {
		if owner != "" && owner != key {
			return owner, nil
		}
	}
	return "", nil
}

// Below answers the key of another volume than key's that has a directory below dir, "" if there is none.
func (s *Share) Below(ctx context.Context, key string, dir volume.Dir) (string, error) {
	links, err := s.FS.ReadDir(ctx, DirectoriesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("listing the reserved directories: %w", err)
	}
	for _, l := range links {
		is, sure := keyBelow(l.Name(), dir)
		if !is {
			continue
		}
		owner, err := s.OwnerAt(ctx, DirectoriesDir+"/"+l.Name())
		if !sure && errors.Is(err, ErrExpiring) {
			continue // it is dir itself, or one that begins like it
		}
		if err == nil && !sure {
			is, err = s.recordedBelow(ctx, owner, l.Name(), dir)
		}
		if err != nil {
			return "", err
		}
		if is && owner != "" && owner != key {
			return owner, nil
		}
	}
	return "", nil
}

// keyBelow says whether the directory that has a key is below dir. Long keys are cut, so it may not be sure.
func keyBelow(linkName string, dir volume.Dir) (is, sure bool) {
	prefix, _, cut := strings.Cut(volume.Key(string(dir)+"/"), "%-")
	whole, _, _ := strings.Cut(linkName, "%-")
	sure = !cut && len(whole) >= len(prefix)
	if len(whole) < len(prefix) {
		return whole != linkName && strings.HasPrefix(prefix, whole), false
	}
	return strings.HasPrefix(whole, prefix), sure
}

// recordedBelow asks the record of a volume whose directory has a key that was cut. Without a record it is taken to be
// below, which keeps data where they are.
func (s *Share) recordedBelow(ctx context.Context, owner, linkName string, dir volume.Dir) (bool, error) {
	r, found, err := s.ReadRecord(ctx, owner)
	if err != nil || found != Whole || volume.Key(string(r.Dir)) != linkName {
		return true, err
	}
	return strings.HasPrefix(string(r.Dir), string(dir)+"/"), nil
}

// NotShare refuses a directory that is itself a share with volumes.
func (s *Share) NotShare(ctx context.Context, dir volume.Dir) error {
	info, err := s.Lstat(ctx, string(dir)+"/"+volume.Reserved)
	if err == nil && info != nil {
		err = fmt.Errorf("%w: directory %q holds %q, so it is a share of volumes and not a volume", volume.ErrExists, dir, volume.Reserved)
	}
	return err
}

// NotInShare refuses a directory that is inside another share with volumes, which lies below ours.
func (s *Share) NotInShare(ctx context.Context, dir volume.Dir) error {
	var calls []func() error
	for _, above := range dir.Parents() {
		calls = append(calls, func() error {
			if err := s.NotShare(ctx, above); err != nil {
				return fmt.Errorf("directory %q is in %q: %w", dir, above, err)
			}
			return nil
		})
	}
	return Together(calls...)
}

// expiringTarget is what the reservation of an archive's directory holds while the archive is taken away.
func expiringTarget(dir volume.Dir) string { return expiringPrefix + archiveFile(dir) }

// ReserveExpiring reserves the directory of an archive that is due, or answers the key of the volume that has it.
func (s *Share) ReserveExpiring(ctx context.Context, dir volume.Dir) (owner string, err error) {
	err = s.FS.Symlink(ctx, expiringTarget(dir), LinkPath(dir))
	if err == nil {
		return "", nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("reserving directory %q: %w", dir, err)
	}
	target, err := s.FS.Readlink(ctx, LinkPath(dir))
	if err != nil {
		return "", fmt.Errorf("reading the reservation of %q: %w", dir, err)
	}
	if target == expiringTarget(dir) {
		return "", nil // an interrupted sweep's
	}
	owner, ok := OwnerIn(target)
	if !ok {
		return "", fmt.Errorf("%w: the reservation of %q points to %q", volume.ErrInvalid, dir, target)
	}
	return owner, nil
}

// LeftExpiring says whether a removal that was interrupted has left the reservation of [Share.ReserveExpiring].
func (s *Share) LeftExpiring(ctx context.Context, dir volume.Dir) (bool, error) {
	info, err := s.Lstat(ctx, LinkPath(dir))
	if err != nil || info == nil || s.Now().Sub(info.ModTime()) < StaleAfter {
		return false, err
	}
	target, err := s.FS.Readlink(ctx, LinkPath(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the reservation of %q: %w", dir, err)
	}
	return target == expiringTarget(dir), nil
}

// UnreserveExpiring ends the reservation of [Share.ReserveExpiring], if another process has not done so and gone on. What it moves
// aside has the given key in its name.
func (s *Share) UnreserveExpiring(ctx context.Context, key string, dir volume.Dir) error {
	return s.unreserveFrom(ctx, key, dir, expiringTarget(dir))
}

// DropStale takes away a reservation for the volume with the key owner that has no record, and gives it back if the record has come
// meanwhile: that volume's maker writes it and then looks whether the reservation is still there. [volume.ErrBusy]: it was given back.
func (s *Share) DropStale(ctx context.Context, link, owner string) error {
	if err := s.Remove(ctx, link); err != nil {
		return err
	}
	_, found, err := s.ReadRecord(ctx, owner)
	if err == nil && found != NoRecord {
		err = s.FS.Symlink(ctx, linkTarget(owner), link)
		if errors.Is(err, fs.ErrExist) {
			err = nil
		}
		if err == nil {
			err = fmt.Errorf("%w: somebody is making volume %q", volume.ErrBusy, owner)
		}
	}
	return err
}

// StaleAfter is how old a reservation without a record must be to count as left behind. Record and reservation are written
// together, so this is long after whoever wrote the one and not the other has come back or given up. So is that of an archive's directory,
// which lasts for some calls.
const StaleAfter = 15 * time.Minute
