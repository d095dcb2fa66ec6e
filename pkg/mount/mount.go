// Package mount attaches NFS exports to directories of this node.
//
// It needs no mount.nfs and no shell: it resolves the server's name, chooses the version of NFS and translates mount options
// itself, and mounts by system call. The calls that a dead server may hold for minutes run in a child process, this same
// program started again as [HelperMain], which is killed at the deadline. Mount points are looked up in the kernel's table,
// never by looking at the directory, so that no call of this package hangs.
package mount

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Source is what to mount.
type Source struct {
	Server   string   // host name or address, IPv6 without brackets
	Path     string   // absolute, on the server
	Options  []string // as for mount(8); several may be joined by commas
	ReadOnly bool     // nothing can be written through this mount, whatever Options say
	// Root is what the directory is made when it is mounted anew and can be written to; nil: left as it is. A server that does
	// not let us fails the mount.
	Root *volume.Root
	// Literal refuses a Path in which a symbolic link on the server leads elsewhere. It can be told with NFSv4 only.
	Literal bool
}

// String is the source as tables of mounts show it: server:/path, with brackets around an IPv6 address.
func (s Source) String() string {
	if strings.Contains(s.Server, ":") {
		return "[" + s.Server + "]:" + s.Path
	}
	return s.Server + ":" + s.Path
}

// host is the server as the kernel's table shows it.
func (s Source) host() string { return serverOf(s.String()) }

func (s Source) fill(words string) string {
	return strings.NewReplacer("SERVER", s.Server, "PATH", s.Path).Replace(words)
}

// check answers s with its path cleaned, or [volume.ErrInvalid].
func (s Source) check() (Source, error) {
	switch {
	case s.Server == "" || strings.ContainsAny(s.Server, "/[]% \t\n\\\x00"):
		return s, fmt.Errorf("%w: server %q is not a host name or address", volume.ErrInvalid, s.Server)
	case strings.Contains(s.Server, ":") && net.ParseIP(s.Server) == nil:
		return s, fmt.Errorf("%w: server %q is not an IPv6 address", volume.ErrInvalid, s.Server)
	case !path.IsAbs(s.Path) || strings.ContainsRune(s.Path, 0):
		return s, fmt.Errorf("%w: path %q on the server must be absolute", volume.ErrInvalid, s.Path)
	}
	s.Path = path.Clean(s.Path)
	return s, nil
}

// Config says how a [Mounter] works. The zero value does.
type Config struct {
	// Helper is the command that runs [HelperMain]; default: this program with the argument mount-helper.
	Helper []string
	// Preflight asks the server whether the export can be mounted, before the kernel does, which may take minutes to
	// find out that it cannot. Its error, which should wrap a sentinel of pkg/volume, ends the Mount. nil: none.
	// Each of options is one mount option.
	Preflight func(ctx context.Context, server, path string, options []string) error
	// Below is the directory in which all targets must lie, once links are followed; "" is any.
	Below string
	// AllowOptions names mount options that may be given beside those of NFS mounts that are known to do no harm.
	AllowOptions []string
	// Timeout bounds one Mount beside the context's deadline; default 110 seconds: less than the 2 minutes that kubelet waits, and
	// enough where each of the kernel's 25 questions is answered after 2 seconds.
	Timeout time.Duration
	Log     *slog.Logger // default: none
}

// Mounter mounts and unmounts. Its methods may be called at once and wait for no other target than their own.
type Mounter struct {
	helpers   *pool
	preflight func(ctx context.Context, server, path string, options []string) error
	below     string   // where targets must lie
	allowed   []string // mount options
	timeout   time.Duration
	log       *slog.Logger
	claimed   sync.Map // target -> true while an operation works on it
	led       sync.Map // target -> ledTo where the server led a mount elsewhere
	flights   flights  // questions to file systems that have not been answered
}

