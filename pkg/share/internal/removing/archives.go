package removing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Archive is what is known of an archive: the file archives/KEY.json, KEY being [volume.Key] of the archive's directory. It is written after
// the directory was moved there, while the deletion holds the name, and goes after the directory.
type Archive struct {
	Version  int        `json:"version"`
	Dir      volume.Dir `json:"directory"`
	Inode    uint64     `json:"inode"` // of the directory, 0 where the server tells none: then it never expires
	Volume   string     `json:"volume"`
	Archived time.Time  `json:"archived"`
	Expires  time.Time  `json:"expires,omitzero"`
}

// key is what the parts of an archive that is removed are called by in staging, and is no volume's: one of the name that was archived may just
// be deleted, which has its own parts there.
func (r Archive) key() string { return volume.Key("/" + string(r.Dir)) }

// readers bounds how many records are read at once.
const readers = 16

const archiveVersion = 1

// archiveStale is how old the record of a directory that is not there must be to be taken away.
const archiveStale = time.Hour

// inode is the number that tells a file from others, 0 where it is not known. A file that is made when another is gone
// may get its number.
func inode(info fs.FileInfo) uint64 {
	if numbered, ok := info.Sys().(interface {
		Inode() (id uint64, names uint32)
	}); ok {
		id, _ := numbered.Inode()
		return id
	}
	return 0
}

// recordArchive records that the volume's directory is at target now, which info describes. A record that is there is
// of an archive that somebody took away, or an earlier try's.
func (d *deletion) recordArchive(ctx context.Context, target volume.Dir, info fs.FileInfo) error {
	now := d.Now().UTC().Truncate(time.Second)
	r := Archive{Version: archiveVersion, Dir: target, Inode: inode(info), Volume: d.id.Name(), Archived: now}
	if retention := d.seen.Record.ArchiveRetention; retention > 0 {
		r.Expires = now.Add(retention)
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the record of archive %q: %w", target, err)
	}
	data = append(data, '\n')
	name := registry.ArchivePath(target)
	err = d.FS.CreateFile(ctx, name, data, registry.RecordMode)
	if errors.Is(err, fs.ErrExist) {
		if err := d.Remove(ctx, name); err != nil {
			return err
		}
		err = d.FS.CreateFile(ctx, name, data, registry.RecordMode)
	}
	if errors.Is(err, fs.ErrNotExist) {
		d.Forget()
		err = fmt.Errorf("%w: %w", volume.ErrUnavailable, err)
	}
	if err != nil {
		return fmt.Errorf("recording archive %q: %w", target, err)
	}
	d.Archived(r)
	return nil
}

// ReadArchive reads the record of the archive in the directory that has the given key; false where there is none.
func (s *Remover) ReadArchive(ctx context.Context, key string) (r Archive, ok bool, err error) {
	data, err := s.FS.ReadFile(ctx, registry.ArchivesDir+"/"+key+registry.RecordSuffix, registry.MaxRecord)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(failure.Kind(err, s.Classify), volume.ErrInvalid) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("reading the record of an archive: %w", err)
	}
	r, ok = parseArchive(data)
	return r, ok && volume.Key(string(r.Dir)) == key, nil
}

func parseArchive(data []byte) (r Archive, ok bool) {
	if json.Unmarshal(data, &r) != nil || r.Version != archiveVersion || r.Archived.IsZero() {
		return r, false
	}
	dir, err := volume.ParseDir(string(r.Dir))
	return r, err == nil && dir == r.Dir && isArchiveName(dir)
}

// isArchiveName says whether an archive may be called so. A record that says otherwise was forged to have something removed.
func isArchiveName(dir volume.Dir) bool {
	return strings.HasPrefix(string(dir), volume.ArchivePrefix) || strings.HasPrefix(path.Base(string(dir)), volume.ArchivePrefix)
}

// Archives reads all records, by their files' names.
func (s *Remover) Archives(ctx context.Context) ([]Archive, error) {
	infos, err := s.FS.ReadDir(ctx, registry.ArchivesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the archives: %w", err)
	}
	var all []Archive
	for files := range slices.Chunk(infos, readers) {
		records := make([]Archive, len(files))
		whole := make([]bool, len(files))
		var calls []func() error
		for i, info := range files {
			key, is := strings.CutSuffix(info.Name(), registry.RecordSuffix)
			if !is {
				continue
			}
			calls = append(calls, func() (err error) { records[i], whole[i], err = s.ReadArchive(ctx, key); return err })
		}
		if err := registry.Together(calls...); err != nil {
			return nil, err
		}
		for i, r := range records {
			if whole[i] {
				all = append(all, r)
			}
		}
	}
	return all, nil
}

// Is says whether info describes the directory that was archived, as far as one can tell.
func (r Archive) Is(info fs.FileInfo) bool {
	return info.IsDir() && (r.Inode == 0 || inode(info) == r.Inode)
}

// archiveAbove says whether one of the directories above dir is an archive, with which what is in it would go.
func (s *Remover) archiveAbove(ctx context.Context, dir volume.Dir) (bool, error) {
	parents := dir.Parents()
	found := make([]fs.FileInfo, len(parents))
	var calls []func() error
	for i, p := range parents {
		calls = append(calls, func() (err error) { found[i], err = s.Lstat(ctx, registry.ArchivePath(p)); return err })
	}
	err := registry.Together(calls...)
	return slices.ContainsFunc(found, func(info fs.FileInfo) bool { return info != nil }), err
}

// archiveBelow answers which of all archives is below dir and still there, "" if none is.
func (s *Remover) archiveBelow(ctx context.Context, all []Archive, dir volume.Dir) (volume.Dir, error) {
	for _, r := range all {
		if !strings.HasPrefix(string(r.Dir), string(dir)+"/") {
			continue
		}
		info, err := s.Lstat(ctx, string(r.Dir))
		if err != nil || info != nil && r.Is(info) {
			return r.Dir, err
		}
	}
	return "", nil
}
