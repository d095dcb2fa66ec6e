package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// No call removes a reservation on the condition that it is still ours. Another process may have ended the same deletion since
// we looked, and another volume may have reserved the directory: it would be without protection, and with the next try of the
// deletion without its directory. Therefore a reservation is moved aside first, then we look whose it is, and another's is put back.

// unreserve ends the reservation of dir for the volume with the given key, if it is still that one's.
func (s *share) unreserve(ctx context.Context, key string, dir volume.Dir) error {
	return s.unreserveFrom(ctx, key, dir, linkTarget(key))
}

// unreserveFrom ends the reservation of dir that points to own. What it moves aside has the given key in its name.
func (s *share) unreserveFrom(ctx context.Context, key string, dir volume.Dir, own string) error {
	name, err := s.takeLink(ctx, key, dir)
	if err != nil || name == "" {
		return err
	}
	return s.settle(ctx, name, dir, own)
}

// takeLink moves the reservation of dir aside, and answers its name in staging; "": there is none.
func (s *share) takeLink(ctx context.Context, key string, dir volume.Dir) (name string, err error) {
	if err := s.layout.ensure(ctx, s.fs); err != nil {
		return "", err
	}
	name = stagingName(ofReservation, key)
	err = s.fs.Rename(ctx, linkPath(dir), stagingDir+"/"+name)
	if errors.Is(err, fs.ErrNotExist) {
		info, looked := s.lstat(ctx, linkPath(dir))
		if looked != nil || info == nil {
			return "", looked
		}
		s.layout.forget() // it is staging that is missing
		err = fmt.Errorf("%w: %w", volume.ErrUnavailable, err)
	}
	if err != nil {
		return "", fmt.Errorf("taking the reservation of directory %q: %w", dir, err)
	}
	return name, nil
}

// settle removes a reservation that was moved aside, or puts it back if it is not our own. That it has gone is fine: another
// try for the same volume has settled it.
func (s *share) settle(ctx context.Context, name string, dir volume.Dir, own string) error {
	name = stagingDir + "/" + name
	target, err := s.fs.Readlink(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("reading the reservation %q: %w", name, err)
	}
	if target != own {
		err := s.fs.Symlink(ctx, target, linkPath(dir))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("putting back the reservation of directory %q, which is %q now: %w", dir, name, err)
		}
	}
	return s.remove(ctx, name)
}

// tidyLink removes a reservation that a crash has left aside: its volume has none any more, or has it again. Else a deletion may
// just have taken it; the next one goes on with it.
func (s *share) tidyLink(ctx context.Context, name, key string) error {
	name = stagingDir + "/" + name
	target, _ := s.fs.Readlink(ctx, name) // "" where it is gone, no link, or cannot be read now: the next tidying looks again
	if strings.HasPrefix(target, expiringPrefix) {
		return s.remove(ctx, name)
	}
	if target != linkTarget(key) {
		return nil
	}
	r, found, err := s.readRecord(ctx, key)
	var owner string
	if err == nil && found == whole {
		owner, err = s.reservedFor(ctx, r.Dir)
	}
	if err == nil && (found == noRecord || owner == key) {
		err = s.remove(ctx, name)
	}
	return err
}

// settleHeld settles what earlier tries have left, of which some are directories, see aside.
func (d *deletion) settleHeld(ctx context.Context) error {
	for _, name := range d.held {
		if strings.HasPrefix(name, stagingPrefix(ofReservation, d.seen.key)) {
			if err := d.settle(ctx, name, d.id.Dir, linkTarget(d.seen.key)); err != nil {
				return err
			}
		}
	}
	return nil
}
