package nfs

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// What a caller decides on besides the errors of io/fs, syscall and context.
var (
	// ErrUnreachable is a server that cannot be connected to, or a lost connection that could not be made again in time.
	ErrUnreachable = rpc.ErrUnreachable
	// ErrGrace is a server that restarted and lets old clients reclaim their state first; retry in a minute.
	ErrGrace = errors.New("server is in its grace period after a restart")
	// ErrRefused is a server that does not admit us: its export must be changed, the text says how.
	ErrRefused = errors.New("server refuses us")
	// ErrTLS is a connection that Config.TLS asks for and that cannot be had: the server has no TLS, one of the two does not
	// trust the other, or our certificates cannot be read. It matches ErrRefused too: time does not mend it.
	ErrTLS = rpc.ErrTLS
	// ErrVersion is a server that has none of the versions asked for. It matches ErrRefused too.
	ErrVersion = errors.New("version not supported")
	// ErrSourcePort is LowPort where this process may not have one. It matches ErrRefused too.
	ErrSourcePort = rpc.ErrSourcePort
)

// hindrance is an error that matches ErrRefused and is not the server's doing, or not its alone.
type hindrance struct{ error }

func (h hindrance) Unwrap() error        { return h.error }
func (h hindrance) Is(target error) bool { return target == ErrRefused }

// explain turns what the protocol says into what a caller and a person can use.
func (f *FS) explain(op string, names []string, err error) error {
	if err == nil {
		return nil
	}
	quoted := strconv.Quote(names[0])
	for _, name := range names[1:] {
		quoted += " to " + strconv.Quote(name)
	}
	return fmt.Errorf("%s %s on %s:%s: %w", op, quoted, f.server, f.export, classify(err))
}

// classify adds the kinds of this package to an error.
func classify(err error) error {
	var denied *rpc.DeniedError
	switch {
	case errors.Is(err, ErrTLS), errors.Is(err, ErrSourcePort):
		return hindrance{err}
	case errors.As(err, &denied) && denied.TooWeak():
		return fmt.Errorf("%w: %w (it wants another security flavor: add sec=sys to the export)", ErrRefused, err)
	case errors.As(err, &denied):
		return fmt.Errorf("%w: %w (admit this client's address to the export)", ErrRefused, err)
	case errors.Is(err, status.ErrNoExport):
		return fmt.Errorf("%w: %w (export it to this client again, with its file system mounted; if it was replaced on purpose, restart nfs-csi)", ErrRefused, err)
	case status.Is(err, status.WrongSec):
		return fmt.Errorf("%w: %w (add sec=sys to the export)", ErrRefused, err)
	case status.Is(err, status.Grace):
		return fmt.Errorf("%w: %w", ErrGrace, err)
	case errors.Is(err, rpc.ErrLost) && !errors.Is(err, ErrUnreachable):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// over keeps what the server said when the caller's time is over: waiting for a grace period looks like a dead server
// otherwise.
func over(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}
