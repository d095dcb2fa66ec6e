package nfs3

import (
	"context"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

const (
	procDump   = 4    // of the port mapper
	procExport = 5    // of MOUNT
	mostListed = 4096 // entries of a list that is read; a server may go on for ever
	maxExport  = 1024 // MNTPATHLEN
	maxClient  = 255  // MNTNAMLEN
)

// Service is a program that a port mapper knows.
type Service struct {
	Program, Version, Protocol uint32
	Port                       int
}

// Export is a directory that MOUNT offers, and to whom; no clients: to everybody.
type Export struct {
	Path    string
	Clients []string
}

// mapper connects to the port mapper.
func (cfg *Config) mapper(ctx context.Context) (*rpc.Conn, error) {
	dialer := cfg.Dialer.To(portmapPort, portmapProgram, portmapVersion)
	dialer.Source, dialer.TLS = rpc.AnyPort, nil // low ports are few, and no port mapper has TLS
	nc, err := dialer.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return rpc.NewConn(nc, cfg.Silence), nil
}

// Services lists what the port mapper knows.
func Services(ctx context.Context, cfg Config) ([]Service, error) {
	conn, err := cfg.mapper(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	body, err := conn.Call(ctx, &rpc.Request{Program: portmapProgram, Version: portmapVersion, Procedure: procDump})
	if err != nil {
		return nil, fmt.Errorf("asking the port mapper: %w", err)
	}
	d := xdr.NewDecoder(body)
	return decodeServices(d), d.Err()
}

func decodeServices(d *xdr.Decoder) (all []Service) {
	for len(all) < mostListed && d.Bool() {
		all = append(all, Service{Program: d.Uint32(), Version: d.Uint32(), Protocol: d.Uint32(), Port: int(d.Uint32())})
	}
	return all
}

// Exports lists what MOUNT offers.
func Exports(ctx context.Context, cfg Config) ([]Export, error) {
	_, ports, err := cfg.ports(ctx)
	if err != nil {
		return nil, err
	}
	for _, port := range ports {
		var all []Export
		if all, err = cfg.exportsAt(ctx, port); err == nil {
			return all, nil
		}
	}
	return nil, err
}

func (cfg *Config) exportsAt(ctx context.Context, port int) ([]Export, error) {
	nc, err := cfg.Dialer.To(port, mountProgram, mountVersion).Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn := rpc.NewConn(nc, cfg.Silence)
	defer conn.Close()
	body, err := conn.Call(ctx, &rpc.Request{Program: mountProgram, Version: mountVersion, Procedure: procExport})
	if err != nil {
		return nil, fmt.Errorf("asking for the exports on port %d: %w", port, err)
	}
	d := xdr.NewDecoder(body)
	return decodeExports(d), d.Err()
}

func decodeExports(d *xdr.Decoder) (all []Export) {
	for len(all) < mostListed && d.Bool() {
		e := Export{Path: d.String(maxExport)}
		for len(e.Clients) < mostListed && d.Bool() {
			e.Clients = append(e.Clients, d.String(maxClient))
		}
		all = append(all, e)
	}
	return all
}
