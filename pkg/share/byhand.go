package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// What a person asks for, who looks at a share. Each looks again before it acts.

// Expire moves an archive to the trash, due or not. [volume.ErrNotFound]: it is none, or no longer. [volume.ErrExists]: it stays,
// because it is not certain that the directory is the one that was archived.
func (m *Manager) Expire(ctx context.Context, l volume.Location, dir volume.Dir, mountOptions []string) error {
	release, err := m.locks.holdUnused(namesOf(volume.ID{Location: l, Dir: dir})[1:])
	if err != nil {
		return err
	}
	defer release()
	return m.on(ctx, "expire", l, mountOptions, func(s *share) error {
		r, ok, err := s.remover.ReadArchive(ctx, volume.Key(string(dir)))
		if err == nil && !ok {
			err = fmt.Errorf("%w: %q is no archive", volume.ErrNotFound, dir)
		}
		if err != nil {
			return err
		}
		all, err := s.remover.Archives(ctx)
		if err != nil {
			return err
		}
		gone, err := s.remover.Expire(ctx, r, all)
		if err == nil && !gone {
			err = fmt.Errorf("%w: archive %q stays: "+
				"it may not be the directory that was archived, or belongs to a volume, or holds one or another archive: look at it, and remove it by hand", volume.ErrExists, dir)
		}
		return err
	})
}

// RemoveTrash removes one thing that is in the trash for good; that it has gone is no error.
func (m *Manager) RemoveTrash(ctx context.Context, l volume.Location, name string, mountOptions []string) error {
	return m.on(ctx, "purge", l, mountOptions, func(s *share) error { return s.purger.Remove(ctx, name) })
}

// DropReservation takes away a reservation that was surveyed, unless its volume has got a record since, or it is younger than
// atLeast by our clock. [volume.ErrBusy]: it stays.
func (m *Manager) DropReservation(ctx context.Context, l volume.Location, r Reservation, atLeast time.Duration, mountOptions []string) error {
	return m.on(ctx, "release", l, mountOptions, func(s *share) error {
		link := registry.DirectoriesDir + "/" + r.Name
		var info fs.FileInfo
		var owner string
		var found registry.Found
		if err := registry.Together(
			func() (err error) { info, err = s.Lstat(ctx, link); return err },
			func() (err error) { owner, err = s.OwnerAt(ctx, link); return err },
			func() (err error) { _, found, err = s.ReadRecord(ctx, r.For); return err },
		); err != nil || info == nil {
			return err
		}
		if owner != r.For || found != registry.NoRecord || s.Now().Sub(info.ModTime()) < max(atLeast, registry.StaleAfter) {
			return fmt.Errorf("%w: somebody is making volume %q", volume.ErrBusy, r.For)
		}
		return s.DropStale(ctx, link, r.For)
	})
}

// Used is what a directory holds.
type Used struct {
	Files int64 // directories too
	Bytes int64 // on the server's disk, where it tells, each file with several names once
	// Partly: some of it could not be read, or went away meanwhile.
	Partly bool
}

// walkers bounds the directories that are read at once.
const walkers = 16

// Usage walks through a directory. It follows no link.
func (m *Manager) Usage(ctx context.Context, l volume.Location, dir string, mountOptions []string) (Used, error) {
	w := walk{waiting: []string{dir}, met: map[uint64]bool{}}
	w.change.L = &w.mu
	err := m.on(ctx, "usage", l, mountOptions, func(s *share) error {
		w.share = s
		var running sync.WaitGroup
		for range walkers {
			running.Go(func() { w.run(ctx) })
		}
		running.Wait()
		return w.err
	})
	return w.used, err
}

// walk sums up one tree.
type walk struct {
	share *share

	mu      sync.Mutex
	change  sync.Cond // of what is below
	waiting []string  // directories to be read
	reading int
	used    Used
	met     map[uint64]bool // files with several names, by inode
	err     error
}

// run reads directories as long as there are some, or others may find some.
func (w *walk) run(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil {
		if len(w.waiting) == 0 {
			if w.reading == 0 {
				break
			}
			w.change.Wait()
			continue
		}
		last := len(w.waiting) - 1
		dir := w.waiting[last]
		w.waiting = w.waiting[:last]
		w.reading++
		w.mu.Unlock()
		infos, err := w.share.FS.ReadDir(ctx, dir)
		w.mu.Lock()
		w.reading--
		w.add(dir, infos, err)
		w.change.Broadcast()
	}
	w.change.Broadcast()
}

// add counts what is in a directory.
func (w *walk) add(dir string, infos []fs.FileInfo, err error) {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EFBIG):
		w.used.Partly = true
	case err != nil && w.err == nil:
		w.err = fmt.Errorf("listing %q: %w", dir, err)
	}
	for _, info := range infos {
		w.count(info)
		if info.IsDir() {
			w.waiting = append(w.waiting, path.Join(dir, info.Name()))
		}
	}
}

func (w *walk) count(info fs.FileInfo) {
	w.used.Files++
	if !info.Mode().IsRegular() {
		return
	}
	if numbered, ok := info.Sys().(interface {
		Inode() (id uint64, names uint32)
	}); ok {
		if id, names := numbered.Inode(); names > 1 {
			if w.met[id] {
				return
			}
			w.met[id] = true
		}
	}
	bytes := info.Size()
	if told, ok := info.Sys().(interface{ Allocated() uint64 }); ok && told.Allocated() > 0 {
		bytes = int64(told.Allocated())
	}
	w.used.Bytes += bytes
}

// Lstat describes what is at a name on the share at l; nil: nothing.
func (m *Manager) Lstat(ctx context.Context, l volume.Location, name string, mountOptions []string) (info fs.FileInfo, err error) {
	err = m.on(ctx, "lstat", l, mountOptions, func(s *share) (err error) { info, err = s.Lstat(ctx, name); return err })
	return info, err
}
