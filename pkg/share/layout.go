package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// What is below [volume.Reserved], see the package comment.
const (
	volumesDir     = volume.Reserved + "/volumes"
	directoriesDir = volume.Reserved + "/directories"
	trashDir       = volume.Reserved + "/trash"
	stagingDir     = volume.Reserved + "/staging"
	snapshotsDir   = volume.Reserved + "/snapshots"
	archivesDir    = volume.Reserved + "/archives"
)

const (
	recordSuffix = ".json"
	linkPrefix   = "../volumes/"
	// expiringPrefix begins the reservation of an archive's directory while the archive is taken away.
	expiringPrefix = "../archives/"
	maxRecord      = 64 << 10 // bytes of a record that are read
	layoutMode     = fs.FileMode(0o700)
	recordMode     = fs.FileMode(0o600)
	parentMode     = fs.FileMode(0o755) // of directories made above a volume's or an archive's
)

func recordPath(key string) string       { return volumesDir + "/" + key + recordSuffix }
func stagingPath(key string) string      { return stagingDir + "/" + key + recordSuffix }
func linkPath(dir volume.Dir) string     { return directoriesDir + "/" + volume.Key(string(dir)) }
func linkTarget(volumeKey string) string { return linkPrefix + volumeKey + recordSuffix }

// layout remembers that the directories below [volume.Reserved] exist.
type layout struct {
	mu   sync.Mutex
	made bool
}

// ensure makes the directories once; two callers at once may both try.
func (l *layout) ensure(ctx context.Context, fsys FS) error {
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
	for _, dir := range []string{volumesDir, directoriesDir, trashDir, stagingDir, snapshotsDir, archivesDir} {
		calls = append(calls, func() error { return makeOwn(ctx, fsys, dir) })
	}
	if err := together(calls...); err != nil {
		return err
	}
	l.mu.Lock()
	l.made = true
	l.mu.Unlock()
	return nil
}

// forget makes the next ensure look again, after something was missing.
func (l *layout) forget() {
	l.mu.Lock()
	l.made = false
	l.mu.Unlock()
}

// makeOwn makes one of our directories, or checks that what has its name is one: a pod that mounts the whole share
// may have put a link there.
func makeOwn(ctx context.Context, fsys FS, dir string) error {
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
		return fmt.Errorf("%w: %q on the share is %s and not a directory: somebody put it there; remove it", volume.ErrInvalid, dir, typeName(info))
	}
	return nil
}

// typeName says in words what info describes.
func typeName(info fs.FileInfo) string {
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

// together makes calls at once, so that they cost one round trip, and waits for all of them.
func together(calls ...func() error) error {
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
