package mount

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// answerTimeout is how long a server may take to say how full a file system is.
const answerTimeout = 5 * time.Second

// Usage is how full the file system mounted at target is. [volume.ErrNotFound]: no NFS export is mounted there;
// [volume.ErrUnavailable]: the server does not answer, within 5 seconds or the context's deadline. While one question to
// a mount is unanswered no second one is asked, so that a dead server holds one thread for each mount at most.
func (m *Mounter) Usage(ctx context.Context, target string) (volume.Usage, error) {
	target, err := resolveTarget(target)
	if err != nil {
		return volume.Usage{}, err
	}
	mounts, err := mountsAt(target)
	if err != nil {
		return volume.Usage{}, err
	}
	if len(mounts) == 0 || !isNFS(mounts[len(mounts)-1]) {
		return volume.Usage{}, fmt.Errorf("%w: no NFS export is mounted at %s", volume.ErrNotFound, target)
	}
	answer, err := m.statfs(ctx, mounts[len(mounts)-1], target)
	if err != nil {
		return volume.Usage{}, err
	}
	return usageOf(answer), nil
}

// usageOf counts in bytes. What only root may use counts as used, so that used and available add up to less than the total.
func usageOf(s unix.Statfs_t) volume.Usage {
	block := uint64(s.Frsize)
	if s.Frsize <= 0 {
		block = uint64(s.Bsize)
	}
	return volume.Usage{
		TotalBytes: s.Blocks * block, UsedBytes: (s.Blocks - min(s.Bfree, s.Blocks)) * block, AvailableBytes: s.Bavail * block,
		TotalInodes: s.Files, UsedInodes: s.Files - min(s.Ffree, s.Files), AvailableInodes: s.Ffree,
	}
}

// flight is one question to a file system, which any number of callers may wait for.
type flight struct {
	asked  time.Time
	done   chan struct{}
	answer unix.Statfs_t // once done
	err    error
}

// flights are the unanswered questions, by mount ID: a new mount at the same target is another one.
type flights struct {
	mu   sync.Mutex
	byID map[int]*flight
}

// join answers the flight to the mount with that ID, started by ask if there is none.
func (f *flights) join(id int, ask func() (unix.Statfs_t, error)) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if waiting := f.byID[id]; waiting != nil {
		return waiting
	}
	if f.byID == nil {
		f.byID = map[int]*flight{}
	}
	started := &flight{asked: time.Now(), done: make(chan struct{})}
	f.byID[id] = started
	go func() {
		started.answer, started.err = ask()
		f.mu.Lock()
		delete(f.byID, id)
		f.mu.Unlock()
		close(started.done)
	}()
	return started
}

// statfs asks the file system mounted at target. A question that has waited too long is not waited for again.
func (m *Mounter) statfs(ctx context.Context, top *mountinfo.Info, target string) (unix.Statfs_t, error) {
	waiting := m.flights.join(top.ID, func() (unix.Statfs_t, error) { return question(target) })
	patience := time.NewTimer(time.Until(waiting.asked.Add(answerTimeout)))
	defer patience.Stop()
	select {
	case <-waiting.done:
	case <-patience.C:
		return unix.Statfs_t{}, silent(top, target, fmt.Errorf("no answer in %v", answerTimeout))
	case <-ctx.Done():
		return unix.Statfs_t{}, silent(top, target, context.Cause(ctx))
	}
	switch {
	case errors.Is(waiting.err, unix.ESTALE):
		return unix.Statfs_t{}, fmt.Errorf("%w: the server of %s has lost the directory mounted at %s: restart the pod once it is back (%w)",
			volume.ErrUnavailable, top.Source, target, waiting.err)
	case waiting.err != nil:
		return unix.Statfs_t{}, silent(top, target, waiting.err)
	case waiting.answer.Type != unix.NFS_SUPER_MAGIC:
		return unix.Statfs_t{}, fmt.Errorf("%w: %s was unmounted meanwhile", volume.ErrNotFound, target)
	}
	return waiting.answer, nil
}

// question asks how full a file system is and reads a little of its directory: a server may have removed the directory and
// still answer the first. A directory that may not be read is there all the same.
func question(target string) (s unix.Statfs_t, err error) {
	err = retried(func() error { return unix.Statfs(target, &s) })
	if err != nil {
		return s, err
	}
	directory := -1
	err = retried(func() error {
		directory, err = unix.Open(target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err == nil {
		err = retried(func() error { _, err := unix.Getdents(directory, make([]byte, 4096)); return err })
		unix.Close(directory)
		if errors.Is(err, unix.ENOENT) { // what Linux servers say of a directory that was removed and is still in their memory
			err = unix.ESTALE
		}
	}
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return s, nil
	}
	return s, err
}

// retried calls until no signal interrupts.
func retried(call func() error) (err error) {
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = call()
	}
	return err
}

func silent(top *mountinfo.Info, target string, err error) error {
	return fmt.Errorf("%w: the server of %s, mounted at %s, does not answer: check that it is up and reachable from this node (%w)",
		volume.ErrUnavailable, top.Source, target, err)
}
