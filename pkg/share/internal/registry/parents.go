package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// MakeParent makes a directory above a volume's or an archive's, if it is not there.
func (s *Share) MakeParent(ctx context.Context, dir volume.Dir) (made bool, err error) {
	err = s.FS.Mkdir(ctx, string(dir), ParentMode, -1, -1)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrExist):
		return false, nil
	}
	return false, fmt.Errorf("creating directory %q: %w", dir, err)
}

// RemoveEmpty removes a directory that was made above another, or for the volume with the given key, if there is nothing in it.
// Another volume may just have got it: that one reserves it and then looks whether it is still there, we remove it and then
// look whether it is reserved. So one of the two sees the other, and what was there, which was empty, is made again.
func (s *Share) RemoveEmpty(ctx context.Context, key string, dir volume.Dir) error {
	err := s.FS.Remove(ctx, string(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return fmt.Errorf("removing the empty directory %q: %w", dir, err)
	}
	owner, err := s.ReservedFor(ctx, dir)
	if err != nil || owner == "" || owner == key {
		return err
	}
	_, err = s.MakeParent(ctx, dir)
	return err
}

// ChangeDir sets owner and mode of a directory where they are given (not -1, not nil). The owner comes first: a server
// takes setuid and setgid away from what changes hands.
func (s *Share) ChangeDir(ctx context.Context, dir string, mode *fs.FileMode, uid, gid int) error {
	if uid >= 0 || gid >= 0 {
		if err := s.FS.Chown(ctx, dir, uid, gid); err != nil {
			return fmt.Errorf("changing the owner of directory %q: %w", dir, err)
		}
	}
	if mode != nil {
		if err := s.FS.Chmod(ctx, dir, *mode); err != nil {
			return fmt.Errorf("changing the mode of directory %q: %w", dir, err)
		}
	}
	return nil
}
