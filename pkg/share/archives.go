package share

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

// Archived is the directory of a deleted volume that was kept by its policy.
type Archived struct {
	Dir      volume.Dir // where it is now
	Volume   string     // the name of the volume
	Archived time.Time
	Expires  time.Time // when it is removed; zero: never
}

// archiveRecord is the file archives/KEY.json, KEY being [volume.Key] of the archive's directory. It is written after
// the directory was moved there, while the deletion holds the name, and goes after the directory.
type archiveRecord struct {
	Version  int        `json:"version"`
	Dir      volume.Dir `json:"directory"`
	Inode    uint64     `json:"inode"` // of the directory, 0 where the server tells none: then it never expires
	Volume   string     `json:"volume"`
	Archived time.Time  `json:"archived"`
	Expires  time.Time  `json:"expires,omitzero"`
}

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
	r := archiveRecord{Version: archiveVersion, Dir: target, Inode: inode(info), Volume: d.id.Name(), Archived: now}
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
	d.ledger.archived(r.Archived)
	if !r.Expires.IsZero() {
		d.visit(r.Expires)
	}
	return nil
}

// readArchive reads one record; false for what is none.
func (s *share) readArchive(ctx context.Context, file string) (r archiveRecord, ok bool, err error) {
	data, err := s.FS.ReadFile(ctx, registry.ArchivesDir+"/"+file, registry.MaxRecord)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(failure.Kind(err, s.Classify), volume.ErrInvalid) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("reading the record of an archive: %w", err)
	}
	r, ok = parseArchive(data)
	return r, ok && path.Base(registry.ArchivePath(r.Dir)) == file, nil
}

func parseArchive(data []byte) (r archiveRecord, ok bool) {
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

// archives reads all records, by their files' names.
func (s *share) archives(ctx context.Context) ([]archiveRecord, error) {
	infos, err := s.FS.ReadDir(ctx, registry.ArchivesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the archives: %w", err)
	}
	var all []archiveRecord
	for files := range slices.Chunk(infos, readers) {
		records := make([]archiveRecord, len(files))
		whole := make([]bool, len(files))
		var calls []func() error
		for i, info := range files {
			calls = append(calls, func() (err error) { records[i], whole[i], err = s.readArchive(ctx, info.Name()); return err })
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

// Archives lists the archived volumes on the share at l that are there.
func (m *Manager) Archives(ctx context.Context, l volume.Location) ([]Archived, error) {
	var list []Archived
	err := m.on(ctx, "archives", l, nil, func(s *share) error {
		all, err := s.archives(ctx)
		for _, r := range all {
			var info fs.FileInfo
			if info, err = s.Lstat(ctx, string(r.Dir)); err != nil {
				break
			}
			if info != nil && r.is(info) {
				list = append(list, r.public())
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Archived) int { return strings.Compare(string(a.Dir), string(b.Dir)) })
	return list, nil
}

func (r archiveRecord) public() Archived {
	return Archived{Dir: r.Dir, Volume: r.Volume, Archived: r.Archived, Expires: r.Expires}
}

// is says whether info describes the directory that was archived, as far as one can tell.
func (r archiveRecord) is(info fs.FileInfo) bool {
	return info.IsDir() && (r.Inode == 0 || inode(info) == r.Inode)
}
