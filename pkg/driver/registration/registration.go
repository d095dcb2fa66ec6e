// Package registration makes a CSI driver known to the kubelet of its node.
package registration

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	api "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"github.com/nfs-csi/nfs-csi/pkg/driver/socket"
)

// csiVersion is the CSI version that kubelet is told; kubelet compares only its major part.
const csiVersion = "1.0.0"

const (
	defaultPoll = 2 * time.Second
	grace       = 2 * time.Second
)

// Config says what to register where.
type Config struct {
	Dir      string        // kubelet's registration directory, /var/lib/kubelet/plugins_registry
	Driver   string        // the driver's name
	Endpoint string        // path of the CSI socket as kubelet sees it
	Poll     time.Duration // how often to look whether the registration socket is still there; 0: 2 s
	Log      *slog.Logger
}

var (
	errPending = errors.New("kubelet has not asked for this driver yet: is the registration directory the one that kubelet watches?")
	errGone    = errors.New("the registration socket has been removed")
)

// Registrar answers kubelet's plugin watcher on a socket of its own, <Dir>/<Driver>-reg.sock.
type Registrar struct {
	api.UnimplementedRegistrationServer
	config Config

	mu    sync.Mutex
	state error
}

// New makes a registrar; nothing happens before [Registrar.Run].
func New(c Config) *Registrar {
	if c.Poll == 0 {
		c.Poll = defaultPoll
	}
	return &Registrar{config: c, state: errPending}
}

// Registered is nil once kubelet has accepted the driver, else what is in the way.
func (r *Registrar) Registered() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Run serves until ctx ends. kubelet registers a driver whose socket appears, and forgets one whose socket disappears, so
// when somebody removes the socket Run makes it again; when another process holds it, Run waits for it.
func (r *Registrar) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.serve(ctx); err != nil && ctx.Err() == nil {
			r.set(err)
			r.config.Log.WarnContext(ctx, "the driver is not registered with kubelet; trying again", "socket", r.path(), "err", err)
			wait(ctx, r.config.Poll)
		}
	}
}

// serve answers on the socket until ctx ends or the socket is not ours any more.
func (r *Registrar) serve(ctx context.Context) error {
	l, err := socket.Listen(ctx, "unix://"+r.path())
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.WaitForHandlers(true))
	api.RegisterRegistrationServer(server, r)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for ctx.Err() == nil {
			if wait(ctx, r.config.Poll); !l.Holds() {
				cancel(errGone)
			}
		}
	}()
	err = socket.Serve(ctx, l, server, grace)
	cancel(err)
	<-watched
	if cause := context.Cause(ctx); errors.Is(cause, errGone) {
		return cause
	}
	return err
}

func (r *Registrar) path() string { return filepath.Join(r.config.Dir, r.config.Driver+"-reg.sock") }

// GetInfo tells kubelet where the driver is.
func (r *Registrar) GetInfo(context.Context, *api.InfoRequest) (*api.PluginInfo, error) {
	return &api.PluginInfo{Type: api.CSIPlugin, Name: r.config.Driver, Endpoint: r.config.Endpoint, SupportedVersions: []string{csiVersion}}, nil
}

// NotifyRegistrationStatus hears kubelet's decision. kubelet itself tries again after a refusal.
func (r *Registrar) NotifyRegistrationStatus(ctx context.Context, s *api.RegistrationStatus) (*api.RegistrationStatusResponse, error) {
	if s.GetPluginRegistered() {
		r.set(nil)
		r.config.Log.InfoContext(ctx, "kubelet has registered the driver", "driver", r.config.Driver)
		return &api.RegistrationStatusResponse{}, nil
	}
	err := errors.New("kubelet refuses the driver: " + s.GetError())
	r.set(err)
	r.config.Log.ErrorContext(ctx, "the driver is not registered", "driver", r.config.Driver, "err", err)
	return &api.RegistrationStatusResponse{}, nil
}

func (r *Registrar) set(state error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = state
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
