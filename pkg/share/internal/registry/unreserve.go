package registry

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

// Unreserve ends the reservation of dir for the volume with the given key, if it is still that one's.
func (s *Share) Unreserve(ctx context.Context, key string, dir volume.Dir) error {
	return s.unreserveFrom(ctx, key, dir, linkTarget(key))
}

// unreserveFrom ends the reservation of dir that points to own. What it moves aside has the given key in its name.
func (s *Share) unreserveFrom(ctx context.Context, key string, dir volume.Dir, own string) error {
	name, err := s.TakeLink(ctx, key, dir)
	if err != nil || name == "" {
		return err
	}
	return s.settle(ctx, name, dir, own)
}

// TakeLink moves the reservation of dir aside, for the volume with the given key, and answers its name in staging; "": there is none.
// [Share.Settle] comes next.
func (s *Share) TakeLink(ctx context.Context, key string, dir volume.Dir) (name string, err error) {
	if err := s.Ensure(ctx); err != nil {
		return "", err
	}
	name = StagingName(OfReservation, key)
	err = s.FS.Rename(ctx, LinkPath(dir), StagingDir+"/"+name)
	if errors.Is(err, fs.ErrNotExist) {
		info, looked := s.Lstat(ctx, LinkPath(dir))
		if looked != nil || info == nil {
			return "", looked
		}
		s.Forget() // it is staging that is missing
		err = fmt.Errorf("%w: %w", volume.ErrUnavailable, err)
	}
	if err != nil {
		return "", fmt.Errorf("taking the reservation of directory %q: %w", dir, err)
	}
	return name, nil
}

// Settle removes a reservation of dir that [Share.TakeLink] has moved aside, or puts it back if it is not that of the volume with the given
// key. That it has gone is fine: another try for the same volume has settled it.
func (s *Share) Settle(ctx context.Context, name string, dir volume.Dir, key string) error {
	return s.settle(ctx, name, dir, linkTarget(key))
}

func (s *Share) settle(ctx context.Context, name string, dir volume.Dir, own string) error {
	name = StagingDir + "/" + name
	target, err := s.FS.Readlink(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("reading the reservation %q: %w", name, err)
	}
	if target != own {
		err := s.FS.Symlink(ctx, target, LinkPath(dir))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("putting back the reservation of directory %q, which is %q now: %w", dir, name, err)
		}
	}
	return s.Remove(ctx, name)
}

// tidyLink removes a reservation that a crash has left aside: its volume has none any more, or has it again. Else a deletion may
// just have taken it; the next one goes on with it.
func (s *Share) tidyLink(ctx context.Context, name, key string) error {
	name = StagingDir + "/" + name
	target, _ := s.FS.Readlink(ctx, name) // "" where it is gone, no link, or cannot be read now: the next tidying looks again
	if strings.HasPrefix(target, expiringPrefix) {
		return s.Remove(ctx, name)
	}
	if target != linkTarget(key) {
		return nil
	}
	r, found, err := s.ReadRecord(ctx, key)
	var owner string
	if err == nil && found == Whole {
		owner, err = s.ReservedFor(ctx, r.Dir)
	}
	if err == nil && (found == NoRecord || owner == key) {
		err = s.Remove(ctx, name)
	}
	return err
}
