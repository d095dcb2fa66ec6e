package driver

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Volumes is the control plane's view of volumes: one implementation keeps them on NFS exports. All methods may be
// called at once, obey their context, and are safe to repeat. Errors wrap the sentinels of pkg/volume.
type Volumes interface {
	// Create makes the volume, or finds that the same request made it before. [volume.ErrExists]: the name is taken by
	// a volume of another size or class, or the directory is taken by another volume or by somebody's files. After an
	// error that is not ErrUnavailable, ErrBusy or of the context nothing is left behind.
	Create(ctx context.Context, r volume.Request) (volume.Volume, error)
	// Delete does to the volume's directory what its policy says; a volume that does not exist is no error.
	// mountOptions say how to reach the server and may be nil.
	Delete(ctx context.Context, id volume.ID, mountOptions []string) error
	// Get finds a volume; [volume.ErrNotFound] if its directory is not there.
	Get(ctx context.Context, id volume.ID) (volume.Volume, error)
	// List answers up to max volumes (0: all) that come after token (empty: from the first), in a stable order, and
	// the token for the next ones, empty when there are none. [volume.ErrToken]: the token is not one of ours.
	List(ctx context.Context, token string, max int) (volumes []volume.Volume, next string, err error)
	// Space is how full a share is.
	Space(ctx context.Context, l volume.Location) (volume.Space, error)
}

// Mounter attaches volumes to directories of this node. All methods end at the context's deadline whatever a server
// does.
type Mounter interface {
	// Mount attaches m to target and makes the directory target if needed. The same mount already there is no error;
	// another one is [volume.ErrExists].
	Mount(ctx context.Context, m volume.Mountpoint, readOnly bool, target string) error
	// Unmount detaches whatever is mounted on target and removes the directory; neither being there is no error. It
	// never looks into target, so that a dead server cannot hold it.
	Unmount(ctx context.Context, target string) error
	// Usage is how full the file system at target is; [volume.ErrNotFound] if nothing is mounted there,
	// [volume.ErrUnavailable] if the server does not answer in time.
	Usage(ctx context.Context, target string) (volume.Usage, error)
}
