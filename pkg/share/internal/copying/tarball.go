package copying

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// tarballSuffixes are what csi-driver-nfs puts behind a snapshot's source, compressed and not.
var tarballSuffixes = [...]string{".tar.gz", ".tar"}

// tarball is a snapshot of csi-driver-nfs: the file NAME/SOURCE.tar.gz or NAME/SOURCE.tar on the share.
type tarball struct {
	path  string      // on the share
	info  fs.FileInfo // nil: there is none
	alone bool        // nothing else is in its directory
}

// sameTarball says whether nobody has replaced or changed a tarball. There may be none twice.
func sameTarball(a, b tarball) bool {
	if a.info == nil || b.info == nil {
		return a.info == nil && b.info == nil
	}
	return a.path == b.path && a.info.Size() == b.info.Size() && a.info.ModTime().Equal(b.info.ModTime())
}

// FindSnapshot looks for the snapshot with handle id, or one of csi-driver-nfs.
func (s *Copier) FindSnapshot(ctx context.Context, id volume.SnapshotID) (found volume.Snapshot, ok bool, err error) {
	st, err := s.lookAtSnapshot(ctx, id.Name)
	if err != nil {
		return volume.Snapshot{}, false, err
	}
	if st.Complete() && st.Record.ID(s.Location) == id {
		return st.Record.Snapshot(s.Location), true, nil
	}
	old, err := s.findTarball(ctx, id)
	if err != nil || old.info == nil {
		return volume.Snapshot{}, false, err
	}
	return volume.Snapshot{ID: id, Created: old.info.ModTime()}, true, nil
}

// findTarball looks for a snapshot of csi-driver-nfs. A directory of that name that belongs to a volume is none.
func (s *Copier) findTarball(ctx context.Context, id volume.SnapshotID) (tarball, error) {
	owner, err := s.ReservedFor(ctx, volume.Dir(id.Name))
	if err != nil || owner != "" {
		return tarball{}, err
	}
	found := tarball{path: id.Name, alone: true}
	elements := strings.Split(id.Source, "/")
	for i, e := range elements {
		infos, err := s.FS.ReadDir(ctx, found.path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(failure.Kind(err, s.Classify), volume.ErrInvalid) {
			return tarball{}, nil // there is none, or something that is no directory
		}
		if err != nil {
			return tarball{}, fmt.Errorf("looking for a snapshot in %q: %w", found.path, err)
		}
		found.alone = found.alone && len(infos) == 1
		info := pick(infos, e, i == len(elements)-1)
		if info == nil {
			return tarball{}, nil
		}
		found.path += "/" + info.Name()
		found.info = info
	}
	return found, nil
}

// pick finds the directory of an element, or its tarball where it is the last one.
func pick(infos []fs.FileInfo, element string, last bool) fs.FileInfo {
	for _, info := range infos {
		if !last && info.IsDir() && info.Name() == element {
			return info
		}
		for _, suffix := range tarballSuffixes {
			if last && info.Mode().IsRegular() && info.Name() == element+suffix {
				return info
			}
		}
	}
	return nil
}

// deleteTarball moves the directory of a snapshot of csi-driver-nfs into the trash, if it holds that and nothing else.
func (s *Copier) deleteTarball(ctx context.Context, id volume.SnapshotID) error {
	found, err := s.findTarball(ctx, id)
	if err != nil || found.info == nil {
		return err
	}
	if !found.alone {
		return fmt.Errorf("%w: directory %q holds more than the snapshot %q: nothing is deleted; move the rest away", volume.ErrInvalid, id.Name, found.path)
	}
	if err := s.Ensure(ctx); err != nil {
		return err
	}
	_, err = s.Discard(ctx, id.Name, registry.SnapshotKey(id.Name))
	return err
}
