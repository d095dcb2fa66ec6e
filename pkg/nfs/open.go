package nfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/nfs4"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// Open connects to the server, settles on a version, walks to the export and checks that it is one. The package comment
// says which directories pass for an export.
func Open(ctx context.Context, c Config) (*FS, error) {
	c = c.withDefaults()
	export, err := splitExport(c.Export)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s:%s: %w", c.Server, c.Export, err)
	}
	f, err := negotiate(ctx, c, export)
	if err != nil {
		return nil, fmt.Errorf("opening %s:%s: %w", c.Server, c.Export, classify(over(ctx, err)))
	}
	return f, nil
}

// Probe tells whether an export can be mounted and used from here: the server answers, has one of the versions, the path
// exists, and we are admitted to it. It does what Open does, and looks into the directory as well, because servers let
// anybody look up a path.
func Probe(ctx context.Context, c Config) error {
	f, err := Open(ctx, c)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Lstat(ctx, "."); err != nil {
		return err
	}
	_, _, _, err = f.Space(ctx)
	if errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}

// negotiate opens the export with the first version that the server has.
func negotiate(ctx context.Context, c Config, export []string) (*FS, error) {
	dialer := c.dialer() // one for all: what it learns of the server's addresses serves the next version
	var missing []error
	for _, v := range c.Versions {
		f, err := openVersion(ctx, c, dialer, v, export)
		if err == nil {
			c.Log.Debug("export opened", "server", c.Server, "export", c.Export, "version", v, "uid", f.cred.UID, "gid", f.cred.GID)
			return f, nil
		}
		if !errors.Is(err, ErrVersion) {
			return nil, err
		}
		missing = append(missing, fmt.Errorf("version %v: %w", v, err))
	}
	return nil, fmt.Errorf("%w: the server has none of the versions asked for: %w", ErrRefused, errors.Join(missing...))
}

func openVersion(ctx context.Context, c Config, dialer *rpc.Dialer, v Version, export []string) (*FS, error) {
	f := &FS{version: v, server: c.Server, export: c.Export, observe: c.Observe, log: c.Log, compareCopies: c.CompareCopies, cred: c.Credential.rpc()}
	o := &opening{FS: f, config: c, dialer: dialer}
	var err error
	switch v {
	case V40, V41, V42:
		err = o.open4(ctx, uint32(v%10), export)
	case V3:
		err = o.open3(ctx)
	default:
		err = fmt.Errorf("NFS version %v: %w", v, fs.ErrInvalid)
	}
	if err != nil && f.client != nil {
		f.client.Close()
	}
	return f, err
}

// opening is an FS on its way to be opened.
type opening struct {
	*FS
	config Config
	dialer *rpc.Dialer
}

func (o *opening) open4(ctx context.Context, minor uint32, export []string) error {
	cfg := nfs4.Config{
		Dialer: o.dialer, Silence: o.config.CallTimeout, Cred: o.cred, Export: export, AsOwner: o.config.ActAsOwner, Log: o.config.Log,
	}
	client, err := nfs4.Connect(ctx, cfg, minor)
	if err != nil {
		return versionMissing(err)
	}
	o.client = client
	steps, err := client.Walk(ctx, &o.cred)
	if err != nil {
		return o.explainWalk(err)
	}
	last := steps[len(steps)-1]
	switch {
	case last.Attr.Type == fs.ModeSymlink:
		return errLink
	case !last.Attr.IsDir():
		return errNoDirectory
	}
	writable, err := o.identify(ctx, &last.Attr)
	if err != nil {
		return err
	}
	entered := slices.ContainsFunc(steps, func(s nfs4.Step) bool { return s.FSID != steps[0].FSID })
	if !entered && !writable && o.config.ActAsOwner {
		return fmt.Errorf("%w: the path belongs to the server's pseudo root only; no export there admits this client "+
			"(add the path to the server's exports for this client's address, with rw)", ErrRefused)
	}
	return o.mustWrite(writable)
}

// versionMissing recognises a server that does not have the version at all.
func versionMissing(err error) error {
	var refused *rpc.RefusedError
	// What is no reply of version 4 comes from servers that take every call for one of version 3.
	if errors.Is(err, nfs4.ErrMinor) || errors.Is(err, xdr.ErrMalformed) || errors.As(err, &refused) &&
		(refused.Stat == rpc.ProgramMismatch || refused.Stat == rpc.ProgramUnavailable || refused.Stat == rpc.ProcedureUnavailable) {
		return fmt.Errorf("%w: %w", ErrVersion, err)
	}
	return err
}

// Rights of ACCESS that making names in a directory needs.
const (
	accessModify = 0x04
	accessExtend = 0x08
	accessWrite  = accessModify | accessExtend
)

// identify decides whom to act as, and tells whether anybody may write to the export's root directory: the credential we
// were given, or else the directory's owner. The server judges after squashing, so that where it makes everybody the same
// user (all_squash) the first answer holds for all, and we stay who we are.
func (o *opening) identify(ctx context.Context, root *file.Attr) (writable bool, err error) {
	o.rootUID = root.UID
	if ok, err := o.mayWrite(ctx, o.cred); ok || err != nil {
		return ok, err
	}
	owner := rpc.Credential{UID: root.UID, GID: root.GID}
	if root.OwnerNamed || owner.UID == o.cred.UID {
		return false, nil
	}
	ok, err := o.mayWrite(ctx, owner)
	if ok && o.config.ActAsOwner {
		o.cred = owner
	}
	return ok, err
}

func (o *opening) mayWrite(ctx context.Context, cred rpc.Credential) (bool, error) {
	granted, err := o.client.Access(ctx, &cred, accessWrite)
	if status.Is(err, status.Perm, status.Access) {
		return false, o.explainWalk(err)
	}
	return granted&accessWrite == accessWrite, err
}
