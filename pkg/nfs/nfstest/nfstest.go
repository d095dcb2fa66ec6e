// Package nfstest judges whether a file system behaves as pkg/nfs promises.
//
// The promise is written down as a suite that every implementation passes: the real client against each real server,
// and the memory stand-ins used by tests of higher layers. A higher layer may then rely on whatever the suite shows.
package nfstest

import (
	"context"
	"io/fs"
	"testing"
	"time"
)

// FS is what is judged: the methods of *nfs.FS, with the contract of each. Names are slash-separated bytes relative to
// the root; "." is the root itself. "", "..", absolute names and names with empty, "." or ".." elements, or a zero byte
// anywhere, match fs.ErrInvalid, and so does "." where a name must be made or taken away. No method follows a symbolic
// link, neither at the end of a name nor in the middle of it.
type FS interface {
	Reader
	Maker
	Changer
	Trees
	Special
}

// Reader looks without changing anything. A missing name matches fs.ErrNotExist, a name below something that is no
// directory syscall.ENOTDIR or syscall.ELOOP.
type Reader interface {
	// Lstat describes name. Sys has a method Owner() (uid, gid uint32).
	Lstat(ctx context.Context, name string) (fs.FileInfo, error)
	// ReadDir lists a directory sorted by name, without "." and "..". One of too many names matches syscall.EFBIG.
	ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error)
	// ReadFile returns a regular file's whole content; one longer than limit is an error.
	ReadFile(ctx context.Context, name string, limit int64) ([]byte, error)
	// Readlink returns a link's target as it was given; something that is no link matches fs.ErrInvalid.
	Readlink(ctx context.Context, name string) (string, error)
	// Space reports the bytes of the file system holding the root.
	Space(ctx context.Context) (total, free, available uint64, err error)
}

// Maker makes new names. A name that exists, whatever it is, matches fs.ErrExist and stays as it was.
type Maker interface {
	// Mkdir makes a directory with exactly perm and, where they are not -1, owner and group. On error nothing is left.
	Mkdir(ctx context.Context, name string, perm fs.FileMode, uid, gid int) error
	// Symlink makes a link holding exactly target.
	Symlink(ctx context.Context, target, name string) error
	// CreateFile makes a regular file with exactly perm and data.
	CreateFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error
}

// Changer changes or takes away what exists.
type Changer interface {
	// Chmod sets exactly perm; a symbolic link is an error.
	Chmod(ctx context.Context, name string, perm fs.FileMode) error
	// Chown sets owner and group, -1 leaves one as it is; a link's own owner is changed, not its target's.
	Chown(ctx context.Context, name string, uid, gid int) error
	// Rename moves as rename(2) does: atomically, replacing a file or an empty directory.
	Rename(ctx context.Context, oldname, newname string) error
	// Remove takes away a file, a link or an empty directory.
	Remove(ctx context.Context, name string) error
}

// Trees works on whole trees. progress is called now and then, never at once
// from two goroutines, with the files and bytes done so far; it may be nil.
type Trees interface {
	// RemoveAll takes away a whole tree; nil when there is none. Links are removed, never followed.
	RemoveAll(ctx context.Context, name string, progress func(files, bytes int64)) error
	// CopyTree copies the directory from to the new name to, with everything that share.Trees promises.
	CopyTree(ctx context.Context, from, to string, progress func(files, bytes int64)) error
}

// Special makes and changes what only trees of others have.
type Special interface {
	// Link gives a file one more name; a directory is an error.
	Link(ctx context.Context, oldname, newname string) error
	// Mknod makes a FIFO, a socket or a device node with exactly the mode's permissions; another type matches fs.ErrInvalid.
	Mknod(ctx context.Context, name string, mode fs.FileMode, major, minor uint32) error
	// Chtimes sets when something was read and changed last, of a link itself.
	Chtimes(ctx context.Context, name string, accessed, modified time.Time) error
	// ReadAt reads from a regular file as much as there is; io.EOF where nothing is.
	ReadAt(ctx context.Context, name string, data []byte, offset int64) (n int, err error)
	// WriteAt writes into a regular file that is there, which becomes longer if need be.
	WriteAt(ctx context.Context, name string, data []byte, offset int64) error
}

