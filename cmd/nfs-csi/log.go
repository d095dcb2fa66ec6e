package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/grpclog"
	"k8s.io/klog/v2"
)

// logOptions are the flags of the log. A verbosity of n+3 shows what Kubernetes' libraries log at V(n).
type logOptions struct {
	format    string
	verbosity int
}

func (o *logOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.format, "log-format", "text", "text or json")
	f.IntVarP(&o.verbosity, "v", "v", 0, "verbosity: 3 shows what Kubernetes' libraries do, 4 and more show every step")
}

// logger makes the program's logger, and the default one to which [routeLibraryLogs] sends what libraries log.
func (o *logOptions) logger(w io.Writer) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: slog.Level(-o.verbosity)}
	var log *slog.Logger
	switch o.format {
	case "text":
		log = slog.New(slog.NewTextHandler(w, options))
	case "json":
		log = slog.New(slog.NewJSONHandler(w, options))
	default:
		return nil, fmt.Errorf("--log-format is %q: it must be text or json", o.format)
	}
	slog.SetDefault(log)
	var flags flag.FlagSet
	klog.InitFlags(&flags)
	if err := flags.Set("v", strconv.Itoa(o.verbosity)); err != nil {
		return nil, fmt.Errorf("setting the verbosity: %w", err)
	}
	return log, nil
}

// routeLibraryLogs sends what klog and gRPC log to the default logger of the time. It is called once, before either is
// used: gRPC asks for that.
func routeLibraryLogs() {
	klog.SetSlogLogger(slog.New(quieter{defaultHandler{}}))
	grpclog.SetLoggerV2(grpcLog{slog.New(defaultHandler{})})
}

// defaultHandler is that of [slog.Default], looked up each time.
type defaultHandler struct{}

func (defaultHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return slog.Default().Enabled(ctx, l)
}
func (defaultHandler) Handle(ctx context.Context, r slog.Record) error {
	return slog.Default().Handler().Handle(ctx, r)
}
func (defaultHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return slog.Default().Handler().WithAttrs(a)
}
func (defaultHandler) WithGroup(name string) slog.Handler {
	return slog.Default().Handler().WithGroup(name)
}

// quieter lowers what is less than a warning by three levels: Events, retries and elections at level 0 are what our own
// lines say already. So is what the libraries call an error when a call to the driver has failed and will be repeated.
type quieter struct{ slog.Handler }

const quieterBy = 3

func (q quieter) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, lower(l))
}

func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	if r.Level >= slog.LevelWarn && repeats(r) {
		if r.Level = slog.LevelInfo - quieterBy; !q.Handler.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return q.Handler.Handle(ctx, r)
}

// repeats says whether a library complains of a claim, a volume or a snapshot, and the call's own line says why.
func repeats(r slog.Record) bool {
	switch {
	case r.Message == "Error syncing PVC": // external-resizer
		return true
	case strings.HasPrefix(r.Message, "createSnapshot for content ["), strings.HasPrefix(r.Message, "could not sync content "),
		strings.HasPrefix(r.Message, "checkandUpdateContentStatus ["): // external-snapshotter
		return true
	case r.Message != "Unhandled Error":
		return false
	}
	about := false
	r.Attrs(func(a slog.Attr) bool {
		text := a.Value.String()
		about = about || a.Key == "err" && (strings.HasPrefix(text, "error syncing claim ") || strings.HasPrefix(text, "error syncing volume "))
		return !about
	})
	return about // sig-storage-lib-external-provisioner
}

func (q quieter) WithAttrs(a []slog.Attr) slog.Handler { return quieter{q.Handler.WithAttrs(a)} }
func (q quieter) WithGroup(name string) slog.Handler   { return quieter{q.Handler.WithGroup(name)} }

func lower(l slog.Level) slog.Level {
	if l < slog.LevelWarn {
		return l - quieterBy
	}
	return l
}

// grpcLog is a [grpclog.LoggerV2]. What gRPC tells as information is of interest to its developers only.
type grpcLog struct{ log *slog.Logger }

func (g grpcLog) Info(a ...any)            { g.log.Debug("grpc", "text", fmt.Sprint(a...)) }
func (g grpcLog) Infoln(a ...any)          { g.Info(a...) }
func (g grpcLog) Infof(f string, a ...any) { g.Info(fmt.Sprintf(f, a...)) }

func (g grpcLog) Warning(a ...any)            { g.log.Warn("grpc", "text", fmt.Sprint(a...)) }
func (g grpcLog) Warningln(a ...any)          { g.Warning(a...) }
func (g grpcLog) Warningf(f string, a ...any) { g.Warning(fmt.Sprintf(f, a...)) }

func (g grpcLog) Error(a ...any)            { g.log.Error("grpc", "text", fmt.Sprint(a...)) }
func (g grpcLog) Errorln(a ...any)          { g.Error(a...) }
func (g grpcLog) Errorf(f string, a ...any) { g.Error(fmt.Sprintf(f, a...)) }

// gRPC expects these to end the process; it calls none of them.
func (g grpcLog) Fatal(a ...any)            { g.Error(a...) }
func (g grpcLog) Fatalln(a ...any)          { g.Error(a...) }
func (g grpcLog) Fatalf(f string, a ...any) { g.Errorf(f, a...) }

func (g grpcLog) V(level int) bool {
	return g.log.Enabled(context.Background(), slog.Level(-4-level))
}
