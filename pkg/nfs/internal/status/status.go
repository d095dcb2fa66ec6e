// Package status names what an NFS server answers and says what it means in the words of errno.
package status

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// Code is an nfsstat3 or nfsstat4; the two agree wherever both have a value.
type Code uint32

// The values this client acts on (RFC 1813 section 2.6, RFC 8881 section 15).
const (
	OK             Code = 0
	Perm           Code = 1
	NoEnt          Code = 2
	IO             Code = 5
	NXIO           Code = 6
	Access         Code = 13
	Exist          Code = 17
	XDev           Code = 18
	NotDir         Code = 20
	IsDir          Code = 21
	Inval          Code = 22
	FBig           Code = 27
	NoSpace        Code = 28
	ReadOnly       Code = 30
	NotEmpty       Code = 66
	Quota          Code = 69
	Stale          Code = 70
	BadHandle      Code = 10001
	BadCookie      Code = 10003
	NotSupp        Code = 10004
	TooSmall       Code = 10005
	ServerFault    Code = 10006
	BadType        Code = 10007
	Delay          Code = 10008 // JUKEBOX in version 3
	Expired        Code = 10011
	Grace          Code = 10013
	FHExpired      Code = 10014
	WrongSec       Code = 10016
	ClientIDInUse  Code = 10017
	Resource       Code = 10018
	Moved          Code = 10019
	NoFileHandle   Code = 10020
	MinorMismatch  Code = 10021
	StaleClientID  Code = 10022
	StaleStateID   Code = 10023
	OldStateID     Code = 10024
	BadStateID     Code = 10025
	BadSeqID       Code = 10026
	NotSame        Code = 10027
	Symlink        Code = 10029
	LeaseMoved     Code = 10031
	AttrNotSupp    Code = 10032
	BadXDR         Code = 10036
	BadOwner       Code = 10039
	OpIllegal      Code = 10044
	AdminRevoked   Code = 10047
	BadSession     Code = 10052
	BadSlot        Code = 10053
	CompleteAlr    Code = 10054
	NotBound       Code = 10055
	SeqMisordered  Code = 10063
	ReqTooBig      Code = 10065
	RepTooBig      Code = 10066
	RepTooBigCache Code = 10067
	RetryUncached  Code = 10068
	TooManyOps     Code = 10070
	ClientIDBusy   Code = 10074
	SeqFalseRetry  Code = 10076
	DeadSession    Code = 10078
	WrongType      Code = 10083
	OffloadNoReqs  Code = 10094
	NoXattr        Code = 10095
	XattrTooBig    Code = 10096
)

// Error is a call that the server answered with anything but OK.
type Error struct {
	Version int    // of the protocol: 3 or 4
	Op      string // procedure or operation, e.g. "LOOKUP"
	Code    Code
	// Resent tells that the request was sent before over a connection that was lost, and may have been done then: the
	// answer may be about our own doing.
	Resent bool
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s", e.Op, e.Code.Name(e.Version))
	if e.Op == "MNT" {
		text = strings.Replace(text, "NFS3ERR_", "MNT3ERR_", 1)
	}
	if words := e.Code.words(); words != "" {
		text += " (" + words + ")"
	}
	return text
}

// Is adds what syscall.Errno leaves out: that EINVAL is fs.ErrInvalid.
func (e *Error) Is(target error) bool {
	return target == fs.ErrInvalid && e.Code.Errno() == syscall.EINVAL
}

// Unwrap gives the errno of the same meaning, EIO where there is none.
func (e *Error) Unwrap() error { return e.Code.Errno() }

// Errno is the errno of the same meaning, EIO where there is none.
func (c Code) Errno() syscall.Errno {
	if m, ok := meanings[c]; ok && m.errno != 0 {
		return m.errno
	}
	return syscall.EIO
}

// Name is the symbol of the RFC, or the number where it has none.
func (c Code) Name(version int) string {
	if version == 3 {
		if c == Delay {
			return "NFS3ERR_JUKEBOX"
		}
		if c == Access {
			return "NFS3ERR_ACCES"
		}
	}
	if m, ok := meanings[c]; ok {
		return fmt.Sprintf("NFS%dERR_%s", version, m.name)
	}
	return fmt.Sprintf("nfsstat%d %d", version, uint32(c))
}

// Of finds the status in an error, OK where there is none.
func Of(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return OK
}

// Is tells whether err carries one of the codes.
func Is(err error, codes ...Code) bool {
	of := Of(err)
	if of == OK {
		return false
	}
	for _, c := range codes {
		if of == c {
			return true
		}
	}
	return false
}

// MaybeOurs tells whether one of ops refused a request that may have been done before.
func MaybeOurs(err error, ops ...string) bool {
	var e *Error
	return errors.As(err, &e) && e.Resent && slices.Contains(ops, e.Op)
}

// NoteResent carries over from earlier attempts at the same thing that a request may have been done before.
func NoteResent(err error, before bool) bool {
	var e *Error
	if !errors.As(err, &e) {
		return before
	}
	e.Resent = e.Resent || before
	return e.Resent
}

// ErrNoExport is an export that was open and that the server does not give us any more. It matches no status of the server,
// which would be taken for that of a name in the export.
var ErrNoExport = errors.New("the server does not have the export for us any more")

// ErrCircle is a listing that comes back to where it was. Like one whose place the server does not know it may be begun again.
var ErrCircle = fmt.Errorf("the server does not list it to its end: %w", &Error{Version: 4, Op: "READDIR", Code: BadCookie})

// Later tells whether the server asks to be asked again. RESOURCE is version 4.0's, of a server that is short of something for
// the moment or has done as many operations of one compound as it likes to (RFC 7530 section 13.1).
func Later(err error) bool { return Is(err, Delay, Grace, Resource) }

// Refused tells whether the server says that this user may not.
func Refused(err error) bool { return Is(err, Access, Perm) }

// Dead tells whether a handle no longer stands for anything.
func Dead(err error) bool { return Is(err, Stale, BadHandle, FHExpired) }
