// Package storage says what volumes need of the share that they are on.
package storage

import (
	"context"
	"io/fs"
	"time"
)

// FS is one share: pkg/nfs implements it over the network, pkg/share/memfs in memory, and
// pkg/nfs/nfstest is the suite that both pass.
//
// Names are slash-separated bytes relative to the share, "." the share itself; no method follows a symbolic link, not
// even in the middle of a name. Errors match those of io/fs and syscall.Errno (ENOSPC, EDQUOT, ENOTEMPTY, EROFS, ...)
// by errors.Is. All methods may be called at once and obey their context.
type FS interface {
	Directories
	Files
	Attributes
	Trees
	Contents
}

// Directories makes, lists, moves and removes.
type Directories interface {
	// Mkdir makes a directory with exactly the given mode, whatever the umask; an owner of -1 is left to the server.
	// fs.ErrExist if the name is taken.
	Mkdir(ctx context.Context, name string, perm fs.FileMode, uid, gid int) error
	// ReadDir lists a directory sorted by name. syscall.EFBIG, beside some of its names: it has more of them than are taken into
	// memory.
	ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error)
	// Rename is POSIX rename: atomic, and it replaces a file or an empty directory.
	Rename(ctx context.Context, oldName, newName string) error
	// Remove removes a file, a link or an empty directory.
	Remove(ctx context.Context, name string) error
}

// Trees works on whole trees. progress is called now and then, never at once from two goroutines, with the files and
// bytes done since the call began; nil: nobody listens.
type Trees interface {
	// RemoveAll removes a tree, nil if there is none; it never follows a link.
	RemoveAll(ctx context.Context, name string, progress func(files, bytes int64)) error
	// CopyTree copies the directory from to the new name to (fs.ErrExist if there is something), with everything in it:
	// owners, modes with setuid, setgid and sticky, modification and access times, symbolic links as links, hard links as
	// hard links, holes, FIFOs, sockets and device nodes, names of any bytes. It never follows a link and never leaves the
	// file system of from (a directory that is another file system: syscall.EXDEV). When it returns nil everything is
	// verified (count, type and size of each thing) and on stable storage. After an error what was made stays for the
	// caller to remove. What others remove from the tree meanwhile is left out; a file that grows is copied as far as it
	// was when it was opened.
	CopyTree(ctx context.Context, from, to string, progress func(files, bytes int64)) error
}

// Files reads and writes what is small: records and links.
type Files interface {
	// ReadFile refuses what is not a regular file and what is longer than limit bytes.
	ReadFile(ctx context.Context, name string, limit int64) ([]byte, error)
	// CreateFile makes a file that was not there (fs.ErrExist) and is on stable storage when it returns. A crash of the
	// server in between may leave a shorter file.
	CreateFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error
	// Symlink makes a link called name that holds target; fs.ErrExist if the name is taken.
	Symlink(ctx context.Context, target, name string) error
	// Readlink reads what a link holds.
	Readlink(ctx context.Context, name string) (string, error)
}

// Attributes reads and sets what is known of files.
type Attributes interface {
	// Lstat describes the file or link itself.
	Lstat(ctx context.Context, name string) (fs.FileInfo, error)
	// Chmod sets the mode, special bits too.
	Chmod(ctx context.Context, name string, perm fs.FileMode) error
	// Chown sets owner and group, of a link itself; -1 leaves one as it is.
	Chown(ctx context.Context, name string, uid, gid int) error
	// Space is the size and the free space of the share's file system in bytes; available is what we may use of it.
	Space(ctx context.Context) (total, free, available uint64, err error)
}

// Contents makes what archives of trees hold.
type Contents interface {
	// ReadAt reads from a regular file into data, as much as there is; io.EOF where nothing is. It refuses what is not a
	// regular file.
	ReadAt(ctx context.Context, name string, data []byte, offset int64) (n int, err error)
	// WriteAt writes into a regular file that is there, which becomes longer if need be, and is on stable storage when it
	// returns.
	WriteAt(ctx context.Context, name string, data []byte, offset int64) error
	// Link gives a file another name; fs.ErrExist if the name is taken.
	Link(ctx context.Context, oldName, newName string) error
	// Mknod makes a FIFO, a socket or a device node; fs.ErrExist if the name is taken.
	Mknod(ctx context.Context, name string, mode fs.FileMode, major, minor uint32) error
	// Chtimes sets when something was read and changed last, of a link itself.
	Chtimes(ctx context.Context, name string, accessed, modified time.Time) error
}
