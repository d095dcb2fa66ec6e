package share

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

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
	return base64.RawURLEncoding.EncodeToString([]byte(p.location + "\n" + p.file))
}

// parseToken reads what [position.token] printed for one of the locations.
func parseToken(token string, locations []volume.Location) (position, error) {
	if token == "" {
		return position{}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	location, file, ok := strings.Cut(string(text), "\n")
	known := slices.ContainsFunc(locations, func(l volume.Location) bool { return l.String() == location })
	if err != nil || !ok || !known || !strings.HasSuffix(file, recordSuffix) {
		return position{}, fmt.Errorf("%w: start again from the first page", volume.ErrToken)
	}
	return position{location, file}, nil
}

// List answers up to max volumes (0: all) after token, by location and then by name, and the token for the next ones.
// It knows the volumes that have a record, on the locations of [Config] and those used since.
func (m *Manager) List(ctx context.Context, token string, max int) (volumes []volume.Volume, next string, err error) {
	locations := m.pool.locations()
	slices.SortFunc(locations, func(a, b volume.Location) int { return strings.Compare(a.String(), b.String()) })
	from, err := parseToken(token, locations)
	if err != nil {
		return nil, "", err
	}
	page := page{max: max}
	for _, l := range locations {
		if page.full() || l.String() < from.location {
			continue
		}
		after := ""
		if l.String() == from.location {
			after = from.file
		}
		if err := m.on(ctx, "list", l, nil, func(s *share) error { return page.add(ctx, s, after) }); err != nil {
			return nil, "", err
		}
	}
	volumes, next = page.cut()
	return volumes, next, nil
}

// page collects volumes up to one more than asked for, which tells whether there is a next page.
type page struct {
	max     int
	volumes []volume.Volume
	at      []position
}

func (p *page) full() bool { return p.max > 0 && len(p.volumes) > p.max }

func (p *page) cut() (volumes []volume.Volume, next string) {
	if !p.full() {
		return p.volumes, ""
	}
	return p.volumes[:p.max], p.at[p.max-1].token()
}

// add reads the records of one share that come after a file, only as many as the page needs.
func (p *page) add(ctx context.Context, s *share, after string) error {
	infos, err := s.fs.ReadDir(ctx, volumesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing the records: %w", err)
	}
	var files []string
	for _, info := range infos {
		if name := info.Name(); name > after && strings.HasSuffix(name, recordSuffix) {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	for len(files) > 0 && !p.full() {
		n := min(len(files), readers)
		if p.max > 0 {
			n = min(n, p.max+1-len(p.volumes))
		}
		if err := p.read(ctx, s, files[:n]); err != nil {
			return err
		}
		files = files[n:]
	}
	return nil
}

// read adds the volumes of some record files. A record that has gone meanwhile or is torn is no volume.
func (p *page) read(ctx context.Context, s *share, files []string) error {
	records := make([]volume.Record, len(files))
	found := make([]recordState, len(files))
	calls := make([]func() error, len(files))
	for i, file := range files {
		calls[i] = func() (err error) {
			records[i], found[i], err = s.readRecord(ctx, strings.TrimSuffix(file, recordSuffix))
			if errors.Is(kindOf(err, s.classify), volume.ErrInvalid) {
				s.log.Warn("passing over what is no record", "location", s.location.String(), "err", err)
				return nil
			}
			return err
		}
	}
	if err := together(calls...); err != nil {
		return err
	}
	for i, r := range records {
		if found[i] == whole {
			p.volumes = append(p.volumes, volumeOf(r, s.location))
			p.at = append(p.at, position{s.location.String(), files[i]})
		}
	}
	return nil
}
