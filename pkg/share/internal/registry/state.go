package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// State is what a share holds of one volume and its directory.
type State struct {
	Key    string // of the volume
	Dir    volume.Dir
	Found  Found
	Record volume.Record // if [Whole]
	Owner  string        // key of the volume that the directory is reserved for; "": of none
	Info   fs.FileInfo   // of the directory; nil: there is none
	Above  string        // key of another volume that has a directory above, "" if none has
}

// ErrExpiring says that a directory is reserved for the removal of an archive.
var ErrExpiring = errors.New("an archive is just being removed there")

// Found is what there is of a record.
type Found int

const (
	// NoRecord is none.
	NoRecord Found = iota
	// Torn is a record that a crash cut short, or that somebody else wrote. It counts as not there, and is replaced.
	Torn
	// Whole is a record that can be read and is the volume's.
	Whole
)

// Ours says that the directory is reserved for the volume itself.
func (s State) Ours() bool { return s.Owner == s.Key }

// Others says that the directory is reserved for another volume.
func (s State) Others() bool { return s.Owner != "" && s.Owner != s.Key }

// Look reads in one round trip the state of the volume called name and of directory dir.
func (s *Share) Look(ctx context.Context, name string, dir volume.Dir) (State, error) {
	st := State{Key: volume.Key(name), Dir: dir}
	err := Together(
		func() (err error) { st.Record, st.Found, err = s.ReadRecord(ctx, st.Key); return err },
		func() (err error) { st.Owner, err = s.ReservedFor(ctx, dir); return err },
		func() (err error) { st.Info, err = s.Lstat(ctx, string(dir)); return err },
		func() (err error) { st.Above, err = s.Above(ctx, st.Key, dir); return err },
	)
	return st, err
}

// ReadRecord reads the record with the given key. One that belongs to another key was copied there, and counts as torn.
func (s *Share) ReadRecord(ctx context.Context, key string) (volume.Record, Found, error) {
	data, err := s.FS.ReadFile(ctx, RecordPath(key), MaxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return volume.Record{}, NoRecord, nil
	}
	if err != nil {
		return volume.Record{}, NoRecord, fmt.Errorf("reading the record %q: %w", RecordPath(key), err)
	}
	if r, err := volume.ParseRecord(data); err == nil && volume.Key(r.Name) == key {
		return r, Whole, nil
	}
	return volume.Record{}, Torn, nil
}

// Lstat answers nil for what is not there.
func (s *Share) Lstat(ctx context.Context, name string) (fs.FileInfo, error) {
	info, err := s.FS.Lstat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking at %q on the share: %w", name, err)
	}
	return info, nil
}

// Remove takes one file, link or empty directory away; that it is gone already is fine.
func (s *Share) Remove(ctx context.Context, name string) error {
	if err := s.FS.Remove(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %q from the share: %w", name, err)
	}
	return nil
}

// Holds says why there is no volume with handle id ([volume.ErrNotFound]), nil where there is.
func (s State) Holds(id volume.ID) error {
	switch {
	case s.Info == nil:
		return fmt.Errorf("%w: volume %q has no directory %q", volume.ErrNotFound, id.Name(), id.Dir)
	case !s.Info.IsDir():
		return fmt.Errorf("%w: %q of volume %q is %s and not a directory", volume.ErrNotFound, id.Dir, id.Name(), TypeName(s.Info))
	case s.Others():
		return fmt.Errorf("%w: directory %q is that of volume %q, not of %q", volume.ErrNotFound, id.Dir, s.Owner, id.Name())
	case s.Found == Whole && s.Record.Retained:
		return fmt.Errorf("%w: volume %q was deleted, and its directory %q kept", volume.ErrNotFound, id.Name(), id.Dir)
	case s.Found == Whole && s.Record.Source != "" && s.Record.Copy == "":
		return fmt.Errorf("%w: volume %q is not yet filled from its source", volume.ErrNotFound, id.Name())
	case s.Found == Whole && s.Record.Dir != id.Dir:
		return fmt.Errorf("%w: volume %q has the directory %q, not %q", volume.ErrNotFound, id.Name(), s.Record.Dir, id.Dir)
	}
	return nil
}

// StillHolds says why what was the volume with handle id is it no more ([volume.ErrNotFound]), nil where it is.
func (s State) StillHolds(was State, id volume.ID) error {
	if err := s.Holds(id); err != nil {
		return err
	}
	if s.Found != was.Found || s.Owner != was.Owner || !s.Record.Created.Equal(was.Record.Created) {
		return fmt.Errorf("%w: volume %q was deleted while it was copied", volume.ErrNotFound, id.Name())
	}
	return nil
}

// Filled says whether a volume that has a source holds it: its verified copy has left staging, and its directory is there.
func (s *Share) Filled(ctx context.Context, r volume.Record) (bool, error) {
	if r.Copy == "" {
		return false, nil
	}
	var staged, dir fs.FileInfo
	err := Together(
		func() (err error) { staged, err = s.Lstat(ctx, StagingDir+"/"+r.Copy); return err },
		func() (err error) { dir, err = s.Lstat(ctx, string(r.Dir)); return err },
	)
	return staged == nil && dir != nil && dir.IsDir(), err
}
