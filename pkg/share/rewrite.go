package share

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// rewrite replaces the record of a volume that holds its reservation, in one step. errChanged: somebody else changed it
// at the same time. [volume.ErrNotFound]: somebody deleted the volume meanwhile.
func (s *share) rewrite(ctx context.Context, r volume.Record) error {
	data, err := s.putRecord(ctx, r)
	if err != nil {
		return err
	}
	return s.confirmRewrite(ctx, r, data)
}

// putRecord makes r the record of its volume, whatever there was.
func (s *share) putRecord(ctx context.Context, r volume.Record) (data []byte, err error) {
	if data, err = r.Marshal(); err != nil {
		return nil, err
	}
	key := volume.Key(r.Name)
	if err := s.clearRewrites(ctx, key); err != nil {
		return nil, err
	}
	staged := stagingDir + "/" + stagingName(ofVolume, key) + recordSuffix
	err = s.fs.CreateFile(ctx, staged, data, recordMode)
	if err == nil {
		err = s.fs.Rename(ctx, staged, recordPath(key))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // staging has gone, or another process has cleared it
		s.layout.forget()
		return nil, errChanged
	case err != nil:
		return nil, fmt.Errorf("replacing the record of volume %q: %w", r.Name, err)
	}
	return data, nil
}

// clearRewrites removes what interrupted rewrites have left. A rewrite of another process fails by it, and is repeated.
func (s *share) clearRewrites(ctx context.Context, key string) error {
	infos, err := s.listStaging(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if name := info.Name(); strings.HasPrefix(name, stagingPrefix(ofVolume, key)) && strings.HasSuffix(name, recordSuffix) {
			if err := s.remove(ctx, stagingDir+"/"+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// confirmRewrite looks whether a deletion has passed us. One takes the reservation before the record: if the reservation
// is still there, the record that we wrote goes with the volume.
func (s *share) confirmRewrite(ctx context.Context, r volume.Record, data []byte) error {
	var owner string
	var there []byte
	err := together(
		func() (err error) { owner, err = s.reservedFor(ctx, r.Dir); return err },
		func() (err error) {
			there, err = s.fs.ReadFile(ctx, recordPath(volume.Key(r.Name)), maxRecord)
			return err
		},
	)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errChanged
	case err != nil:
		return err
	case owner != volume.Key(r.Name):
		if err := s.forget(ctx, r); err != nil {
			return err
		}
		return fmt.Errorf("%w: volume %q has been deleted meanwhile", volume.ErrNotFound, r.Name)
	case !bytes.Equal(there, data):
		return errChanged
	}
	return nil
}

// forget ends the record of a deleted volume. Where the handle has another policy than the one that kept the directory,
// the record stays and says so, since whoever deletes the volume once more would go by the handle.
func (s *share) forget(ctx context.Context, r volume.Record) error {
	if r.Policy != volume.Retain || r.HandlePolicy == "" || r.HandlePolicy == volume.Retain {
		return s.remove(ctx, recordPath(volume.Key(r.Name)))
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
