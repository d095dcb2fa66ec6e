package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// trashTime is how a name in the trash tells when something came there, between two "-" before the random end.
const trashTime = "20060102T150405Z"

// trashName is a name in the trash that nobody else uses, for what was called key.
func trashName(key string, now time.Time) string {
	return trashNamed(key, now, rand.Text())
}

func trashNamed(key string, now time.Time, random string) string {
	return key + "-" + now.UTC().Format(trashTime) + "-" + random
}

// TrashedAt reads the time from a trashName; of other names nobody knows.
func TrashedAt(name string) (time.Time, bool) {
	parts := strings.Split(name, "-")
	if len(parts) < 3 {
		return time.Time{}, false
	}
	at, err := time.Parse(trashTime, parts[len(parts)-2])
	return at, err == nil
}

// Discard moves a tree, or a file, of what has the given key into the trash. That it has gone already is fine, and not moved.
func (s *Share) Discard(ctx context.Context, tree, key string) (moved bool, err error) {
	return s.moveToTrash(ctx, tree, trashName(key, s.Now()))
}

// DiscardAs is [Share.Discard] to a name that ends with random, which nobody else uses.
func (s *Share) DiscardAs(ctx context.Context, tree, key, random string) (moved bool, err error) {
	return s.moveToTrash(ctx, tree, trashNamed(key, s.Now(), random))
}

func (s *Share) moveToTrash(ctx context.Context, tree, name string) (moved bool, err error) {
	err = s.FS.Rename(ctx, tree, TrashDir+"/"+name)
	if errors.Is(err, fs.ErrNotExist) {
		info, looked := s.Lstat(ctx, tree)
		if looked != nil || info == nil {
			return false, looked
		}
		s.Forget() // it is the trash that is missing
		err = fmt.Errorf("%w: %w", volume.ErrUnavailable, err)
	}
	if err != nil {
		return false, fmt.Errorf("moving %q to the trash: %w", tree, err)
	}
	s.Trashed(name)
	return true, nil
}
