package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/storage"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// What is below [volume.Reserved], see the package comment.
const (
	VolumesDir     = volume.Reserved + "/volumes"
	DirectoriesDir = volume.Reserved + "/directories"
	TrashDir       = volume.Reserved + "/trash"
	StagingDir     = volume.Reserved + "/staging"
	SnapshotsDir   = volume.Reserved + "/snapshots"
	ArchivesDir    = volume.Reserved + "/archives"
	ParentsDir     = volume.Reserved + "/parents"
)

const (
	RecordSuffix = ".json"
	linkPrefix   = "../volumes/"
	markPrefix   = "../../"
	// expiringPrefix begins the reservation of an archive's directory while the archive is taken away.
	expiringPrefix = "../archives/"
	MaxRecord      = 64 << 10 // bytes of a record that are read
	layoutMode     = fs.FileMode(0o700)
	RecordMode     = fs.FileMode(0o600)
	ParentMode     = fs.FileMode(0o755) // of directories made above a volume's or an archive's
)

// RecordPath is where the record of the volume with the given key is.
func RecordPath(key string) string      { return VolumesDir + "/" + key + RecordSuffix }
func stagingPath(key string) string     { return StagingDir + "/" + key + RecordSuffix }
func archiveFile(dir volume.Dir) string { return volume.Key(string(dir)) + RecordSuffix }

// LinkPath is where the reservation of a directory is.
func LinkPath(dir volume.Dir) string { return DirectoriesDir + "/" + volume.Key(string(dir)) }

// ArchivePath is where the record of the archive in a directory is.
func ArchivePath(dir volume.Dir) string  { return ArchivesDir + "/" + archiveFile(dir) }
func linkTarget(volumeKey string) string { return linkPrefix + volumeKey + RecordSuffix }

// layout remembers that the directories below [volume.Reserved] exist.
type layout struct {
	mu   sync.Mutex
	made bool
}

// Ensure makes the directories below [volume.Reserved] once; two callers at once may both try.
func (s *Share) Ensure(ctx context.Context) error {
	l, fsys := &s.layout, s.FS
	l.mu.Lock()
	made := l.made
	l.mu.Unlock()
	if made {
		return nil
	}
	if err := makeOwn(ctx, fsys, volume.Reserved); err != nil {
		return err
	}
	var calls []func() error
	for _, dir := range []string{VolumesDir, DirectoriesDir, TrashDir, StagingDir, SnapshotsDir, ArchivesDir, ParentsDir} {
		calls = append(calls, func() error { return makeOwn(ctx, fsys, dir) })
	}
	if err := Together(calls...); err != nil {
		return err
	}
	l.mu.Lock()
	l.made = true
	l.mu.Unlock()
	return nil
}

// Forget makes the next [Share.Ensure] look again, after something was missing.
func (s *Share) Forget() {
	s.layout.mu.Lock()
	defer s.layout.mu.Unlock()
	s.layout.made = false
}

// makeOwn makes one of our directories, or checks that what has its name is one: a pod that mounts the whole share
// may have put a link there.
func makeOwn(ctx context.Context, fsys storage.FS, dir string) error {
	err := fsys.Mkdir(ctx, dir, layoutMode, -1, -1)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making %q on the share: %w", dir, err)
	}
	info, err := fsys.Lstat(ctx, dir)
	switch {
	case err != nil:
		return fmt.Errorf("looking at %q on the share: %w", dir, err)
	case !info.IsDir():
		return fmt.Errorf("%w: %q on the share is %s and not a directory: somebody put it there; remove it", volume.ErrInvalid, dir, TypeName(info))
	}
	return nil
}

// TypeName says in words what info describes.
func TypeName(info fs.FileInfo) string {
	switch info.Mode().Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	}
	return "a special file"
}

// Together makes calls at once, so that they cost one round trip, and waits for all of them.
func Together(calls ...func() error) error {
	if len(calls) == 0 {
		return nil
	}
	errs := make([]error, len(calls))
	var wg sync.WaitGroup
	for i, call := range calls[1:] {
		wg.Go(func() { errs[i+1] = call() })
	}
	errs[0] = calls[0]()
	wg.Wait()
	return errors.Join(errs...)
}

// SnapshotKey names a snapshot's tree. The record has [RecordSuffix] behind it, so no key ends with that.
func SnapshotKey(name string) string {
	key := volume.Key(name)
	if before, ok := strings.CutSuffix(key, RecordSuffix); ok {
		key = before + "%2E" + RecordSuffix[1:] // which is no other name's: a point becomes %2E only where a key begins
	}
	return key
}

// SnapshotPath is where the tree of the snapshot with the given key is; its record has [RecordSuffix] behind that.
func SnapshotPath(key string) string { return SnapshotsDir + "/" + key }

// Space is how full the share is.
func (s *Share) Space(ctx context.Context) (space volume.Space, err error) {
	space.Total, _, space.Available, err = s.FS.Space(ctx)
	if err != nil {
		return volume.Space{}, fmt.Errorf("asking for the free space: %w", err)
	}
	return space, nil
}

// Attempts bounds how often something is begun anew because somebody else changed what it had looked at ([ErrChanged]).
const Attempts = 4

// ErrChanged says that the share is no longer as it was when looked at: look again.
var ErrChanged = errors.New("the share changed meanwhile")

// UndoTimeout bounds taking back what something that failed has made; it runs even when the caller has gone.
const UndoTimeout = 10 * time.Second
