package share

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/removing"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Archived is the directory of a deleted volume that was kept by its policy.
type Archived struct {
	Dir      volume.Dir // where it is now
	Volume   string     // the name of the volume
	Archived time.Time
	Expires  time.Time // when it is removed; zero: never
}

// Archives lists the archived volumes on the share at l that are there.
func (m *Manager) Archives(ctx context.Context, l volume.Location) ([]Archived, error) {
	var list []Archived
	err := m.on(ctx, "archives", l, nil, func(s *share) error {
		all, err := s.remover.Archives(ctx)
		for _, r := range all {
			var info fs.FileInfo
			if info, err = s.Lstat(ctx, string(r.Dir)); err != nil {
				break
			}
			if info != nil && r.Is(info) {
				list = append(list, archivedOf(r))
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

func archivedOf(r removing.Archive) Archived {
	return Archived{Dir: r.Dir, Volume: r.Volume, Archived: r.Archived, Expires: r.Expires}
}
