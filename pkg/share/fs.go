package share

import "github.com/nfs-csi/nfs-csi/pkg/share/internal/storage"

// FS is one share as this package sees it: files and directories by their names relative to the share, and whole trees.
type FS = storage.FS
