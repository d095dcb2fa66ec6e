package nfs

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// When a connection breaks after a request was sent and the server has no memory of it (always in versions 3 and 4.0, but for
// OPEN; since 4.1 when the session was lost too), the request is sent again and "exists" or "not found" may be its own first doing.
// The functions here look before they believe it. Whatever refused the making of a name is looked into, because some
// servers of version 3 answer something else than "exists" when the first request is still under way.

// settleMkdir takes an empty directory that belongs to us for our own.
func (f *FS) settleMkdir(ctx context.Context, path []string, want file.Set, err error) error {
	if !status.MaybeOurs(err, "CREATE", "MKDIR") {
		return err
	}
	attr, look := f.client.Getattr(ctx, &f.cred, path)
	if look != nil || !attr.IsDir() || !f.ours(attr, want) {
		return err
	}
	page, look := f.client.List(ctx, &f.cred, path, file.Cookie{})
	if look != nil || len(page.Entries) > 0 {
		return err
	}
	_, err = f.client.Setattr(ctx, &f.cred, path, want)
	return err
}

// nobody is whom servers make of those they squash, unless told otherwise (exports(5), anonuid).
const nobody = 65534

// ours tells whether we could have made something that has this owner. A server that makes somebody else of everybody
// does not tell whom: nobody, or else the one whom the export was given to.
func (f *FS) ours(attr file.Attr, want file.Set) bool {
	return attr.OwnerNamed || attr.UID == f.cred.UID || want.UID >= 0 && attr.UID == uint32(want.UID) ||
		attr.UID == f.rootUID || attr.UID == nobody
}

// settleSymlink takes a link that holds what ours should for our own.
func (f *FS) settleSymlink(ctx context.Context, target string, path []string, err error) error {
	if !status.MaybeOurs(err, "CREATE", "SYMLINK") {
		return err
	}
	if got, look := f.client.Readlink(ctx, &f.cred, path); look == nil && got == target {
		return nil
	}
	return err
}

// settleCreate takes a file with exactly our content for our own, and removes a shorter one of ours, so that it can be made
// again: a server that crashed in between leaves such. It waits before it believes that nobody is writing it just now.
func (f *FS) settleCreate(ctx context.Context, path []string, data []byte, mode uint32, err error) (again bool, _ error) {
	if !status.MaybeOurs(err, "OPEN", "CREATE") {
		return false, err
	}
	if len(data) == 0 {
		return false, f.settleEmpty(ctx, path, mode, err)
	}
	for look := 1; look <= looks; look++ {
		attr, failed := f.client.Getattr(ctx, &f.cred, path)
		if failed != nil || attr.Type != 0 || !f.ours(attr, file.Set{UID: -1}) {
			return false, err
		}
		got, failed := f.client.ReadFile(ctx, &f.cred, path, int64(len(data)))
		if failed != nil || !bytes.HasPrefix(data, got) {
			return false, err
		}
		if len(got) == len(data) {
			return false, nil
		}
		if rpc.Sleep(ctx, lookPause) != nil {
			return false, err
		}
	}
	return f.settleRemove(ctx, path, f.client.Remove(ctx, &f.cred, path)) == nil, err
}

// settleEmpty takes an empty file of ours for our own when it has the wanted mode and stays empty for a while. One with another
// mode may be ours, before the mode was set, or have been there before: whoever tries again is told.
func (f *FS) settleEmpty(ctx context.Context, path []string, mode uint32, err error) error {
	for look := 1; ; look++ {
		attr, failed := f.client.Getattr(ctx, &f.cred, path)
		switch {
		case failed != nil, attr.Type != 0, attr.Size > 0, !f.ours(attr, file.Set{UID: -1}):
			return err
		case attr.Mode != mode:
			return fmt.Errorf("there is an empty file of mode %#o, which may be ours: %v", attr.Mode, err)
		case look == looks:
			return nil
		}
		if over := rpc.Sleep(ctx, lookPause); over != nil {
			return fmt.Errorf("%w: %v", over, err)
		}
	}
}

const (
	creates   = 4 // of a file whose making is interrupted each time
	looks     = 4 // at a file that is empty, or shorter than it should be
	lookPause = 100 * time.Millisecond
)

// settleRemove takes a name that is gone for removed by us. Of one that the first request is just removing nfs-ganesha says that
// it is stale.
func (f *FS) settleRemove(ctx context.Context, path []string, err error) error {
	switch {
	case !status.MaybeOurs(err, "REMOVE", "RMDIR"):
		return err
	case status.Is(err, status.NoEnt), status.Is(err, status.Stale) && f.goes(ctx, path):
		return nil
	}
	return err
}

// goes tells whether nothing has that name, at once or a little later.
func (f *FS) goes(ctx context.Context, path []string) bool {
	for look := 1; look <= looks; look++ {
		if _, err := f.client.Getattr(ctx, &f.cred, path); err != nil {
			return status.Is(err, status.NoEnt)
		}
		if rpc.Sleep(ctx, lookPause) != nil {
			return false
		}
	}
	return false
}

// settleRename takes a name that is gone, while there is something under the new name, for moved by us.
func (f *FS) settleRename(ctx context.Context, to []string, err error) error {
	if !status.Is(err, status.NoEnt) || !status.MaybeOurs(err, "RENAME") {
		return err
	}
	if _, look := f.client.Getattr(ctx, &f.cred, to); look == nil {
		return nil
	}
	return err
}
