package importing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Export is the share as this package reads it; nothing is written. Names are relative to the share, "." the share itself, and
// links are not followed. Errors match those of io/fs.
type Export interface {
	ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error)
	ReadFile(ctx context.Context, name string, limit int64) ([]byte, error)
	Lstat(ctx context.Context, name string) (fs.FileInfo, error)
}

const (
	recordsDir   = volume.Reserved + "/volumes"
	recordSuffix = ".json"
	maxRecord    = 64 << 10
)

// found is a volume on the export.
type found struct {
	record   volume.Record
	recorded bool
	wrong    string // why it is no volume that anybody could use
	rival    string // another volume whose record names the directory, too
}

// find reads the records, and the names of directories that have none if they are asked for.
func (c Config) find(ctx context.Context) ([]found, error) {
	all, err := c.records(ctx)
	findRivals(all)
	if err != nil || !c.Directories {
		return all, err
	}
	infos, err := c.Export.ReadDir(ctx, ".")
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", c.Location, err)
	}
	taken := map[volume.Dir]bool{}
	for _, f := range all {
		taken[f.record.Dir] = true
	}
	for _, info := range infos {
		if f, ok := fromName(info); ok && !taken[f.record.Dir] {
			all = append(all, f)
		}
	}
	return all, nil
}

// findRivals compares the records. A creation that died may have left one of a directory that another volume has got since.
func findRivals(all []found) {
	first := map[volume.Dir]*found{}
	for i := range all {
		f := &all[i]
		if f.wrong != "" {
			continue
		}
		if other := first[f.record.Dir]; other != nil {
			f.rival, other.rival = other.record.Name, f.record.Name
		} else {
			first[f.record.Dir] = f
		}
	}
}

func (c Config) records(ctx context.Context) ([]found, error) {
	files, err := c.Export.ReadDir(ctx, recordsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the records of %s: %w", c.Location, err)
	}
	var all []found
	for _, file := range files {
		key, ok := strings.CutSuffix(file.Name(), recordSuffix)
		if !ok {
			continue
		}
		data, err := c.Export.ReadFile(ctx, recordsDir+"/"+file.Name(), maxRecord)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("reading the record %q of %s: %w", file.Name(), c.Location, err)
		}
		r, err := volume.ParseRecord(data)
		if err != nil || volume.Key(r.Name) != key {
			continue // torn, or somebody else's: the driver does not count it either
		}
		f := found{record: r, recorded: true}
		if f.wrong, err = c.wrong(ctx, r); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (c Config) wrong(ctx context.Context, r volume.Record) (string, error) {
	switch {
	case r.Retained:
		return "it was deleted, and its directory kept (onDelete: retain)", nil
	case r.Source != "" && r.Copy == "":
		return "it was never filled completely from its source", nil
	}
	info, err := c.Export.Lstat(ctx, string(r.Dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "its directory is not there", nil
	case err != nil:
		return "", fmt.Errorf("looking at %q on %s: %w", r.Dir, c.Location, err)
	case !info.IsDir():
		return "what has its directory's name is no directory", nil
	}
	return "", nil
}

// provisioned is the end of a directory's name that the default of nfs-subdir-external-provisioner, and ours, gives:
// namespace-claim-pvc-UID.
var provisioned = regexp.MustCompile(`^(.+)-(pvc-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// fromName reads a directory without a record. Its claim is namespace-claim still, see [cluster.claimOf].
func fromName(info fs.FileInfo) (found, bool) {
	m := provisioned.FindStringSubmatch(info.Name())
	dir, err := volume.ParseDir(info.Name())
	if m == nil || err != nil || !info.IsDir() || strings.HasPrefix(info.Name(), volume.ArchivePrefix) {
		return found{}, false
	}
	return found{record: volume.Record{Name: m[2], Dir: dir, Policy: volume.Archive, Claim: m[1]}}, true
}
