// Package nfs3 speaks version 3 of NFS and of MOUNT (RFC 1813), and as much of the port mapper (RFC 1833) as it needs.
package nfs3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// Programs.
const (
	portmapProgram, portmapVersion = 100000, 2
	mountProgram, mountVersion     = 100005, 3
	program, version               = 100003, 3
)

const (
	portmapPort    = 111
	usualPort      = 2049
	usualMountPort = 20048 // where Linux and ganesha serve MOUNT when there is no port mapper to ask
	procGetport    = 3
	procMnt        = 1
	protocolTCP    = 6
	authNone       = 0
	authSys        = 1
	maxHandle      = 64 // FHSIZE3
)

// Config is what a Client needs to know.
type Config struct {
	Dialer          *rpc.Dialer // of the host; its port and program are replaced
	Port, MountPort int         // 0: ask the port mapper
	Silence         time.Duration
	Cred            rpc.Credential
	Export          string // absolute path
}

// ErrFlavor is matched when the export does not take AUTH_SYS credentials.
var ErrFlavor = errors.New("the export does not allow sec=sys")

// ports finds out where NFS and MOUNT listen. Without a port mapper the usual ports are taken; so they are with TLS, because
// no port mapper has it, and what one says in the clear could lead to another service of the same machine.
func (cfg *Config) ports(ctx context.Context) (nfs int, mount []int, err error) {
	nfs, mount = cfg.Port, []int{cfg.MountPort}
	if cfg.Dialer.TLS != nil {
		nfs, mount = usualPorts(cfg.Port, cfg.MountPort)
		return nfs, mount, nil
	}
	if cfg.Port != 0 && cfg.MountPort != 0 {
		return nfs, mount, nil
	}
	mappedNFS, mappedMount, mapErr := cfg.portmap(ctx)
	if ctx.Err() != nil {
		return 0, nil, mapErr
	}
	if cfg.Port == 0 {
		if nfs = mappedNFS; mapErr == nil && nfs == 0 {
			return 0, nil, &rpc.RefusedError{Stat: rpc.ProgramUnavailable}
		}
	}
	if cfg.MountPort != 0 {
		mappedMount = cfg.MountPort
	}
	nfs, mount = usualPorts(nfs, mappedMount)
	return nfs, mount, nil
}

// usualPorts replaces ports that are 0. Servers in user space often serve both programs on one port.
func usualPorts(port, mountPort int) (nfs int, mount []int) {
	if port == 0 {
		port = usualPort
	}
	if mountPort == 0 {
		return port, []int{port, usualMountPort}
	}
	return port, []int{mountPort}
}

// portmap asks for both ports; 0 stands for a program that is not registered.
func (cfg *Config) portmap(ctx context.Context) (nfs, mount int, err error) {
	conn, err := cfg.mapper(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	getport := func(program, version uint32) (int, error) {
		var e xdr.Encoder
		e.Uint32(program)
		e.Uint32(version)
		e.Uint32(protocolTCP)
		e.Uint32(0)
		body, err := conn.Call(ctx, &rpc.Request{Program: portmapProgram, Version: portmapVersion, Procedure: procGetport, Args: e.B})
		if err != nil {
			return 0, fmt.Errorf("asking the port mapper: %w", err)
		}
		d := xdr.NewDecoder(body)
		port := d.Uint32()
		if port > 65535 {
			d.Fail("port %d", port)
		}
		return int(port), d.Err()
	}
	nfs, err = getport(program, version)
	if err != nil {
		return 0, 0, err
	}
	mount, err = getport(mountProgram, mountVersion)
	return nfs, mount, err
}

// mountRoot gets the export's handle from the first port that answers.
func (cfg *Config) mountRoot(ctx context.Context, ports []int) (file.Handle, error) {
	var failures []error
	for _, port := range ports {
		nc, err := cfg.Dialer.To(port, mountProgram, mountVersion).Connect(ctx)
		if err == nil {
			var h file.Handle
			h, err = cfg.mnt(ctx, nc)
			if err == nil || status.Of(err) != status.OK {
				return h, err
			}
		}
		failures = append(failures, fmt.Errorf("asking for the export on port %d: %w", port, err))
	}
	err := errors.Join(failures...)
	if errors.Is(err, rpc.ErrTLS) {
		err = fmt.Errorf("version 3 asks for an export by MOUNT, which must have TLS too (version 4 does without it: vers=4): %w", err)
	}
	return "", err
}

func (cfg *Config) mnt(ctx context.Context, nc net.Conn) (file.Handle, error) {
	conn := rpc.NewConn(nc, cfg.Silence)
	defer conn.Close()
	var e xdr.Encoder
	e.String("/" + strings.Trim(cfg.Export, "/"))
	body, err := conn.Call(ctx, &rpc.Request{
		Program: mountProgram, Version: mountVersion, Procedure: procMnt, Credential: &cfg.Cred, Args: e.B,
	})
	if err != nil {
		return "", err
	}
	d := xdr.NewDecoder(body)
	if code := status.Code(d.Uint32()); code != status.OK && d.Err() == nil {
		return "", &status.Error{Version: 3, Op: "MNT", Code: code}
	}
	h := decodeHandle(d)
	var flavors []uint32
	for range d.Count(4) {
		flavors = append(flavors, d.Uint32())
	}
	if d.Err() == nil && len(flavors) > 0 && !slices.Contains(flavors, authSys) && !slices.Contains(flavors, authNone) {
		return "", fmt.Errorf("%w (it allows flavors %v)", ErrFlavor, flavors)
	}
	return h, d.Err()
}
