// Package file describes what an export holds, the same for every version of the protocol.
package file

import (
	"io/fs"
	"time"
)

// Handle is a server's own name for a file or directory. It is opaque, and comparable.
type Handle string

// FSID tells the file systems of one server apart.
type FSID struct{ Major, Minor uint64 }

// Unknown stands for an owner or a group that a server names by a word instead of a number.
const Unknown = 65534

// Attr is what a server says about a file.
type Attr struct {
	Type       fs.FileMode // 0 for a regular file, else the type bits of fs.FileMode
	Mode       uint32      // the 12 permission bits as stat(2) has them
	Nlink      uint32
	UID, GID   uint32 // Unknown where the server sends a name that is no number
	Size       uint64
	FSID       FSID
	FileID     uint64 // inode number
	Used       uint64 // bytes on disk, less than Size where there are holes; 0 also where the server does not tell
	Major      uint32 // of a device node
	Minor      uint32
	Atime      time.Time
	Mtime      time.Time
	Ctime      time.Time
	OwnerNamed bool // UID is Unknown because the server maps owners to names
	// OwnerName and GroupName are what the server sends instead of numbers, "" where it sends numbers.
	OwnerName, GroupName string
}

// Owner returns the owner and the group.
func (a *Attr) Owner() (uid, gid uint32) { return a.UID, a.GID }

// Inode returns the inode number and how many names the file has.
func (a *Attr) Inode() (id uint64, names uint32) { return a.FileID, a.Nlink }

// Device returns the numbers of a device node.
func (a *Attr) Device() (major, minor uint32) { return a.Major, a.Minor }

// Accessed returns when the file was last read.
func (a *Attr) Accessed() time.Time { return a.Atime }

// Allocated returns the bytes that the file takes on disk.
func (a *Attr) Allocated() uint64 { return a.Used }

// IsDir tells a directory from everything else.
func (a *Attr) IsDir() bool { return a.Type == fs.ModeDir }

// FileMode joins type and permissions.
func (a *Attr) FileMode() fs.FileMode {
	mode := a.Type | fs.FileMode(a.Mode&0o777)
	for bit, special := range specials {
		if a.Mode&(0o1000<<bit) != 0 {
			mode |= special
		}
	}
	return mode
}

// The special bits from 01000 upwards.
var specials = [...]fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid}

// Bits is the inverse of Attr.FileMode for the permission part.
func Bits(perm fs.FileMode) uint32 {
	bits := uint32(perm.Perm())
	for bit, special := range specials {
		if perm&special != 0 {
			bits |= 0o1000 << bit
		}
	}
	return bits
}

// Set says which attributes to change: a negative owner or group, a nil mode or size and a zero time are left as they are.
type Set struct {
	Mode                 *uint32
	UID, GID             int
	OwnerName, GroupName string // in the place of UID and GID where they are not ""; version 4 only
	Size                 *uint64
	Atime, Mtime         time.Time
}

// Nothing is left to change.
func (s Set) Nothing() bool {
	return s.Mode == nil && s.UID < 0 && s.GID < 0 && s.OwnerName == "" && s.GroupName == "" && s.Size == nil &&
		s.Atime.IsZero() && s.Mtime.IsZero()
}

// Entry is one line of a directory.
type Entry struct {
	Name   string
	Attr   Attr
	Handle Handle // "" where the listing did not tell
	NoAttr bool   // the server could not or would not describe it
}

// Page is a part of a directory. A following page starts at Cookie, unless EOF.
type Page struct {
	ID      uint64 // inode number of the directory, 0 where the server did not tell
	Entries []Entry
	Cookie  Cookie
	EOF     bool
}

// Of tells whether a page is of the directory with these attributes, as far as the server tells: a handle that was damaged on
// its way may lead to another one.
func (p *Page) Of(a *Attr) bool { return p.ID == 0 || a.FileID == 0 || p.ID == a.FileID }

// Cookie is a place in a directory's listing; the zero value is the start.
type Cookie struct {
	Value    uint64
	Verifier [8]byte
}

// Course is the way of a listing from place to place; the zero value is at the start.
type Course struct {
	mark         uint64 // a place that was passed
	steps, until int    // since then, and after how many the mark is moved
}

// Circles goes on to the next place, and tells of a listing that will not come to an end: it was there before. Places are
// compared with one only, which is moved ever more rarely (R. P. Brent's algorithm), so that a circle of any size is found.
func (c *Course) Circles(next Cookie) bool {
	if next.Value == c.mark {
		return true
	}
	if c.steps++; c.steps > c.until {
		*c = Course{mark: next.Value, until: 2*c.until + 1}
	}
	return false
}

// Usage is the size of a file system in bytes, and how many files it can have; 0 where that is not told.
type Usage struct{ Total, Free, Available, Files, FilesFree uint64 }
