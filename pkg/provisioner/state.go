package provisioner

import (
	"errors"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"
)

// stateOf says what is known after a failed CreateVolume. Finished: nothing is left behind, so that a claim which goes
// away may be forgotten. InBackground: something may be, so that the library goes on until it knows, even when the
// claim is gone, and the volume is then deleted in the usual way.
func stateOf(err error) controller.ProvisioningState {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.ResourceExhausted, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		return controller.ProvisioningFinished
	}
	return controller.ProvisioningInBackground
}

// stateNow is what is known with what earlier tries of the claim have left. A server that refuses us, or to be written to, shows
// nothing of that and lets nobody remove it: it stays as it was known, so that a claim which was deleted meanwhile is followed
// up once the server admits us again.
func stateNow(err error) controller.ProvisioningState {
	switch status.Code(err) {
	case codes.PermissionDenied, codes.FailedPrecondition:
		return controller.ProvisioningNoChange
	}
	return stateOf(err)
}

// maxMessage keeps an Event's message, with what the library puts before it, below the API's 1,024 bytes.
const maxMessage = 800

// readable is the message of a gRPC error without its code: it becomes an Event, read by people. A text that came from
// a server may hold any bytes, and the API takes only UTF-8.
func readable(err error) error {
	text := strings.ToValidUTF8(status.Convert(err).Message(), "?")
	if status.Code(err) == codes.DeadlineExceeded {
		text = "the NFS server does not answer, trying again: " + text
	}
	if len(text) > maxMessage {
		end := maxMessage
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "..."
	}
	return errors.New(text)
}
