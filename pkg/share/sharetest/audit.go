package sharetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Audit reports in what a share differs from one that holds exactly these volumes, whole, and nothing else of ours:
// records, reservations, snapshots and files half made or left behind. It does not look into the trash.
func Audit(ctx context.Context, fsys share.FS, volumes ...volume.Volume) error {
	return AuditAll(ctx, fsys, volumes, nil)
}

// AuditAll is [Audit] of a share that holds exactly these volumes and these snapshots.
func AuditAll(ctx context.Context, fsys share.FS, volumes []volume.Volume, snapshots []volume.Snapshot) error {
	var records, links, taken []string
	var errs []error
	for _, s := range snapshots {
		key := volume.Key(s.ID.Name)
		taken = append(taken, key, key+".json")
		errs = append(errs, auditSnapshot(ctx, fsys, s))
	}
	for _, v := range volumes {
		records = append(records, volume.Key(v.ID.Name())+".json")
		links = append(links, volume.Key(string(v.ID.Dir)))
		errs = append(errs, auditVolume(ctx, fsys, v))
	}
	errs = append(errs, auditNames(ctx, fsys, "volumes", records), auditNames(ctx, fsys, "directories", links),
		auditNames(ctx, fsys, "staging", nil), auditNames(ctx, fsys, "snapshots", taken))
	return errors.Join(errs...)
}

func auditSnapshot(ctx context.Context, fsys share.FS, s volume.Snapshot) error {
	name := path.Join(volume.Reserved, "snapshots", volume.Key(s.ID.Name))
	data, err := fsys.ReadFile(ctx, name+".json", 1<<20)
	if err != nil {
		return fmt.Errorf("record of snapshot %q: %w", s.ID.Name, err)
	}
	r, err := volume.ParseSnapshotRecord(data)
	if err != nil {
		return fmt.Errorf("record of snapshot %q: %w", s.ID.Name, err)
	}
	if got := (volume.Snapshot{ID: r.ID(s.ID.Location), Source: r.Source, SizeBytes: r.SizeBytes, Created: r.Created}); got != s {
		return fmt.Errorf("snapshot %+v is recorded as %+v", s, got)
	}
	info, err := fsys.Lstat(ctx, name)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("it is %v", info.Mode())
	}
	if err != nil {
		return fmt.Errorf("tree of snapshot %q: %w", s.ID.Name, err)
	}
	return nil
}

func auditVolume(ctx context.Context, fsys share.FS, v volume.Volume) error {
	key := volume.Key(v.ID.Name()) + ".json"
	data, err := fsys.ReadFile(ctx, path.Join(volume.Reserved, "volumes", key), 1<<20)
	if err != nil {
		return fmt.Errorf("record of %q: %w", v.ID.Name(), err)
	}
	r, err := volume.ParseRecord(data)
	if err != nil {
		return fmt.Errorf("record of %q: %w", v.ID.Name(), err)
	}
	target, err := fsys.Readlink(ctx, path.Join(volume.Reserved, "directories", volume.Key(string(v.ID.Dir))))
	if err != nil {
		return fmt.Errorf("reservation of %q: %w", v.ID.Dir, err)
	}
	info, err := fsys.Lstat(ctx, string(v.ID.Dir))
	switch {
	case err != nil:
		return fmt.Errorf("directory of %q: %w", v.ID.Name(), err)
	case !info.IsDir():
		return fmt.Errorf("directory of %q is %v", v.ID.Name(), info.Mode())
	case r.ID(v.ID.Location) != v.ID:
		return fmt.Errorf("record of %v says %v", v.ID, r.ID(v.ID.Location))
	case r.CapacityBytes != v.CapacityBytes || !r.Created.Equal(v.Created):
		return fmt.Errorf("volume %+v is recorded as %+v", v, r)
	case target != "../volumes/"+key:
		return fmt.Errorf("directory %q is reserved for %q, not for %q", v.ID.Dir, target, key)
	}
	return nil
}

// AuditMarks checks that what is marked as made above others is there. What a failure left goes when the share is opened next.
func AuditMarks(ctx context.Context, fsys share.FS) error {
	dir := path.Join(volume.Reserved, "parents")
	infos, err := fsys.ReadDir(ctx, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listing marks: %w", err)
	}
	for _, info := range infos {
		target, err := fsys.Readlink(ctx, path.Join(dir, info.Name()))
		if err != nil {
			return fmt.Errorf("mark %q: %w", info.Name(), err)
		}
		at := path.Join(dir, target)
		marked, err := fsys.Lstat(ctx, at)
		if err == nil && (!marked.IsDir() || volume.Key(at) != info.Name()) {
			err = fmt.Errorf("it is %v", marked.Mode())
		}
		if err != nil {
			return fmt.Errorf("mark %q is of %q: %w", info.Name(), at, err)
		}
	}
	return nil
}

func auditNames(ctx context.Context, fsys share.FS, dir string, want []string) error {
	infos, err := fsys.ReadDir(ctx, path.Join(volume.Reserved, dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listing %s: %w", dir, err)
	}
	var got []string
	for _, info := range infos {
		got = append(got, info.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s holds %q, want %q", dir, strings.Join(got, " "), strings.Join(want, " "))
	}
	return nil
}
