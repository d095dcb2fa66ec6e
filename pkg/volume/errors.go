package volume

import (
	"errors"
	"fmt"
)

// The kinds of failure a caller decides on. Every package below cmd wraps one of them (%w); pkg/driver maps each to one
// gRPC code in one table, so no other package knows codes.
var (
	ErrInvalid     = errors.New("invalid argument")             // the request can never succeed as it is: InvalidArgument
	ErrRange       = errors.New("size is out of range")         // no size fits, such as one below that of the source: OutOfRange
	ErrExists      = errors.New("exists with other content")    // same name, other properties, or a taken directory: AlreadyExists
	ErrNotFound    = errors.New("not found")                    // the volume, path or target does not exist: NotFound
	ErrBusy        = errors.New("another operation is running") // on the same volume; retry later: Aborted
	ErrUnavailable = errors.New("server is not available")      // unreachable, restarting or in grace; retry later: Unavailable
	ErrRefused     = errors.New("server refuses access")        // an export option must change first: PermissionDenied
	ErrNoSpace     = errors.New("no space left on the export")  // full, or over quota: ResourceExhausted
	ErrReadOnly    = errors.New("export is read-only")          // FailedPrecondition
	ErrUnsupported = errors.New("not supported by this server") // FailedPrecondition
	ErrToken       = errors.New("starting token is not known")  // of a paginated list: Aborted
)

// ErrShareItself is the [ErrInvalid] of a handle that would be deleted with all other volumes of its share.
var ErrShareItself = fmt.Errorf("%w: it names the share itself and no directory below it", ErrInvalid)
