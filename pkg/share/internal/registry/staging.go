package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Kind says of what staging holds a part. The parts of a kind go when what they are part of is begun anew or deleted.
type Kind string

const (
	OfVolume      Kind = "v" // a copy that becomes its directory, or its next record
	OfSnapshot    Kind = "s" // a copy that becomes its tree
	OfDeleted     Kind = "d" // its directory on its way to the trash
	OfReservation Kind = "l" // its reservation, which is given up: see [Share.Unreserve]
)

// StagingName is a name in staging that nobody else has: KIND+KEY+RANDOM, of a copy on its way to its place, or with [RecordSuffix] of a
// record that is to replace another. "+" is in no key. Each try has a name of its own, so that what one process moves away another one cannot
// take for its own.
func StagingName(k Kind, key string) string { return stagingPrefix(k, key) + rand.Text() }

func stagingPrefix(k Kind, key string) string { return string(k) + "+" + key + "+" }

// StagedBy reads the kind and key from a name in staging, that of a record which replaces a torn one too.
func StagedBy(name string) (k Kind, key string, ok bool) {
	if key, ok := strings.CutSuffix(name, RecordSuffix); ok && !strings.Contains(key, "+") {
		return OfVolume, key, key != ""
	}
	parts := strings.Split(name, "+")
	if len(parts) != 3 || parts[1] == "" {
		return "", "", false
	}
	k = Kind(parts[0])
	return k, parts[1], slices.Contains([]Kind{OfVolume, OfSnapshot, OfDeleted, OfReservation}, k)
}

// ClearStaging takes away what interrupted tries for one volume or snapshot have left in staging. It also ends a copy
// that another process is still making: that one finds its tree gone when it comes to moving it into place.
func (s *Share) ClearStaging(ctx context.Context, k Kind, key string) error {
	infos, err := s.ListStaging(ctx)
	if err != nil {
		return err
	}
	return s.ClearListed(ctx, infos, k, key)
}

// ClearListed is ClearStaging for those who have the list.
func (s *Share) ClearListed(ctx context.Context, infos []fs.FileInfo, k Kind, key string) error {
	for _, info := range infos {
		if strings.HasPrefix(info.Name(), stagingPrefix(k, key)) {
			if err := s.unstage(ctx, info, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// ListStaging lists what is in staging; what is not there is empty.
func (s *Share) ListStaging(ctx context.Context) ([]fs.FileInfo, error) {
	infos, err := s.FS.ReadDir(ctx, StagingDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing what is being made: %w", err)
	}
	return infos, nil
}

// unstage removes what is in staging; a tree goes through the trash.
func (s *Share) unstage(ctx context.Context, info fs.FileInfo, key string) error {
	name := StagingDir + "/" + info.Name()
	if !info.IsDir() {
		return s.Remove(ctx, name)
	}
	_, err := s.Discard(ctx, name, key)
	return err
}

// Tidy clears what crashes have left and nobody comes back for, once, when the share is opened. What cannot be cleared is left to the next time.
func (s *Share) Tidy(ctx context.Context) {
	err := s.tidyMarks(ctx)
	if err == nil {
		err = s.clearOrphans(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("what crashes have left stays for now", "location", s.Location.String(), "err", err)
	}
}

// clearOrphans takes away what is in staging and has no record any more. A record is there before anything of it is
// in staging, and goes last; so what was listed before its record was missed is nobody's, whichever process made it.
func (s *Share) clearOrphans(ctx context.Context) error {
	infos, err := s.ListStaging(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		k, key, ok := StagedBy(info.Name())
		if !ok || k == OfDeleted { // whose it is only a try for its volume can tell
			continue
		}
		if k == OfReservation {
			if err := s.tidyLink(ctx, info.Name(), key); err != nil {
				return err
			}
			continue
		}
		record := RecordPath(key)
		if k == OfSnapshot {
			record = SnapshotPath(key) + RecordSuffix
		}
		there, err := s.Lstat(ctx, record)
		if err == nil && there == nil {
			err = s.unstage(ctx, info, key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
