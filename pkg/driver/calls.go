package driver

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// defaultDeadline ends a call whose caller set no deadline.
const defaultDeadline = 60 * time.Second

// headStart is how long before its caller's deadline a call ends, or a tenth of the time if that is less: so that what the
// call has to say, such as how far a copy is, reaches the caller before it gives up.
const headStart = time.Second

// Calls is what every call passes through, from a socket or from within the process: a deadline, one line in the log, and
// a measurement. Requests are never logged, only their volume and target, so that no secret can be.
type Calls struct {
	Log      *slog.Logger
	Deadline time.Duration // of a call that comes without one; 0: 60 s
	// Observe is told of each call, "CreateVolume" or "NodePublishVolume"; may be nil.
	Observe func(method string, d time.Duration, code codes.Code)
}

// Intercept is a [grpc.UnaryServerInterceptor].
func (c Calls) Intercept(ctx context.Context, r any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	return through(ctx, c, info.FullMethod, r, next)
}

func through[Request, Answer any](ctx context.Context, c Calls, fullMethod string, r Request, next func(context.Context, Request) (Answer, error)) (Answer, error) {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	start := time.Now()
	answer, err := next(ctx, r)
	c.done(ctx, shortName(fullMethod), r, time.Since(start), err)
	return answer, err
}

// limit sets when a call has to end.
func (c Calls) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, set := ctx.Deadline()
	if !set {
		return context.WithTimeout(ctx, cmp.Or(c.Deadline, defaultDeadline))
	}
	return context.WithDeadline(ctx, deadline.Add(-min(headStart, time.Until(deadline)/10)))
}

func (c Calls) done(ctx context.Context, method string, r any, d time.Duration, err error) {
	if c.Observe != nil {
		c.Observe(method, d, status.Code(err))
	}
	level := slog.LevelInfo
	switch {
	case status.Code(err) == codes.Internal:
		level = slog.LevelError
	case err != nil:
		level = slog.LevelWarn
	case quiet[method]:
		level = slog.LevelDebug
	}
	attributes := append([]slog.Attr{slog.String("method", method)}, subject(r)...)
	attributes = append(attributes, slog.Duration("duration", d), slog.String("code", status.Code(err).String()))
	if err != nil {
		attributes = append(attributes, slog.String("err", status.Convert(err).Message()))
	}
	c.Log.LogAttrs(ctx, level, "call", attributes...)
}

// quiet are the calls that come all the time and are of no interest while they succeed.
var quiet = map[string]bool{
	"Probe": true, "GetPluginInfo": true, "GetPluginCapabilities": true, "ControllerGetCapabilities": true,
	"NodeGetCapabilities": true, "NodeGetInfo": true, "NodeGetVolumeStats": true, "GetCapacity": true,
	"GetInfo": true, "NodeGetVolumeHealth": true, "NodeGetStorageHealth": true, "ControllerGetVolumeHealth": true, "ControllerListVolumeHealth": true, "GetSnapshot": true, "ListSnapshots": true,
}

// subject says what a request is about, by the fields that many requests share.
func subject(r any) []slog.Attr {
	var a []slog.Attr
	add := func(key, value string) {
		if value != "" {
			a = append(a, slog.String(key, shorten(value)))
		}
	}
	switch r := r.(type) {
	case *csi.CreateVolumeRequest:
		add("volume", r.GetName())
		add("source", cmp.Or(r.GetVolumeContentSource().GetVolume().GetVolumeId(), r.GetVolumeContentSource().GetSnapshot().GetSnapshotId()))
	case *csi.CreateSnapshotRequest:
		add("snapshot", r.GetName())
		add("source", r.GetSourceVolumeId())
	case interface{ GetVolumeId() string }:
		add("volume", r.GetVolumeId())
	case interface{ GetSnapshotId() string }:
		add("snapshot", r.GetSnapshotId())
	}
	switch r := r.(type) {
	case interface{ GetTargetPath() string }:
		add("target", r.GetTargetPath())
	case interface{ GetVolumePath() string }:
		add("target", r.GetVolumePath())
	}
	return a
}

// maxLogged bounds what one request can put into one field of the log, in bytes: handles are free text.
const maxLogged = 512

func shorten(s string) string {
	if len(s) <= maxLogged {
		return s
	}
	return s[:maxLogged] + "..."
}

func shortName(fullMethod string) string {
	for i := len(fullMethod) - 1; i >= 0; i-- {
		if fullMethod[i] == '/' {
			return fullMethod[i+1:]
		}
	}
	return fullMethod
}
