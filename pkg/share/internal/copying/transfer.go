package copying

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/unpack"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	maxCopies  = 4                // of one share that run at once; each has many requests in flight
	stallAfter = 15 * time.Minute // without any progress a copy is given up, for a retry to begin anew
)

// Progress is told how far a copy has come.
type Progress interface {
	Now(doing string) // in words
	Copied(files, bytes int64)
	Total(files, bytes int64)
}

// transfer copies one tree into staging, for a volume or a snapshot that has its record already.
type transfer struct {
	*Copier
	kind registry.Kind
	key  string
	from string // on the share
	// packed says that from is a tarball of csi-driver-nfs and not a tree.
	packed bool
	// wanted says why the copy is of no use any more: its source or its record has gone. A copy from which things are
	// removed meanwhile is made without them, so that only this tells a whole one from one of a source that was deleted.
	wanted   func(ctx context.Context) error
	progress Progress
}

// run answers the name in staging of a copy that is whole and verified. After an error there is none, or it is left to
// the next try.
func (t *transfer) run(ctx context.Context) (staged string, err error) {
	if err := t.ClearStaging(ctx, t.kind, t.key); err != nil {
		return "", err
	}
	t.progress.Now("waiting for other copies on this share")
	select {
	case t.running <- struct{}{}:
		defer func() { <-t.running }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if err := t.wanted(ctx); err != nil {
		return "", err
	}
	t.progress.Now("copying")
	staged = registry.StagingName(t.kind, t.key)
	err = t.copy(ctx, registry.StagingDir+"/"+staged)
	if err == nil {
		t.progress.Now("moving the copy into place")
		err = t.wanted(ctx)
	}
	if err != nil {
		t.abandon(ctx, staged)
		return "", err
	}
	return staged, nil
}

// copy makes the copy; it is given up when it makes no progress.
func (t *transfer) copy(ctx context.Context, to string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(stallAfter, func() {
		cancel(fmt.Errorf("%w: the copy has made no progress for %v", volume.ErrUnavailable, stallAfter))
	})
	defer stalled.Stop()
	counted := make(chan struct{})
	counting, enough := context.WithCancel(ctx)
	go func() { defer close(counted); t.count(counting) }()
	defer func() { enough(); <-counted }()
	fill := t.FS.CopyTree
	if t.packed {
		fill = func(ctx context.Context, from, to string, progress func(files, bytes int64)) error {
			return unpack.Unpack(ctx, t.FS, from, to, progress)
		}
	}
	err := fill(ctx, t.from, to, func(files, bytes int64) {
		stalled.Reset(stallAfter)
		t.progress.Copied(files, bytes)
	})
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, volume.ErrUnavailable) {
		return cause
	}
	return t.explain(ctx, err)
}

// explain tells what a missing file means: the source has gone, or another process has cleared staging.
func (t *transfer) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("copying %q: %w", t.from, err)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if gone := t.wanted(ctx); gone != nil {
		return gone
	}
	t.Forget()
	return fmt.Errorf("%w: %w", volume.ErrUnavailable, err)
}

func (t *transfer) abandon(ctx context.Context, staged string) { t.Abandon(ctx, t.key, staged) }

// Abandon takes away a copy that is in staging for what has the given key, if it can: else the next try does. It goes on when the caller has gone.
func (s *Copier) Abandon(ctx context.Context, key, staged string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), registry.UndoTimeout)
	defer cancel()
	if _, err := s.Discard(ctx, registry.StagingDir+"/"+staged, key); err != nil {
		s.Log.Debug("leaving a copy that failed to the next try", "location", s.Location.String(), "staged", staged, "err", err)
	}
}

// countRoom bounds the bytes of the names that wait to be counted: a pod may make many of them very long.
const countRoom = 16 << 20

// count finds out how much there is to copy, beside the copying. It is for the progress alone: when something cannot be read, or
// there is too much of it, there is no total.
func (t *transfer) count(ctx context.Context) {
	var files, bytes int64
	left, room := []string{t.from}, countRoom
	for len(left) > 0 {
		dir := left[len(left)-1]
		left = left[:len(left)-1]
		room += len(dir)
		infos, err := t.FS.ReadDir(ctx, dir)
		if ctx.Err() != nil || err != nil {
			return
		}
		files++
		for _, info := range infos {
			if info.IsDir() {
				if room -= len(dir) + 1 + len(info.Name()); room < 0 {
					return
				}
				left = append(left, dir+"/"+info.Name())
				continue
			}
			files++
			bytes += info.Size()
		}
	}
	t.progress.Total(files, bytes)
}
