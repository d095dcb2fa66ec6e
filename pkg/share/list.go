package share

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// readers bounds how many records are read at once.
const readers = 16

// position is a place in the list of all volumes: after a record file of a location.
type position struct {
	location string
	file     string
}

// token prints p so that it says nothing to its reader.
func (p position) token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.location)) + "." + base64.RawURLEncoding.EncodeToString([]byte(p.file))
}

// parseToken reads what [position.token] printed for one of the locations.
func parseToken(token string, locations []volume.Location) (position, error) {
	if token == "" {
		return position{}, nil
	}
	first, second, ok := strings.Cut(token, ".")
	location, badLocation := base64.RawURLEncoding.DecodeString(first)
	file, badFile := base64.RawURLEncoding.DecodeString(second)
	p := position{string(location), string(file)}
	known := slices.ContainsFunc(locations, func(l volume.Location) bool { return l.String() == p.location })
	if badLocation != nil || badFile != nil || !ok || !known || !strings.HasSuffix(p.file, registry.RecordSuffix) {
		return position{}, fmt.Errorf("%w: start again from the first page", volume.ErrToken)
	}
	return p, nil
}

// List answers up to max volumes (0: all) after token, by location and then by name, and the token for the next ones.
// It knows the volumes that have a record, on the locations of [Config] and those used since. When one of them cannot be
// asked there is no list: a volume that is not listed counts as gone with those who ask.
func (m *Manager) List(ctx context.Context, token string, max int) (volumes []volume.Volume, next string, err error) {
	page := page[volume.Volume]{dir: registry.VolumesDir, max: max, read: (*share).listed}
	err = m.list(ctx, "list", m.pool.Locations(), nil, token, &page)
	if err != nil {
		return nil, "", err
	}
	volumes, next = page.cut()
	return volumes, next, nil
}

// listed reads a volume for a list. One that is being filled, or was deleted, is none.
func (s *share) listed(ctx context.Context, key string) (v volume.Volume, ok bool, err error) {
	r, found, err := s.ReadRecord(ctx, key)
	if err != nil || found != registry.Whole || r.Retained {
		return volume.Volume{}, false, err
	}
	if r.Source != "" {
		if filled, err := s.Filled(ctx, r); err != nil || !filled {
			return volume.Volume{}, false, err
		}
	}
	return r.Volume(s.Location), true, nil
}

// ListSnapshots answers up to max snapshots (0: all) of those that f chooses, as [Manager.List] does volumes. Snapshots of
// csi-driver-nfs are found by their ID only.
func (m *Manager) ListSnapshots(ctx context.Context, f volume.SnapshotFilter, token string, max int) (snapshots []volume.Snapshot, next string, err error) {
	if f.ID != nil {
		snapshots, err = m.findSnapshot(ctx, f)
		return snapshots, "", err
	}
	locations := m.pool.Locations()
	if f.Source != nil {
		locations = []volume.Location{f.Source.Location}
	}
	page := page[volume.Snapshot]{dir: registry.SnapshotsDir, max: max, read: func(s *share, ctx context.Context, key string) (volume.Snapshot, bool, error) {
		st, err := s.copier.LookAtSnapshot(ctx, key)
		snapshot := st.Record.Snapshot(s.Location)
		return snapshot, err == nil && st.Complete() && chosen(f, snapshot), err
	}}
	if err := m.list(ctx, "listsnapshots", locations, f.MountOptions, token, &page); err != nil {
		return nil, "", err
	}
	snapshots, next = page.cut()
	return snapshots, next, nil
}

// chosen says whether f chooses a snapshot by its source. The handle of a volume stays as it is, but for the policy,
// which older handles spell in more than one way.
func chosen(f volume.SnapshotFilter, s volume.Snapshot) bool {
	if f.Source == nil {
		return true
	}
	source, err := volume.ParseID(s.Source)
	return err == nil && source.Location == f.Source.Location && source.Dir == f.Source.Dir && source.Name() == f.Source.Name()
}

func (m *Manager) findSnapshot(ctx context.Context, f volume.SnapshotFilter) (found []volume.Snapshot, err error) {
	err = m.on(ctx, "listsnapshots", f.ID.Location, f.MountOptions, func(s *share) error {
		snapshot, ok, err := s.copier.FindSnapshot(ctx, *f.ID)
		if err == nil && ok && chosen(f, snapshot) {
			found = append(found, snapshot)
		}
		return err
	})
	return found, err
}

// lister is a page of anything.
type lister interface {
	full() bool
	add(ctx context.Context, s *share, after string) error
}

// list adds to a page what comes after token, location by location.
func (m *Manager) list(ctx context.Context, op string, locations []volume.Location, mountOptions []string, token string, page lister) error {
	slices.SortFunc(locations, func(a, b volume.Location) int { return strings.Compare(a.String(), b.String()) })
	from, err := parseToken(token, locations)
	if err != nil {
		return err
	}
	for _, l := range locations {
		if page.full() || l.String() < from.location {
			continue
		}
		after := ""
		if l.String() == from.location {
			after = from.file
		}
		if err := m.on(ctx, op, l, mountOptions, func(s *share) error { return page.add(ctx, s, after) }); err != nil {
			return err
		}
	}
	return nil
}

// page collects what has record files in dir, up to one more than asked for, which tells whether there is a next page.
type page[T any] struct {
	dir   string
	max   int
	read  func(s *share, ctx context.Context, key string) (item T, ok bool, err error)
	items []T
	at    []position
}

func (p *page[T]) full() bool { return p.max > 0 && len(p.items) > p.max }

func (p *page[T]) cut() (items []T, next string) {
	if !p.full() {
		return p.items, ""
	}
	return p.items[:p.max], p.at[p.max-1].token()
}

// add reads the records of one share that come after a file, only as many as the page needs.
func (p *page[T]) add(ctx context.Context, s *share, after string) error {
	infos, err := s.FS.ReadDir(ctx, p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing the records: %w", err)
	}
	var files []string
	for _, info := range infos {
		if name := info.Name(); name > after && strings.HasSuffix(name, registry.RecordSuffix) {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	for len(files) > 0 && !p.full() {
		n := min(len(files), readers)
		if p.max > 0 {
			n = min(n, p.max+1-len(p.items))
		}
		if err := p.readAll(ctx, s, files[:n]); err != nil {
			return err
		}
		files = files[n:]
	}
	return nil
}

// readAll adds what some record files stand for. A record that has gone meanwhile or is torn is nothing.
func (p *page[T]) readAll(ctx context.Context, s *share, files []string) error {
	items := make([]T, len(files))
	ok := make([]bool, len(files))
	calls := make([]func() error, len(files))
	for i, file := range files {
		calls[i] = func() (err error) {
			items[i], ok[i], err = p.read(s, ctx, strings.TrimSuffix(file, registry.RecordSuffix))
			if errors.Is(failure.Kind(err, s.Classify), volume.ErrInvalid) {
				s.Log.Warn("passing over what is no record", "location", s.Location.String(), "err", err)
				return nil
			}
			return err
		}
	}
	if err := registry.Together(calls...); err != nil {
		return err
	}
	for i, item := range items {
		if ok[i] {
			p.items = append(p.items, item)
			p.at = append(p.at, position{s.Location.String(), files[i]})
		}
	}
	return nil
}
