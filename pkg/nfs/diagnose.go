package nfs

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/nfs3"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// Service is an ONC RPC program that a server's port mapper knows (RFC 1833 section 3).
type Service = nfs3.Service

// Programs of [Service], and its protocol.
const (
	ProgramNFS   = nfsProgram
	ProgramMount = 100005
	ProgramLocks = 100021 // NLM, of version 3
	ProtocolTCP  = 6
)

// Exported is a directory that a server offers by MOUNT, and to whom; no clients: to everybody.
type Exported = nfs3.Export

// Addresses are those of the server that connections are tried to, at most 16. Config.Export is not looked at.
func Addresses(ctx context.Context, c Config) ([]netip.Addr, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("looking for %s: %w", c.Server, err)
	}
	return c.dialer().Addresses(ctx)
}

// Services lists what the server's port mapper knows. Config.Export is not looked at.
func Services(ctx context.Context, c Config) ([]Service, error) {
	cfg, err := c.listing()
	if err != nil {
		return nil, err
	}
	all, err := nfs3.Services(ctx, cfg)
	return all, classify(over(ctx, err))
}

// Exports lists what the server offers by MOUNT, which servers of version 4 alone do not have. Config.Export is not looked at.
func Exports(ctx context.Context, c Config) ([]Exported, error) {
	cfg, err := c.listing()
	if err != nil {
		return nil, err
	}
	all, err := nfs3.Exports(ctx, cfg)
	return all, classify(over(ctx, err))
}

func (c Config) listing() (nfs3.Config, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nfs3.Config{}, fmt.Errorf("asking %s: %w", c.Server, err)
	}
	return nfs3.Config{Dialer: c.dialer(), Port: c.Port, MountPort: c.MountPort, Silence: c.CallTimeout}, nil
}

// Inodes tells how many files the export's file system can have, and how many more fit; syscall.ENOTSUP where the server does not
// say, or makes them as they are needed.
func (f *FS) Inodes(ctx context.Context) (total, free uint64, err error) {
	var u file.Usage
	err = f.call(ctx, "statfs", nil, func() error {
		u, err = f.client.Usage(ctx, &f.cred)
		if err == nil && u.Files == 0 {
			err = syscall.ENOTSUP
		}
		return err
	}, ".")
	return u.Files, u.FilesFree, err
}

// Offload tells what a server does by itself with the content of regular files.
type Offload struct {
	Clone bool // share it (CLONE)
	Copy  bool // copy it (COPY)
}

// Offload tries both from one regular file, which must not be empty, to another, whose content it replaces.
func (f *FS) Offload(ctx context.Context, from, to string) (o Offload, err error) {
	source, err := splitNew(from)
	if err != nil {
		return o, fmt.Errorf("trying CLONE and COPY: %w", err)
	}
	target, err := splitNew(to)
	err = f.call(ctx, "offload", err, func() error {
		var c file.Copy
		if c.From, c.Attr, err = f.client.Lookup(ctx, &f.cred, source); err != nil {
			return err
		}
		if c.To, _, err = f.client.Lookup(ctx, &f.cred, target); err != nil {
			return err
		}
		o.Clone, err = able(func() error { _, err := f.client.CloneFile(ctx, &f.cred, &c); return err })
		if err == nil {
			o.Copy, err = able(func() error { _, err := f.client.CopyRange(ctx, &f.cred, &c, 0, c.Attr.Size); return err })
		}
		return err
	}, from, to)
	return o, err
}

// able tells a server that cannot do something from one that fails.
func able(do func() error) (bool, error) {
	err := do()
	if status.Is(err, status.NotSupp, status.OpIllegal, status.XDev, status.Inval, status.WrongType, status.OffloadNoReqs) {
		return false, nil
	}
	return err == nil, err
}
