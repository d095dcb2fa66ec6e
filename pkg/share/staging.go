package share

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// kind says of what staging holds a part.
type kind string

const (
	ofVolume   kind = "v"
	ofSnapshot kind = "s"

	ofDeleted     kind = "d" // a directory on its way to the trash, see aside
	ofReservation kind = "l" // a reservation that is given up, see unreserve
)

// What is in staging is called KIND+KEY+RANDOM: a copy on its way to its place, or with [recordSuffix] a record that
// is to replace another. "+" is in no key. Each try has a name of its own, so that what one process moves away another
// one cannot take for its own.
func stagingName(k kind, key string) string { return stagingPrefix(k, key) + rand.Text() }

func stagingPrefix(k kind, key string) string { return string(k) + "+" + key + "+" }

// stagedBy reads the kind and key from a name in staging, [stagingPath]'s too.
func stagedBy(name string) (k kind, key string, ok bool) {
	if key, ok := strings.CutSuffix(name, recordSuffix); ok && !strings.Contains(key, "+") {
		return ofVolume, key, key != ""
	}
	parts := strings.Split(name, "+")
	if len(parts) != 3 || parts[1] == "" {
		return "", "", false
	}
	k = kind(parts[0])
	return k, parts[1], slices.Contains([]kind{ofVolume, ofSnapshot, ofDeleted, ofReservation}, k)
}

// clearStaging takes away what interrupted tries for one volume or snapshot have left in staging. It also ends a copy
// that another process is still making: that one finds its tree gone when it comes to moving it into place.
func (s *share) clearStaging(ctx context.Context, k kind, key string) error {
	infos, err := s.listStaging(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if strings.HasPrefix(info.Name(), stagingPrefix(k, key)) {
			if err := s.unstage(ctx, info, key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *share) listStaging(ctx context.Context) ([]fs.FileInfo, error) {
	infos, err := s.fs.ReadDir(ctx, stagingDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing what is being made: %w", err)
	}
	return infos, nil
}

// unstage removes what is in staging; a tree goes through the trash.
func (s *share) unstage(ctx context.Context, info fs.FileInfo, key string) error {
	name := stagingDir + "/" + info.Name()
	if !info.IsDir() {
		return s.remove(ctx, name)
	}
	return s.discard(ctx, name, key)
}

// discard moves a tree of what has the given key into the trash. That it has gone already is fine.
func (s *share) discard(ctx context.Context, tree, key string) error {
	_, err := s.discarded(ctx, tree, key)
	return err
}

// discarded is discard, and says whether it was us who found the tree there.
func (s *share) discarded(ctx context.Context, tree, key string) (moved bool, err error) {
	return s.moveToTrash(ctx, tree, trashName(key, s.now()))
}

func (s *share) moveToTrash(ctx context.Context, tree, name string) (moved bool, err error) {
	err = s.fs.Rename(ctx, tree, trashDir+"/"+name)
	if errors.Is(err, fs.ErrNotExist) {
		info, looked := s.lstat(ctx, tree)
		if looked != nil || info == nil {
			return false, looked
		}
		s.layout.forget() // it is the trash that is missing
		err = fmt.Errorf("%w: %w", volume.ErrUnavailable, err)
	}
	if err != nil {
		return false, fmt.Errorf("moving %q to the trash: %w", tree, err)
	}
	s.purger.add(name)
	return true, nil
}

// tidy clears orphans once, when the share is opened. What cannot be cleared is left to the next time.
func (s *share) tidy(ctx context.Context) {
	if err := s.clearOrphans(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("what interrupted copies have left stays for now", "location", s.location.String(), "err", err)
	}
}

// clearOrphans takes away what is in staging and has no record any more. A record is there before anything of it is
// in staging, and goes last; so what was listed before its record was missed is nobody's, whichever process made it.
func (s *share) clearOrphans(ctx context.Context) error {
	infos, err := s.listStaging(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		k, key, ok := stagedBy(info.Name())
		if !ok || k == ofDeleted { // whose it is only a try for its volume can tell
			continue
		}
		if k == ofReservation {
			if err := s.tidyLink(ctx, info.Name(), key); err != nil {
				return err
			}
			continue
		}
		record := recordPath(key)
		if k == ofSnapshot {
			record = snapshotPath(key) + recordSuffix
		}
		there, err := s.lstat(ctx, record)
		if err == nil && there == nil {
			err = s.unstage(ctx, info, key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