// Owned is what the Sys value of every fs.FileInfo implements.
type Owned interface{ Owner() (uid, gid uint32) }

// Deviation is a known weakness of a server, not of the client: the suite then asks for less in that one point.
type Deviation int

const (
	NoSpecialBits  Deviation = iota // setuid, setgid and sticky are not kept
	VagueErrors                     // some refusals are reported as an I/O error or as EACCES instead of their own
	NoHardLinks                     // LINK is refused
	NoSpecialFiles                  // MKNOD is refused
	NoLinkTimes                     // it is not kept when a symbolic link was changed
	NoLinkOwners                    // a symbolic link cannot be given away
	NoAccessTimes                   // it is not kept when a file was read
)

// Run judges the file systems that open returns. Each test opens one of its own and works in one directory of its
// root, which it removes at the end, so the root may be shared and need not be empty.
func Run(t *testing.T, open func(t *testing.T) FS, deviations ...Deviation) {
	tests := []struct {
		name string
		run  func(s *suite)
	}{
		{"Root", (*suite).root},
		{"BadNames", (*suite).badNames},
		{"HostileNames", (*suite).hostileNames},
		{"NoLinkInTheMiddle", (*suite).noLinkInTheMiddle},
		{"MkdirModes", (*suite).mkdirModes},
		{"MkdirBelowSetgid", (*suite).mkdirBelowSetgid},
		{"MkdirOwner", (*suite).mkdirOwner},
		{"MakeExisting", (*suite).makeExisting},
		{"MakeWithoutParent", (*suite).makeWithoutParent},
		{"OneMakerWins", (*suite).oneMakerWins},
		{"Lstat", (*suite).lstat},
		{"ReadDir", (*suite).readDir},
		{"ReadDirLong", (*suite).readDirLong},
		{"Files", (*suite).files},
		{"ReadFileRefuses", (*suite).readFileRefuses},
		{"Links", (*suite).links},
		{"Chmod", (*suite).chmod},
		{"Chown", (*suite).chown},
		{"Rename", (*suite).rename},
		{"RenameReplaces", (*suite).renameReplaces},
		{"RenameRefuses", (*suite).renameRefuses},
		{"Remove", (*suite).remove},
		{"RemoveAll", (*suite).removeAll},
		{"RemoveAllKeepsOutside", (*suite).removeAllKeepsOutside},
		{"RemoveAllLocked", (*suite).removeAllLocked},
		{"RemoveAllWide", (*suite).removeAllWide},
		{"RemoveAllDeep", (*suite).removeAllDeep},
		{"WriteAt", (*suite).writeAt},
		{"ReadAt", (*suite).readAt},
		{"Chtimes", (*suite).chtimes},
		{"Link", (*suite).link},
		{"CopyTree", (*suite).copyTree},
		{"CopyTreeAttributes", (*suite).copyTreeAttributes},
		{"CopyTreeHardLinks", (*suite).copyTreeHardLinks},
		{"CopyTreeSpecialFiles", (*suite).copyTreeSpecialFiles},
		{"CopyTreeHoles", (*suite).copyTreeHoles},
		{"CopyTreeHostileNames", (*suite).copyTreeHostileNames},
		{"CopyTreeRefuses", (*suite).copyTreeRefuses},
		{"CopyTreeWide", (*suite).copyTreeWide},
		{"CopyTreeDeep", (*suite).copyTreeDeep},
		{"CopyTreeCanceled", (*suite).copyTreeCanceled},
		{"Space", (*suite).space},
		{"Canceled", (*suite).canceled},
		{"ManyAtOnce", (*suite).manyAtOnce},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(newSuite(t, open(t), deviations)) })
	}
}
