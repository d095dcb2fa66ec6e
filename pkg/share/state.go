package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// state is what a share holds of one volume and its directory. It is read in one round trip.
type state struct {
	key    string // of the volume
	dir    volume.Dir
	found  recordState
	record volume.Record // if whole
	owner  string        // key of the volume that the directory is reserved for; "": of none
	info   fs.FileInfo   // of the directory; nil: there is none
	above  string        // key of another volume that has a directory above, "" if none has
}

// errExpiring says that a directory is reserved for the removal of an archive.
var errExpiring = errors.New("an archive is just being removed there")

type recordState int

const (
	noRecord recordState = iota
	// torn is a record that a crash cut short, or that somebody else wrote. It counts as not there, and is replaced.
	torn
	whole
)

// ours says that the directory is reserved for the volume itself.
func (s state) ours() bool { return s.owner == s.key }

// others says that the directory is reserved for another volume.
func (s state) others() bool { return s.owner != "" && s.owner != s.key }

// look reads the state of the volume called name and of directory dir.
func (s *share) look(ctx context.Context, name string, dir volume.Dir) (state, error) {
	st := state{key: volume.Key(name), dir: dir}
	err := together(
		func() (err error) { st.record, st.found, err = s.readRecord(ctx, st.key); return err },
		func() (err error) { st.owner, err = s.reservedFor(ctx, dir); return err },
		func() (err error) { st.info, err = s.lstat(ctx, string(dir)); return err },
		func() (err error) { st.above, err = s.aboveOwner(ctx, st.key, dir); return err },
	)
	return st, err
}

// readRecord reads the record with the given key. One that belongs to another key was copied there, and counts as torn.
func (s *share) readRecord(ctx context.Context, key string) (volume.Record, recordState, error) {
	data, err := s.fs.ReadFile(ctx, recordPath(key), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return volume.Record{}, noRecord, nil
	}
	if err != nil {
		return volume.Record{}, noRecord, fmt.Errorf("reading the record %q: %w", recordPath(key), err)
	}
	if r, err := volume.ParseRecord(data); err == nil && volume.Key(r.Name) == key {
		return r, whole, nil
	}
	return volume.Record{}, torn, nil
}

// reservedFor is the key of the volume that dir is reserved for, "" if it is not.
func (s *share) reservedFor(ctx context.Context, dir volume.Dir) (string, error) {
	return s.ownerAt(ctx, linkPath(dir))
}

// ownerAt is the key of the volume that a reservation points to, "" if there is no such reservation.
func (s *share) ownerAt(ctx context.Context, name string) (string, error) {
	target, err := s.fs.Readlink(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if errors.Is(err, fs.ErrInvalid) {
		return "", fmt.Errorf("%w: %q on the share is not a link: somebody put it there; remove it", volume.ErrInvalid, name)
	}
	if err != nil {
		return "", fmt.Errorf("reading the reservation %q: %w", name, err)
	}
	if strings.HasPrefix(target, expiringPrefix) {
		return "", fmt.Errorf("%w: %w: %q", volume.ErrBusy, errExpiring, name)
	}
	key, ok := ownerIn(target)
	if !ok {
		return "", fmt.Errorf("%w: the link %q on the share points to %q and to no volume: somebody changed it; remove it", volume.ErrInvalid, name, target)
	}
	return key, nil
}

// ownerIn reads the volume's key from what a reservation holds.
func ownerIn(target string) (key string, ok bool) {
	file, ok := strings.CutPrefix(target, linkPrefix)
	if !ok {
		return "", false
	}
	key, ok = strings.CutSuffix(file, recordSuffix)
	return key, ok && key != "" && !strings.ContainsAny(key, "/\x00")
}

// lstat answers nil for what is not there.
func (s *share) lstat(ctx context.Context, name string) (fs.FileInfo, error) {
	info, err := s.fs.Lstat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking at %q on the share: %w", name, err)
	}
	return info, nil
}

// remove takes one file, link or empty directory away; that it is gone already is fine.
func (s *share) remove(ctx context.Context, name string) error {
	if err := s.fs.Remove(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %q from the share: %w", name, err)
	}
	return nil
}

// below answers the key of another volume than key's that has a directory below dir, "" if there is none.
func (s *share) below(ctx context.Context, key string, dir volume.Dir) (string, error) {
	links, err := s.fs.ReadDir(ctx, directoriesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("listing the reserved directories: %w", err)
	}
	for _, l := range links {
		is, sure := keyBelow(l.Name(), dir)
		if !is {
			continue
		}
		owner, err := s.ownerAt(ctx, directoriesDir+"/"+l.Name())
		if err == nil && !sure {
			is, err = s.recordedBelow(ctx, owner, l.Name(), dir)
		}
		if err != nil {
			return "", err
		}
		if is && owner != "" && owner != key {
			return owner, nil
		}
	}
	return "", nil
}

// keyBelow says whether the directory that has a key is below dir. Long keys are cut, so it may not be sure.
func keyBelow(linkName string, dir volume.Dir) (is, sure bool) {
	prefix, _, cut := strings.Cut(volume.Key(string(dir)+"/"), "%-")
	whole, _, _ := strings.Cut(linkName, "%-")
	sure = !cut && len(whole) >= len(prefix)
	if len(whole) < len(prefix) {
		return whole != linkName && strings.HasPrefix(prefix, whole), false
	}
	return strings.HasPrefix(whole, prefix), sure
}

// recordedBelow asks the record of a volume whose directory has a key that was cut. Without a record it is taken to be
// below, which keeps data where they are.
func (s *share) recordedBelow(ctx context.Context, owner, linkName string, dir volume.Dir) (bool, error) {
	r, found, err := s.readRecord(ctx, owner)
	if err != nil || found != whole || volume.Key(string(r.Dir)) != linkName {
		return true, err
	}
	return strings.HasPrefix(string(r.Dir), string(dir)+"/"), nil
}
