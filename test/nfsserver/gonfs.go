//go:build linux

package nfsserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5"
	gonfs "github.com/willscott/go-nfs"
	"github.com/willscott/go-nfs/helpers"
)

// GoNFS is a running willscott/go-nfs: version 3 only, NFS and MOUNT on one port, no port mapper. It serves its
// connections one request at a time, keeps no special mode bits and reports many refusals as I/O errors.
type GoNFS struct {
	Host   string
	Port   int    // of both programs
	Export string // any path is the same directory
	Dir    string // that directory

	listener *connections
}

// quiet is done before any server runs, which reads what it writes.
var quiet = sync.OnceFunc(func() { gonfs.Log.SetLevel(gonfs.PanicLevel) })

// StartGoNFS serves a directory of its own until the test ends.
func StartGoNFS(t testing.TB) *GoNFS {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet()
	g := &GoNFS{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Export: "/", Dir: t.TempDir(), listener: &connections{Listener: listener}}
	admitting := &admitAll{Handler: helpers.NewNullAuthHandler(directory(g.Dir))}
	handler := &handles{CachingHandler: helpers.NewCachingHandler(admitting, 1<<16).(*helpers.CachingHandler), of: map[string]place{}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = gonfs.Serve(g.listener, handler) // ends with the listener's error
	}()
	t.Cleanup(func() {
		listener.Close()
		g.listener.closeAll()
		<-served
	})
	return g
}

// connections remembers what was accepted: the server itself never hangs up.
type connections struct {
	net.Listener
	mu       sync.Mutex
	accepted []net.Conn
}

func (c *connections) Accept() (net.Conn, error) {
	nc, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.accepted = append(c.accepted, nc)
	}
	return nc, err
}

func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.accepted {
		nc.Close()
	}
}

// admitAll says that AUTH_SYS is welcome, and how large the file system is.
type admitAll struct{ gonfs.Handler }

func (h *admitAll) Mount(ctx context.Context, nc net.Conn, r gonfs.MountRequest) (gonfs.MountStatus, billy.Filesystem, []gonfs.AuthFlavor) {
	status, fs, _ := h.Handler.Mount(ctx, nc, r)
	return status, fs, []gonfs.AuthFlavor{gonfs.AuthFlavorUnix}
}

func (h *admitAll) FSStat(_ context.Context, fs billy.Filesystem, s *gonfs.FSStat) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(fs.Root(), &st); err != nil {
		return err
	}
	block := uint64(st.Bsize)
	s.TotalSize, s.FreeSize, s.AvailableSize = st.Blocks*block, st.Bfree*block, st.Bavail*block
	return nil
}

// handles knows what each handle is of. The helper itself walks through all that it ever gave away to find one, which makes a
// server that many trials share slower and slower.
type handles struct {
	*helpers.CachingHandler
	mu sync.Mutex
	of map[string]place
}

type place struct {
	fs   billy.Filesystem
	path []string
}

func (h *handles) ToHandle(fs billy.Filesystem, path []string) []byte {
	handle := h.CachingHandler.ToHandle(fs, path)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[string(handle)] = place{fs: fs, path: slices.Clone(path)}
	return handle
}

func (h *handles) FromHandle(handle []byte) (billy.Filesystem, []string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, known := h.of[string(handle)]
	if !known {
		return nil, nil, &gonfs.NFSStatusError{NFSStatus: gonfs.NFSStatusStale}
	}
	return p.fs, slices.Clone(p.path), nil
}

func (h *handles) InvalidateHandle(fs billy.Filesystem, handle []byte) error {
	h.mu.Lock()
	delete(h.of, string(handle))
	h.mu.Unlock()
	return h.CachingHandler.InvalidateHandle(fs, handle)
}

// directory is a directory of this machine as go-nfs wants it. Stat is Lstat, because go-nfs looks with Stat whether a
// name exists, and a dangling link does; Rename is the system's, because os.Rename replaces no directory.
type directory string

func (d directory) path(name string) string {
	return filepath.Join(string(d), filepath.Join("/", name))
}
func (d directory) Join(elem ...string) string     { return filepath.Join(elem...) }
func (d directory) Root() string                   { return string(d) }
func (d directory) Remove(name string) error       { return os.Remove(d.path(name)) }
func (d directory) Rename(from, to string) error   { return syscall.Rename(d.path(from), d.path(to)) }
func (d directory) Symlink(target, n string) error { return os.Symlink(target, d.path(n)) }

func (d directory) Stat(name string) (os.FileInfo, error)  { return d.Lstat(name) }
func (d directory) Lstat(name string) (os.FileInfo, error) { return os.Lstat(d.path(name)) }
func (d directory) Readlink(name string) (string, error)   { return os.Readlink(d.path(name)) }

func (d directory) Chroot(name string) (billy.Filesystem, error) { return directory(d.path(name)), nil }
func (d directory) Create(name string) (billy.File, error) {
	return d.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
}
func (d directory) Open(name string) (billy.File, error)         { return d.OpenFile(name, os.O_RDONLY, 0) }
func (d directory) TempFile(string, string) (billy.File, error)  { return nil, billy.ErrNotSupported }
func (d directory) MkdirAll(name string, perm os.FileMode) error { return os.Mkdir(d.path(name), perm) }
func (d directory) Chmod(name string, mode os.FileMode) error    { return os.Chmod(d.path(name), mode) }
func (d directory) Lchown(name string, uid, gid int) error       { return os.Lchown(d.path(name), uid, gid) }
func (d directory) Chown(name string, uid, gid int) error        { return os.Lchown(d.path(name), uid, gid) }
func (d directory) Chtimes(name string, atime, mtime time.Time) error {
	return os.Chtimes(d.path(name), atime, mtime)
}

func (d directory) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	f, err := os.OpenFile(d.path(name), flag|syscall.O_NOFOLLOW, perm)
	if err != nil {
		return nil, err
	}
	return openFile{f}, nil
}

func (d directory) ReadDir(name string) ([]os.FileInfo, error) {
	entries, err := os.ReadDir(d.path(name))
	if err != nil {
		return nil, err
	}
	infos := make([]os.FileInfo, 0, len(entries))
	for _, e := range entries {
		if info, err := e.Info(); err == nil { // else it has gone
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// openFile adds the locks that billy wants and nobody uses.
type openFile struct{ *os.File }

func (openFile) Lock() error   { return nil }
func (openFile) Unlock() error { return nil }

// Options are the mount options that lead to the server.
func (g *GoNFS) Options() string { return fmt.Sprintf("vers=3,port=%d,mountport=%d", g.Port, g.Port) }
