package share

import (
	"context"
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

// Survey is everything on a share that has to do with volumes, as one look shows it. Others may be changing it meanwhile.
type Survey struct {
	Volumes      []SurveyedVolume
	Snapshots    []SurveyedSnapshot
	Archives     []SurveyedArchive
	Trash        []SurveyedPart
	Staging      []SurveyedPart
	Reservations []Reservation       // of directories for volumes that have no record
	Directories  []SurveyedDirectory // of which nothing is recorded: predecessors' volumes, retained ones, anybody's
	Damaged      []string            // files that should be records and are none, by their paths on the share
}

// SurveyedVolume is a volume that has a record.
type SurveyedVolume struct {
	Record   volume.Record
	Recorded time.Time   // when the record was written last, by the server's clock
	Info     fs.FileInfo // of the directory; nil: it is not there
	Filled   bool        // false: it is still being filled from its source
}

// SurveyedSnapshot is a snapshot that has a record; Whole: and its content.
type SurveyedSnapshot struct {
	Record volume.SnapshotRecord
	Whole  bool
}

// SurveyedArchive is an archived volume. There: its directory is, and is the one that was archived.
type SurveyedArchive struct {
	Archived
	There bool
}

// SurveyedPart is something in the trash or in staging.
type SurveyedPart struct {
	Name    string
	Of      string    // the key of what it belongs or belonged to, "" where that cannot be told
	Since   time.Time // when it came there
	Deleted bool      // in staging: a directory that a deletion has moved there and has not come further with
}

// Reservation is the reservation of a directory for a volume that has no record: being made just now, or left by a crash.
type Reservation struct {
	Name string // of the link: the directory's [volume.Key]
	For  string // the volume's
	Made time.Time
}

// SurveyedDirectory is a directory on the share.
type SurveyedDirectory struct {
	Dir  string // relative to the share; any bytes
	Info fs.FileInfo
}

// Survey looks at everything on the share at l. It changes nothing, where Config.Passive is set.
func (m *Manager) Survey(ctx context.Context, l volume.Location, mountOptions []string) (Survey, error) {
	var all Survey
	err := m.on(ctx, "survey", l, mountOptions, func(s *share) error {
		v := surveyor{share: s, survey: &all}
		for _, look := range []func(context.Context) error{v.directories, v.volumes, v.reservations, v.snapshots, v.archived, v.trash, v.staging} {
			if err := look(ctx); err != nil {
				return err
			}
		}
		v.strangers()
		return nil
	})
	return all, err
}

// surveyor makes one survey.
type surveyor struct {
	*share
	survey *Survey
	known  map[string]bool // directories that belong to something recorded
	parent map[string][]fs.FileInfo
}

// directories lists the share itself. It comes first: what is made later has its record by the time that is read.
func (v *surveyor) directories(ctx context.Context) (err error) {
	v.known, v.parent = map[string]bool{volume.Reserved: true}, map[string][]fs.FileInfo{}
	v.parent["."], err = v.list(ctx, ".")
	return err
}

// list is ReadDir of what may not be there.
func (v *surveyor) list(ctx context.Context, dir string) ([]fs.FileInfo, error) {
	infos, err := v.FS.ReadDir(ctx, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing %q on the share: %w", dir, err)
	}
	return infos, nil
}

// records reads every record in a directory, some at once. read answers false for what is none.
func (v *surveyor) records(ctx context.Context, dir string, read func(key string, info fs.FileInfo) (keep func(), ok bool, err error)) error {
	infos, err := v.list(ctx, dir)
	if err != nil {
		return err
	}
	infos = slices.DeleteFunc(infos, func(info fs.FileInfo) bool { return !strings.HasSuffix(info.Name(), registry.RecordSuffix) })
	for some := range slices.Chunk(infos, readers) {
		keep, ok := make([]func(), len(some)), make([]bool, len(some))
		calls := make([]func() error, len(some))
		for i, info := range some {
			calls[i] = func() (err error) {
				keep[i], ok[i], err = read(strings.TrimSuffix(info.Name(), registry.RecordSuffix), info)
				if errors.Is(failure.Kind(err, v.Classify), volume.ErrInvalid) {
					err = nil
				}
				return err
			}
		}
		if err := registry.Together(calls...); err != nil {
			return err
		}
		for i, info := range some {
			if ok[i] {
				keep[i]()
			} else {
				v.survey.Damaged = append(v.survey.Damaged, dir+"/"+info.Name())
			}
		}
	}
	return nil
}

func (v *surveyor) volumes(ctx context.Context) error {
	return v.records(ctx, registry.VolumesDir, func(key string, written fs.FileInfo) (func(), bool, error) {
		r, found, err := v.ReadRecord(ctx, key)
		if err != nil || found != registry.Whole {
			return func() {}, found == registry.NoRecord, err // gone meanwhile
		}
		seen := SurveyedVolume{Record: r, Recorded: written.ModTime(), Filled: true}
		seen.Info, err = v.Lstat(ctx, string(r.Dir))
		if err == nil && r.Source != "" {
			seen.Filled, err = v.Filled(ctx, r)
		}
		return func() {
			v.known[string(r.Dir)] = true
			v.survey.Volumes = append(v.survey.Volumes, seen)
		}, true, err
	})
}

// reservations lists those whose volume has no record now: the records were read before, so what is new has one.
func (v *surveyor) reservations(ctx context.Context) error {
	infos, err := v.list(ctx, registry.DirectoriesDir)
	if err != nil {
		return err
	}
	recorded := map[string]bool{}
	for _, seen := range v.survey.Volumes {
		recorded[volume.Key(seen.Record.Name)] = true
	}
	for _, info := range infos {
		target, err := v.FS.Readlink(ctx, registry.DirectoriesDir+"/"+info.Name())
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the reservation %q: %w", info.Name(), err)
		}
		owner, ok := registry.OwnerIn(target)
		if !ok || recorded[owner] {
			continue
		}
		if _, found, err := v.ReadRecord(ctx, owner); err != nil {
			return err
		} else if found == registry.NoRecord {
			v.survey.Reservations = append(v.survey.Reservations, Reservation{Name: info.Name(), For: owner, Made: info.ModTime()})
		}
	}
	return nil
}

