package driver

import (
	"context"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Store is the control plane's view of storage: one implementation keeps it on NFS exports. All methods may be called at
// once, obey their context, and are safe to repeat. Errors wrap the sentinels of pkg/volume.
type Store interface {
	Volumes
	Changes
	Snapshots
}

// Volumes makes, finds and deletes volumes.
type Volumes interface {
	// Create makes the volume, filled from its source if it has one, or finds that the same request made it before.
	// [volume.ErrExists]: the name is taken by a volume of another size, class or source, or the directory is taken by
	// another volume or by somebody's files. [volume.ErrNotFound]: the source does not exist; [volume.ErrInvalid]: it is
	// on another share; [volume.ErrRange]: it does not fit into the limit. A volume without a size gets its source's.
	// [volume.ErrBusy]: the source is still being copied; the next call of the same request waits for the same copy.
	// After any error that is not ErrUnavailable, ErrBusy or of the context nothing is left behind.
	Create(ctx context.Context, r volume.Request) (volume.Volume, error)
	// Delete does to the volume's directory what its policy says; a volume that does not exist is no error.
	// [volume.ErrBusy]: it is being copied. mountOptions say how to reach the server and may be nil.
	Delete(ctx context.Context, id volume.ID, mountOptions []string) error
	// Get finds a volume; [volume.ErrNotFound] if its directory is not there.
	Get(ctx context.Context, id volume.ID) (volume.Volume, error)
	// List answers up to max volumes (0: all) that come after token (empty: from the first), in a stable order, and
	// the token for the next ones, empty when there are none. [volume.ErrToken]: the token is not one of ours.
	List(ctx context.Context, token string, max int) (volumes []volume.Volume, next string, err error)
	// Space is how full a share is. mountOptions say how to reach the server and may be nil.
	Space(ctx context.Context, l volume.Location, mountOptions []string) (volume.Space, error)
}

// Changes changes volumes that exist; [volume.ErrNotFound] for one that does not. mountOptions say how to reach the server
// and may be nil.
type Changes interface {
	// Expand makes the volume at least requiredBytes large, never smaller than it is, and answers it with its size.
	// [volume.ErrRange]: it is, or would be, above limitBytes (0: no limit).
	Expand(ctx context.Context, id volume.ID, requiredBytes, limitBytes int64, mountOptions []string) (volume.Volume, error)
	// Modify changes what c sets and nothing else. After [volume.ErrInvalid] nothing was changed.
	Modify(ctx context.Context, id volume.ID, c volume.Changes, mountOptions []string) error
}

// Snapshots makes, finds and deletes snapshots, which live on when the volume they were taken of is deleted.
type Snapshots interface {
	// CreateSnapshot makes the snapshot, or finds that the same request made it before. [volume.ErrExists]: the name is
	// taken by a snapshot of another volume. [volume.ErrNotFound]: the volume does not exist. [volume.ErrBusy]: it is
	// still being copied; the next call of the same request waits for the same copy. A definite error leaves nothing behind.
	CreateSnapshot(ctx context.Context, r volume.SnapshotRequest) (volume.Snapshot, error)
	// DeleteSnapshot deletes a snapshot; one that does not exist is no error. [volume.ErrBusy]: a volume is being made
	// from it. mountOptions say how to reach the server and may be nil.
	DeleteSnapshot(ctx context.Context, id volume.SnapshotID, mountOptions []string) error
	// ListSnapshots answers up to max snapshots (0: all) that f chooses, as [Volumes].List does. A snapshot or a volume
	// in f that does not exist is an empty list.
	ListSnapshots(ctx context.Context, f volume.SnapshotFilter, token string, max int) (snapshots []volume.Snapshot, next string, err error)
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
	// [volume.ErrUnavailable] if the server does not answer in time. While one question to a server is unanswered for
	// too long, calls for that target answer ErrUnavailable at once, so that a dead server holds one thread, not one per call.
	// An answer of a server that no longer has the directory matches [syscall.ESTALE] too.
	Usage(ctx context.Context, target string) (volume.Usage, error)
	// ByServer lists the targets of this node's volumes by NFS server. It asks no server.
	ByServer() (map[string][]string, error)
}
