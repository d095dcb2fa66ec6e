package driver

import (
	"context"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// errPublished: the volume is at another target of this node and its access mode allows one only (CSI spec,
// NodePublishVolume, table of access modes).
var errPublished = errors.New("published at another target")

// statusCodes is the one place where an error becomes a gRPC code; the first match counts. What the server or the
// request says comes before the context, since "unreachable" tells more than "too late".
var statusCodes = [...]struct {
	err  error
	code codes.Code
}{
	{volume.ErrInvalid, codes.InvalidArgument},
	{volume.ErrRange, codes.OutOfRange},
	{volume.ErrExists, codes.AlreadyExists},
	{volume.ErrNotFound, codes.NotFound},
	{volume.ErrBusy, codes.Aborted},
	{volume.ErrToken, codes.Aborted},
	{volume.ErrRefused, codes.PermissionDenied},
	{volume.ErrNoSpace, codes.ResourceExhausted},
	{volume.ErrReadOnly, codes.FailedPrecondition},
	{volume.ErrUnsupported, codes.FailedPrecondition},
	{errPublished, codes.FailedPrecondition},
	{volume.ErrUnavailable, codes.Unavailable},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{context.Canceled, codes.Canceled},
}

// statusOf makes the error that a CSI caller gets: a code and one line of text. nil stays nil.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	return status.Error(codeOf(err), oneLine(err))
}

func codeOf(err error) codes.Code {
	for _, s := range statusCodes {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return codes.Internal
}

// maxText bounds what one call answers, in bytes.
const maxText = 2000

// oneLine is the text of err as events and logs show it: joined errors on one line, no character that a terminal obeys, and of a
// text that is too long the beginning and the end, where the advice is. Text that is not UTF-8, as a name on an export may be,
// would make gRPC lose the whole message.
func oneLine(err error) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\n", "; "), "\uFFFD"))
	if len(text) > maxText {
		text = text[:maxText*3/4] + " ... " + text[len(text)-maxText/4:]
	}
	return strings.ToValidUTF8(text, "") // of the runes that were cut
}
