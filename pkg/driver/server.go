package driver

import (
	"context"
	"net"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"

	"github.com/nfs-csi/nfs-csi/pkg/driver/socket"
)

// Services are the CSI services to serve; one that is nil is not.
type Services struct {
	Identity   csi.IdentityServer
	Controller csi.ControllerServer
	Node       csi.NodeServer
}

// grace is the time that running calls get at the end.
const grace = 10 * time.Second

// Serve answers calls on l, from [socket.Listen], until ctx ends, then gives running calls 10 seconds, cancels those that
// still run, and answers nil when all have returned.
func Serve(ctx context.Context, l net.Listener, s Services, c Calls) error {
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(c.Intercept), grpc.WaitForHandlers(true))
	if s.Identity != nil {
		csi.RegisterIdentityServer(server, s.Identity)
	}
	if s.Controller != nil {
		csi.RegisterControllerServer(server, s.Controller)
	}
	if s.Node != nil {
		csi.RegisterNodeServer(server, s.Node)
	}
	return socket.Serve(ctx, l, server, grace)
}