func (v *surveyor) snapshots(ctx context.Context) error {
	return v.records(ctx, registry.SnapshotsDir, func(key string, _ fs.FileInfo) (func(), bool, error) {
		st, err := v.copier.LookAtSnapshot(ctx, key)
		if err != nil || st.Found != registry.Whole {
			return func() {}, st.Found == registry.NoRecord, err
		}
		return func() {
			v.survey.Snapshots = append(v.survey.Snapshots, SurveyedSnapshot{Record: st.Record, Whole: st.Complete()})
		}, true, nil
	})
}

func (v *surveyor) archived(ctx context.Context) error {
	return v.records(ctx, registry.ArchivesDir, func(key string, _ fs.FileInfo) (func(), bool, error) {
		r, ok, err := v.remover.ReadArchive(ctx, key)
		if err != nil || !ok {
			return func() {}, false, err
		}
		info, err := v.Lstat(ctx, string(r.Dir))
		return func() {
			v.known[string(r.Dir)] = true
			v.survey.Archives = append(v.survey.Archives, SurveyedArchive{archivedOf(r), info != nil && r.Is(info)})
		}, true, err
	})
}

func (v *surveyor) trash(ctx context.Context) error {
	infos, err := v.list(ctx, registry.TrashDir)
	for _, info := range infos {
		p := SurveyedPart{Name: info.Name(), Since: info.ModTime()}
		if at, told := registry.TrashedAt(info.Name()); told {
			parts := strings.Split(info.Name(), "-")
			p.Since, p.Of = at, strings.Join(parts[:len(parts)-2], "-")
		}
		v.survey.Trash = append(v.survey.Trash, p)
	}
	return err
}

func (v *surveyor) staging(ctx context.Context) error {
	infos, err := v.ListStaging(ctx)
	for _, info := range infos {
		kind, key, _ := registry.StagedBy(info.Name())
		v.survey.Staging = append(v.survey.Staging, SurveyedPart{Name: info.Name(), Of: key, Since: info.ModTime(), Deleted: kind == registry.OfDeleted && info.IsDir()})
	}
	if err != nil {
		return err
	}
	return v.parents(ctx)
}

// parents lists the directories that are above something known, which are nobody's themselves.
func (v *surveyor) parents(ctx context.Context) error {
	above := map[string]bool{}
	for dir := range v.known {
		for up := path.Dir(dir); up != "."; up = path.Dir(up) {
			above[up] = !v.known[up]
		}
	}
	for dir, list := range above {
		if !list {
			continue
		}
		infos, err := v.list(ctx, dir)
		if err != nil && !errors.Is(failure.Kind(err, v.Classify), volume.ErrInvalid) {
			return err
		}
		v.parent[dir] = infos
	}
	return nil
}

// strangers are the directories beside those that are known.
func (v *surveyor) strangers() {
	for dir, infos := range v.parent {
		for _, info := range infos {
			name := path.Join(dir, info.Name())
			_, above := v.parent[name]
			if info.IsDir() && !v.known[name] && !above && !strings.HasPrefix(info.Name(), registry.BesidePrefix) {
				v.survey.Directories = append(v.survey.Directories, SurveyedDirectory{Dir: name, Info: info})
			}
		}
	}
	slices.SortFunc(v.survey.Directories, func(a, b SurveyedDirectory) int { return strings.Compare(a.Dir, b.Dir) })
}
