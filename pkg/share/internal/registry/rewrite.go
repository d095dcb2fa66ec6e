package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// WriteRecord makes the record of a new volume, or replaces one that is torn; over is what was found there. [ErrChanged]: there is one by
// now, or what is below [volume.Reserved] has gone.
func (s *Share) WriteRecord(ctx context.Context, r volume.Record, over Found) error {
	data, err := r.Marshal()
	if err != nil {
		return err
	}
	key := volume.Key(r.Name)
	name := RecordPath(key)
	if over == Torn {
		err = s.replace(ctx, stagingPath(key), name, data)
	} else {
		err = s.FS.CreateFile(ctx, name, data, RecordMode)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOTEMPTY): // which is an fs.ErrExist too
	case errors.Is(err, fs.ErrExist):
		return ErrChanged
	case errors.Is(err, fs.ErrNotExist):
		s.Forget()
		return ErrChanged
	}
	return fmt.Errorf("writing the record %q: %w", name, err)
}

// replace puts data at name in one step, by way of a file that an interrupted call may have left.
func (s *Share) replace(ctx context.Context, staging, name string, data []byte) error {
	err := s.FS.CreateFile(ctx, staging, data, RecordMode)
	if errors.Is(err, fs.ErrExist) {
		if err := s.Remove(ctx, staging); err != nil {
			return err
		}
		err = s.FS.CreateFile(ctx, staging, data, RecordMode)
	}
	if err != nil {
		return err
	}
	return s.FS.Rename(ctx, staging, name)
}

// Rewrite replaces the record of a volume that holds its reservation, in one step. [ErrChanged]: somebody else changed it
// at the same time. [volume.ErrNotFound]: somebody deleted the volume meanwhile.
func (s *Share) Rewrite(ctx context.Context, r volume.Record) error {
	data, err := s.putRecord(ctx, r)
	if err != nil {
		return err
	}
	return s.confirmRewrite(ctx, r, data)
}

// putRecord makes r the record of its volume, whatever there was.
func (s *Share) putRecord(ctx context.Context, r volume.Record) (data []byte, err error) {
	if data, err = r.Marshal(); err != nil {
		return nil, err
	}
	key := volume.Key(r.Name)
	if err := s.clearRewrites(ctx, key); err != nil {
		return nil, err
	}
	staged := StagingDir + "/" + StagingName(OfVolume, key) + RecordSuffix
	err = s.FS.CreateFile(ctx, staged, data, RecordMode)
	if err == nil {
		err = s.FS.Rename(ctx, staged, RecordPath(key))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // staging has gone, or another process has cleared it
		s.Forget()
		return nil, ErrChanged
	case err != nil:
		return nil, fmt.Errorf("replacing the record of volume %q: %w", r.Name, err)
	}
	return data, nil
}

// clearRewrites removes what interrupted rewrites have left. A rewrite of another process fails by it, and is repeated.
func (s *Share) clearRewrites(ctx context.Context, key string) error {
	infos, err := s.ListStaging(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if name := info.Name(); strings.HasPrefix(name, stagingPrefix(OfVolume, key)) && strings.HasSuffix(name, RecordSuffix) {
			if err := s.Remove(ctx, StagingDir+"/"+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// confirmRewrite looks whether a deletion has passed us. One takes the reservation before the record: if the reservation
// is still there, the record that we wrote goes with the volume.
func (s *Share) confirmRewrite(ctx context.Context, r volume.Record, data []byte) error {
	var owner string
	var there []byte
	err := Together(
		func() (err error) { owner, err = s.ReservedFor(ctx, r.Dir); return err },
		func() (err error) {
			there, err = s.FS.ReadFile(ctx, RecordPath(volume.Key(r.Name)), MaxRecord)
			return err
		},
	)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrChanged
	case err != nil:
		return err
	case owner != volume.Key(r.Name):
		if err := s.EndRecord(ctx, r); err != nil {
			return err
		}
		return fmt.Errorf("%w: volume %q has been deleted meanwhile", volume.ErrNotFound, r.Name)
	case !bytes.Equal(there, data):
		return ErrChanged
	}
	return nil
}

// EndRecord ends the record of a deleted volume. Where the handle has another policy than the one that kept the directory,
// the record stays and says so, since whoever deletes the volume once more would go by the handle.
func (s *Share) EndRecord(ctx context.Context, r volume.Record) error {
	if r.Policy != volume.Retain || r.HandlePolicy == "" || r.HandlePolicy == volume.Retain {
		return s.Remove(ctx, RecordPath(volume.Key(r.Name)))
	}
	if r.Retained {
		return nil
	}
	r.Retained = true
	if _, err := s.putRecord(ctx, r); err != nil {
		return fmt.Errorf("marking volume %q as deleted and retained: %w", r.Name, err)
	}
	return nil
}