// New makes a Mounter. Close it in the end.
func New(c Config) *Mounter {
	if len(c.Helper) == 0 {
		c.Helper = []string{"/proc/self/exe", "mount-helper"}
	}
	if c.Timeout <= 0 {
		c.Timeout = 110 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Mounter{helpers: newPool(c.Helper, c.Log), preflight: c.Preflight, below: c.Below, allowed: c.AllowOptions, timeout: c.Timeout, log: c.Log}
}

// Close ends the child processes that wait for work. It detaches nothing.
func (m *Mounter) Close() { m.helpers.close() }

// claim keeps operations on one target apart.
func (m *Mounter) claim(target string) (release func(), err error) {
	if _, taken := m.claimed.LoadOrStore(target, true); taken {
		return nil, fmt.Errorf("%w: on %s", volume.ErrBusy, target)
	}
	return func() { m.claimed.Delete(target) }, nil
}

// Mount attaches s to target and makes the directory target, with mode 0750, if needed. When it returns an error nothing is
// mounted by it. The same source already there, as writable as asked, is no error, unless its server has lost it or lets it
// hang though it answers others: then it is mounted anew. Errors match, beside the context's:
//
//   - [volume.ErrInvalid]: source, target or a mount option can never be mounted;
//   - [volume.ErrExists]: something else is mounted at target;
//   - [volume.ErrBusy]: another operation works on target;
//   - [volume.ErrNotFound], [volume.ErrRefused], [volume.ErrUnsupported]: the server has no such path, does not admit us,
//     speaks no version that may be used;
//   - [volume.ErrUnavailable]: the server does not answer, or this node is too busy to ask it.
func (m *Mounter) Mount(ctx context.Context, s Source, target string) error {
	s, err := s.check()
	o, optionsErr := parseOptions(s.Options, m.allowed)
	target, targetErr := resolveTarget(target, m.below)
	if err := errors.Join(err, optionsErr, targetErr); err != nil {
		return err
	}
	release, err := m.claim(target)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("%w: %s was not mounted within %v", context.DeadlineExceeded, s, m.timeout))
	defer cancel()
	if s.ReadOnly {
		o.attributes |= attributeOptions["ro"].set
	}
	m.helpers.warm(s.host())
	present, err := m.present(ctx, s, o, target)
	if err != nil || present {
		return err
	}
	return m.attach(ctx, s, o, target)
}

// present finds out whether s is mounted at target already. A mount of s that is broken is detached.
func (m *Mounter) present(ctx context.Context, s Source, o options, target string) (bool, error) {
	mounts, err := mountsAt(target)
	if err != nil || len(mounts) == 0 {
		return false, err
	}
	top := mounts[len(mounts)-1]
	readOnly := o.attributes&attributeOptions["ro"].set != 0
	same, err := m.isMountOf(ctx, s, o, target, top)
	switch {
	case err != nil:
		return false, err
	case !same:
		return false, fmt.Errorf("%w: %s is mounted at %s, not %s: unmount it first", volume.ErrExists, top.Source, target, s)
	case isReadOnly(top) != readOnly:
		return false, fmt.Errorf("%w: %s is mounted at %s, but not with the same access (%s)", volume.ErrExists, s, target, top.Options)
	}
	broken := m.alive(ctx, top, target)
	if broken == nil {
		return true, nil
	}
	if err := m.mayReplace(ctx, s, o, broken); err != nil {
		return false, err
	}
	m.log.WarnContext(ctx, "Replacing a broken mount", "source", s.String(), "target", target, "err", broken)
	return false, m.detachAll(ctx, target)
}

// alive asks the file system mounted at target something, which a stale or dead mount cannot answer.
func (m *Mounter) alive(ctx context.Context, top *mountinfo.Info, target string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, aliveTimeout, fmt.Errorf("no answer in %v", aliveTimeout))
	defer cancel()
	_, _, err := m.statfs(ctx, top, target)
	return err
}

// aliveTimeout leaves the preflight, which follows where there is no answer, its time.
const aliveTimeout = 2500 * time.Millisecond

// mayReplace: a mount whose directory the server has lost never works again. One that is silent while the server answers
// others is stuck; but with a silent server it may come back, so it stays.
func (m *Mounter) mayReplace(ctx context.Context, s Source, o options, broken error) error {
	if errors.Is(broken, unix.ESTALE) {
		return nil
	}
	if m.preflight == nil {
		return broken
	}
	asking, cancel := context.WithTimeout(ctx, replaceTimeout)
	defer cancel()
	err := m.ask(asking, s, o)
	if asking.Err() != nil {
		return broken
	}
	return err
}

// replaceTimeout bounds the preflight for a mount that is silent: with [nameTimeout] and [aliveTimeout] it is below the 15 seconds in
// which a publish from a dead server fails. A server that is slow and gets no answer out in it is asked again at the next try.
const replaceTimeout = 8 * time.Second

