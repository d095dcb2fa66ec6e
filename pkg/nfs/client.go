package nfs

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/copytree"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
)

// client is one version of the protocol. Paths are elements below the export; errors carry a status.Error, or match
// those of package rpc.
type client interface {
	reader
	maker
	changer
	tree
	copytree.Server
	Close() error
}

type reader interface {
	Getattr(ctx context.Context, cred *rpc.Credential, path []string) (file.Attr, error)
	List(ctx context.Context, cred *rpc.Credential, path []string, from file.Cookie) (file.Page, error)
	ReadFile(ctx context.Context, cred *rpc.Credential, path []string, limit int64) ([]byte, error)
	Readlink(ctx context.Context, cred *rpc.Credential, path []string) (string, error)
	Usage(ctx context.Context, cred *rpc.Credential) (file.Usage, error)
	// Access asks which rights of the set (RFC 1813 section 3.3.4) cred has on the export's root.
	Access(ctx context.Context, cred *rpc.Credential, want uint32) (uint32, error)
}

type maker interface {
	// Mkdir makes a directory with exactly want, of which the mode is never nil.
	Mkdir(ctx context.Context, cred *rpc.Credential, path []string, want file.Set) error
	Symlink(ctx context.Context, cred *rpc.Credential, target string, path []string) error
	CreateFile(ctx context.Context, cred *rpc.Credential, path []string, data []byte, mode uint32) error
}

type changer interface {
	// Setattr returns the attributes after the change.
	Setattr(ctx context.Context, cred *rpc.Credential, path []string, set file.Set) (file.Attr, error)
	Rename(ctx context.Context, cred *rpc.Credential, from, to []string) error
	Remove(ctx context.Context, cred *rpc.Credential, path []string) error
}

// tree works by handle, which no rename and no link can lead elsewhere.
type tree interface {
	Lookup(ctx context.Context, cred *rpc.Credential, path []string) (file.Handle, file.Attr, error)
	LookupIn(ctx context.Context, cred *rpc.Credential, dir file.Handle, name string) (file.Handle, file.Attr, error)
	// ReadPage lists a part of a directory, with handles where the server gives them.
	ReadPage(ctx context.Context, cred *rpc.Credential, dir file.Handle, from file.Cookie) (file.Page, error)
	// RemoveNames removes entries in order up to the first that cannot be: done are gone, err is about the next.
	RemoveNames(ctx context.Context, cred *rpc.Credential, dir file.Handle, entries []file.Entry) (done int, err error)
	SetMode(ctx context.Context, cred *rpc.Credential, dir file.Handle, mode uint32) error
	// Batch is how many entries RemoveNames is best given at once, and how many such calls to have in flight.
	Batch() (names, calls int)
}
