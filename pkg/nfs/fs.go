package nfs

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// FS is an open export. Its methods may be called by any number of goroutines.
//
// Names are slash-separated bytes relative to the export; "." is the export itself. "", "..", absolute names and names
// with empty, "." or ".." elements match fs.ErrInvalid. No method follows a symbolic link, not even in the middle of a
// name. Errors match fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid, the syscall.Errno of the server's
// answer, context errors, ErrUnreachable, ErrGrace and ErrRefused.
type FS struct {
	client         client
	cred           rpc.Credential // whom everything is done as
	rootUID        uint32         // owner of the export's root, whom a server may make of us (all_squash)
	version        Version
	server, export string
	observe        func(op string, d time.Duration, err error)
	log            *slog.Logger
	compareCopies  bool
	background     background
}

// Version is what was negotiated.
func (f *FS) Version() Version { return f.version }

// ActingAs is whom everything is done as: Config.Credential, or the export's owner where ActAsOwner took effect.
func (f *FS) ActingAs() Credential {
	return Credential{UID: f.cred.UID, GID: f.cred.GID, Groups: f.cred.Groups}
}

// Close leaves the server. Calls under way end with an error.
func (f *FS) Close() error { return f.client.Close() }

// call runs one method on names, of which parsed tells whether they are good. Somebody waits for it.
func (f *FS) call(ctx context.Context, op string, parsed error, do func() error, names ...string) error {
	defer f.background.wait()()
	return f.behind(ctx, op, parsed, do, names...)
}

// behind is call for work on whole trees, which lets the others go first.
func (f *FS) behind(ctx context.Context, op string, parsed error, do func() error, names ...string) error {
	start := time.Now()
	err := parsed
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		if err = do(); err != nil {
			err = over(ctx, err)
		}
	}
	err = f.explain(op, names, err)
	f.observe(op, time.Since(start), err)
	return err
}

// Mkdir makes a directory with exactly perm, setuid, setgid and sticky included, whatever the server's umask, ACLs or
// the parent's setgid bit. uid and gid of -1 leave the owner to the server. fs.ErrExist if the name is taken; on any
// error nothing new is left.
func (f *FS) Mkdir(ctx context.Context, name string, perm fs.FileMode, uid, gid int) error {
	path, err := splitNew(name)
	mode := file.Bits(perm)
	return f.call(ctx, "mkdir", err, func() error {
		want := file.Set{Mode: &mode, UID: uid, GID: gid}
		return f.settleMkdir(ctx, path, want, f.client.Mkdir(ctx, &f.cred, path, want))
	}, name)
}

// Lstat describes what is at name, a link itself. Sys is an *Attr.
func (f *FS) Lstat(ctx context.Context, name string) (fs.FileInfo, error) {
	path, err := split(name)
	var attr file.Attr
	err = f.call(ctx, "lstat", err, func() error {
		attr, err = f.client.Getattr(ctx, &f.cred, path)
		return err
	}, name)
	if err != nil {
		return nil, err
	}
	return info{base(name), &attr}, nil
}

func base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// maxNames bounds what a listing takes into memory, some 60 MB.
const maxNames = 1 << 17

// ReadDir lists a directory sorted by name, without "." and "..". One of more than 131,072 names matches syscall.EFBIG, and some of
// them are answered beside the error.
func (f *FS) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	path, err := split(name)
	var infos []fs.FileInfo
	err = f.call(ctx, "readdir", err, func() error {
		infos, err = f.readDir(ctx, path)
		return err
	}, name)
	return infos, err
}

// restarts bounds how often a listing that the server lost track of is begun again.
const restarts = 5

func (f *FS) readDir(ctx context.Context, path []string) ([]fs.FileInfo, error) {
	var infos []fs.FileInfo
	var from file.Cookie
	var course file.Course
	for restarted := 0; ; {
		page, err := f.client.List(ctx, &f.cred, path, from)
		if err == nil && !page.EOF && course.Circles(page.Cookie) {
			err = status.ErrCircle
		}
		if status.Is(err, status.BadCookie, status.NotSame) && restarted < restarts {
			restarted++
			infos, from, course = nil, file.Cookie{}, file.Course{}
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			if e.NoAttr {
				e.Attr, err = f.client.Getattr(ctx, &f.cred, slices.Concat(path, []string{e.Name}))
				if status.Is(err, status.NoEnt) {
					continue
				}
				if err != nil {
					return nil, err
				}
			}
			infos = append(infos, info{e.Name, &e.Attr})
		}
		if len(infos) > maxNames {
			return sorted(infos[:maxNames]), fmt.Errorf("it has more than %d names: %w", maxNames, syscall.EFBIG)
		}
		if page.EOF {
			return sorted(infos), nil
		}
		from = page.Cookie
	}
}

