package mount

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// answerTimeout is how long a server may take to say how full a file system is: less than the 5 seconds that are promised.
const answerTimeout = 3 * time.Second

// silentAfter is when a mount that has not answered counts as dead.
const silentAfter = time.Second

// Usage is how full the file system mounted at target is. [volume.ErrNotFound]: no NFS export is mounted there;
// [volume.ErrUnavailable]: the server does not answer, within 3 seconds or the context's deadline, or no longer has the
// directory ([unix.ESTALE]); [volume.ErrRefused]: it no longer admits this node. While one question to a mount is unanswered
// no second one is asked, so that a dead server holds one thread for each mount at most.
func (m *Mounter) Usage(ctx context.Context, target string) (volume.Usage, error) {
	target, err := resolveTarget(target, m.below)
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
	answer, took, err := m.statfs(ctx, mounts[len(mounts)-1], target)
	if err != nil {
		return volume.Usage{}, err
	}
	usage := usageOf(answer)
	usage.Took = took
	return usage, nil
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
	spoken chan struct{} // closed when there is an answer
	answer unix.Statfs_t // once spoken
	done   chan struct{} // closed when the directory was read too
	took   time.Duration // once done
	err    error         // once done
}

// ask asks one question: it says what the file system answers as soon as it does, and ends when its directory was read.
type ask func(say func(unix.Statfs_t)) error

// flights are the unanswered questions, by mount ID: a new mount at the same target is another one.
type flights struct {
	mu   sync.Mutex
	byID map[int]*flight
}

// join answers the flight to the mount with that ID, started by ask if there is none. It flies on a thread of its own, which
// ends with it: Go keeps for ever the threads that it made while others hung.
func (f *flights) join(id int, ask ask) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if waiting := f.byID[id]; waiting != nil {
		return waiting
	}
	if f.byID == nil {
		f.byID = map[int]*flight{}
	}
	started := &flight{asked: time.Now(), spoken: make(chan struct{}), done: make(chan struct{})}
	f.byID[id] = started
	go func() {
		runtime.LockOSThread() // and never unlocked
		started.err = ask(func(s unix.Statfs_t) { started.answer = s; close(started.spoken) })
		started.took = time.Since(started.asked)
		f.mu.Lock()
		delete(f.byID, id)
		f.mu.Unlock()
		close(started.done)
	}()
	return started
}

// silent: the mount with that ID has not answered a question that was asked a while ago.
func (f *flights) silent(id int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	waiting := f.byID[id]
	return waiting != nil && !waiting.answered() && time.Since(waiting.asked) > silentAfter
}

func (f *flight) answered() bool {
	select {
	case <-f.spoken:
		return true
	default:
		return false
	}
}

// statfs asks the file system mounted at target, and answers how long that took. A question that has waited too long is not
// waited for again; but a server that has said how full it is and still looks for the directory is only slow.
func (m *Mounter) statfs(ctx context.Context, top *mountinfo.Info, target string) (unix.Statfs_t, time.Duration, error) {
	waiting := m.flights.join(top.ID, func(say func(unix.Statfs_t)) error { return question(target, say) })
	patience := time.NewTimer(time.Until(waiting.asked.Add(answerTimeout)))
	defer patience.Stop()
	var late error
	select {
	case <-waiting.done:
		return waiting.answer, waiting.took, verdict(waiting, top, target)
	case <-patience.C:
		late = fmt.Errorf("no answer in %v", answerTimeout)
	case <-ctx.Done():
		late = context.Cause(ctx)
	}
	if waiting.answered() && waiting.answer.Type == unix.NFS_SUPER_MAGIC {
		return waiting.answer, time.Since(waiting.asked), nil
	}
	return unix.Statfs_t{}, 0, silent(top, target, late)
}

// verdict puts into words how a question ended.
func verdict(f *flight, top *mountinfo.Info, target string) error {
	switch {
	case errors.Is(f.err, unix.ESTALE):
		return fmt.Errorf("%w: the server of %s has lost the directory mounted at %s, or exports it no more: export it again, or restart the pod once it is back (%w)",
			volume.ErrUnavailable, top.Source, target, f.err)
	case errors.Is(f.err, unix.EACCES), errors.Is(f.err, unix.EPERM):
		return fmt.Errorf("%w: the server of %s, mounted at %s, admits this node no more: look at the export's clients (%w)",
			volume.ErrRefused, top.Source, target, f.err)
	case f.err != nil:
		return silent(top, target, f.err)
	case f.answer.Type != unix.NFS_SUPER_MAGIC:
		return fmt.Errorf("%w: %s was unmounted meanwhile", volume.ErrNotFound, target)
	}
	return nil
}

// question asks how full a file system is and reads a little of its directory: a server may have removed the directory and
// still answer the first. A directory that may not be read is there all the same.
func question(target string, say func(unix.Statfs_t)) error {
	var s unix.Statfs_t
	if err := retried(func() error { return unix.Statfs(target, &s) }); err != nil {
		return err
	}
	say(s)
	directory := -1
	err := retried(func() (err error) {
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
		return nil
	}
	return err
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