// ask runs the preflight.
func (m *Mounter) ask(ctx context.Context, s Source, o options) error {
	if m.preflight == nil {
		return nil
	}
	if err := m.preflight(ctx, s.Server, s.Path, o.given); err != nil {
		return fmt.Errorf("asking for %s: %w", s, err)
	}
	return nil
}

// attach mounts s at target, where nothing is mounted, and leaves nothing behind when it cannot.
func (m *Mounter) attach(ctx context.Context, s Source, o options, target string) (err error) {
	if err := m.ask(ctx, s, o); err != nil {
		return err
	}
	attempts, err := makeAttempts(ctx, s, o)
	if err != nil {
		return err
	}
	made, err := makeTarget(target)
	if err != nil {
		return err
	}
	err = m.accompanied(ctx, s, o, mounting(s, o, target, attempts))
	if err == nil {
		err = m.arrived(s, target, attempts)
	}
	if err == nil {
		return nil
	}
	var f *failure
	switch {
	case errors.As(err, &f):
		err = explain(f, s)
	case errors.Is(err, errKilled):
		err = fmt.Errorf("%w: server %s did not let %s be mounted in time (%w)", volume.ErrUnavailable, s.Server, s.Path, err)
	case errors.Is(err, errNoWorker):
		err = fmt.Errorf("%w: %w", volume.ErrUnavailable, err)
	}
	return errors.Join(err, m.undo(ctx, target, made))
}

// mounting asks a helper to mount. Nothing is changed through a mount that is read-only.
func mounting(s Source, o options, target string, attempts []attempt) request {
	r := request{Operation: operationMount, Target: target, Source: s.String(), Attributes: o.attributes, Attempts: attempts, Root: s.Root, server: s.host()}
	if o.attributes&attributeOptions["ro"].set != 0 {
		r.Root = nil
	}
	return r
}

// accompanied has a helper do r, and looks after the server while that takes long: the kernel would wait for minutes for one
// that has died since the preflight.
func (m *Mounter) accompanied(ctx context.Context, s Source, o options, r request) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel(nil)
	if o.network != "none" {
		looking.Go(func() { accompany(ctx, cancel, s, o, r.Attempts) })
	}
	return m.helpers.run(ctx, r)
}

// accompany cancels when none of the server's addresses takes connections any more. A server that only takes its time does.
func accompany(ctx context.Context, cancel context.CancelCauseFunc, s Source, o options, attempts []attempt) {
	pause := time.NewTicker(longMount)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		if !anyAccepts(ctx, o, attempts) && ctx.Err() == nil {
			cancel(fmt.Errorf("%w: server %s takes no connection any more", volume.ErrUnavailable, s.Server))
			return
		}
	}
}

// anyAccepts: one of the addresses takes a connection.
func anyAccepts(ctx context.Context, o options, attempts []attempt) bool {
	var dialling sync.WaitGroup
	var taken atomic.Bool
	asked := map[string]bool{}
	for _, a := range attempts {
		if !asked[a.Address] {
			asked[a.Address] = true
			dialling.Go(func() {
				if o.accepts(ctx, a.Address, reachTimeout) {
					taken.Store(true)
				}
			})
		}
	}
	dialling.Wait()
	return taken.Load()
}

// How a mount that takes long is looked after.
const (
	longMount    = 3 * time.Second // between two looks
	reachTimeout = 5 * time.Second // to take a connection
)

// undo makes sure that a mount which failed is not there after all, as when its child was killed too late.
func (m *Mounter) undo(ctx context.Context, target string, made bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if err := m.detachAll(ctx, target); err != nil {
		return fmt.Errorf("undoing the mount: %w", err)
	}
	if made {
		return removeTarget(target)
	}
	return nil
}

// undoTimeout bounds the undoing of a mount that failed.
const undoTimeout = 10 * time.Second

// makeTarget makes the directory target unless it is there. Nothing is mounted there, so that it may be looked at.
func makeTarget(target string) (made bool, err error) {
	info, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, fmt.Errorf("looking at the target: %w", err)
	case !info.IsDir():
		return false, fmt.Errorf("%w: target path %q is not a directory", volume.ErrInvalid, target)
	default:
		return false, nil
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return false, fmt.Errorf("making the target: %w", err)
	}
	return true, nil
}

// removeTarget removes the directory at target, where nothing is mounted. What lies in it was never on a volume and is kept.
func removeTarget(target string) error {
	err := os.Remove(target)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("removing the target (files in it are not on any volume; move them away): %w", err)
}