// sorted orders by name, and drops what a server has told twice.
func sorted(infos []fs.FileInfo) []fs.FileInfo {
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return slices.CompactFunc(infos, func(a, b fs.FileInfo) bool { return a.Name() == b.Name() })
}

// Chmod sets exactly perm. A symbolic link matches syscall.ELOOP.
func (f *FS) Chmod(ctx context.Context, name string, perm fs.FileMode) error {
	path, err := split(name)
	mode := file.Bits(perm)
	return f.call(ctx, "chmod", err, func() error {
		attr, err := f.client.Setattr(ctx, &f.cred, path, file.Set{Mode: &mode, UID: -1, GID: -1})
		if err == nil && attr.Type == fs.ModeSymlink {
			return syscall.ELOOP
		}
		return err
	}, name)
}

// Chown sets owner and group, of a link itself; -1 leaves one as it is.
func (f *FS) Chown(ctx context.Context, name string, uid, gid int) error {
	path, err := split(name)
	return f.call(ctx, "chown", err, func() error {
		_, err := f.client.Setattr(ctx, &f.cred, path, file.Set{UID: uid, GID: gid})
		return err
	}, name)
}

// Symlink makes a link that holds exactly target.
func (f *FS) Symlink(ctx context.Context, target, name string) error {
	path, err := splitNew(name)
	return f.call(ctx, "symlink", err, func() error {
		return f.settleSymlink(ctx, target, path, f.client.Symlink(ctx, &f.cred, target, path))
	}, name)
}

// Readlink returns a link's target; fs.ErrInvalid for anything else.
func (f *FS) Readlink(ctx context.Context, name string) (string, error) {
	path, err := split(name)
	var target string
	err = f.call(ctx, "readlink", err, func() error {
		target, err = f.client.Readlink(ctx, &f.cred, path)
		return err
	}, name)
	return target, err
}

// ReadFile returns the content of a regular file. More than limit bytes match syscall.EFBIG.
func (f *FS) ReadFile(ctx context.Context, name string, limit int64) ([]byte, error) {
	path, err := split(name)
	var data []byte
	err = f.call(ctx, "read", err, func() error {
		data, err = f.client.ReadFile(ctx, &f.cred, path, limit)
		return err
	}, name)
	if err != nil {
		return nil, err
	}
	return data, nil
}

// CreateFile makes a regular file with exactly perm and data, on stable storage when it returns. fs.ErrExist if the name
// is taken. A crash of the server in between may leave a shorter file; any other error leaves none.
func (f *FS) CreateFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	path, err := splitNew(name)
	mode := file.Bits(perm)
	return f.call(ctx, "create", err, func() error {
		for tries := 1; ; tries++ {
			err := f.client.CreateFile(ctx, &f.cred, path, data, mode)
			again, err := f.settleCreate(ctx, path, data, mode, err)
			if !again || tries == creates {
				return err
			}
		}
	}, name)
}

// Rename moves as rename(2) does: it replaces a file or an empty directory, and a directory that is not empty matches
// syscall.ENOTEMPTY.
func (f *FS) Rename(ctx context.Context, oldname, newname string) error {
	from, err := splitNew(oldname)
	to, errTo := splitNew(newname)
	if err == nil {
		err = errTo
	}
	return f.call(ctx, "rename", err, func() error {
		return f.settleRename(ctx, to, f.client.Rename(ctx, &f.cred, from, to))
	}, oldname, newname)
}

// Remove takes away a file, a link or an empty directory.
func (f *FS) Remove(ctx context.Context, name string) error {
	path, err := splitNew(name)
	return f.call(ctx, "remove", err, func() error {
		return f.settleRemove(ctx, path, f.client.Remove(ctx, &f.cred, path))
	}, name)
}

// Space reports the bytes of the export's file system; available is what we may use of it.
func (f *FS) Space(ctx context.Context) (total, free, available uint64, err error) {
	var u file.Usage
	err = f.call(ctx, "statfs", nil, func() error {
		u, err = f.client.Usage(ctx, &f.cred)
		return err
	}, ".")
	return u.Total, u.Free, u.Available, err
}
