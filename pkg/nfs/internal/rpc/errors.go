package rpc

import (
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// DeniedError is a server that does not accept the credential of a call (auth_stat of RFC 5531 section 9).
type DeniedError struct{ Stat uint32 }

func (e *DeniedError) Error() string {
	names := map[uint32]string{
		1: "AUTH_BADCRED", 2: "AUTH_REJECTEDCRED", 3: "AUTH_BADVERF", 4: "AUTH_REJECTEDVERF", 5: "AUTH_TOOWEAK",
		6: "AUTH_INVALIDRESP", 7: "AUTH_FAILED",
	}
	if name, ok := names[e.Stat]; ok {
		return "call denied: " + name
	}
	return fmt.Sprintf("call denied: auth_stat %d", e.Stat)
}

// Too weak: the server wants another security flavor than AUTH_SYS.
func (e *DeniedError) TooWeak() bool { return e.Stat == 5 }

// RefusedError is a server that cannot do what was called (accept_stat of RFC 5531 section 9).
type RefusedError struct {
	Stat      uint32
	Low, High uint32 // with ProgramMismatch: the versions it has
}

// Values of RefusedError.Stat.
const (
	ProgramUnavailable   = 1
	ProgramMismatch      = 2
	ProcedureUnavailable = 3
	GarbageArguments     = 4
	SystemError          = 5
)

func (e *RefusedError) Error() string {
	switch e.Stat {
	case ProgramUnavailable:
		return "the server does not have this program (PROG_UNAVAIL)"
	case ProgramMismatch:
		return fmt.Sprintf("the server has versions %d to %d of this program only (PROG_MISMATCH)", e.Low, e.High)
	case ProcedureUnavailable:
		return "the server does not have this procedure (PROC_UNAVAIL)"
	case GarbageArguments:
		return "the server could not read our call (GARBAGE_ARGS)"
	case SystemError:
		return "the server had an internal error (SYSTEM_ERR)"
	}
	return fmt.Sprintf("call not accepted: accept_stat %d", e.Stat)
}

func parseAccepted(d *xdr.Decoder) (verifier string, err error) {
	if flavor, body := d.Uint32(), d.Opaque(maxAuth); flavor == authNone {
		verifier = string(body)
	}
	stat := d.Uint32()
	switch stat {
	case 0:
		return verifier, nil
	case ProgramMismatch:
		return verifier, &RefusedError{Stat: stat, Low: d.Uint32(), High: d.Uint32()}
	}
	return verifier, &RefusedError{Stat: stat}
}

func parseDenied(d *xdr.Decoder) error {
	if stat := d.Uint32(); stat == 0 { // RPC_MISMATCH
		return &RefusedError{Stat: ProgramMismatch, Low: d.Uint32(), High: d.Uint32()}
	}
	return &DeniedError{Stat: d.Uint32()}
}
