package status

import (
	"io/fs"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
)

// Readable refuses, in a version's words, to read what is not a regular file of at most limit bytes.
func Readable(version int, a file.Attr, limit int64) error {
	var code Code
	switch {
	case a.IsDir():
		code = IsDir
	case a.Type == fs.ModeSymlink:
		code = Symlink
	case a.Type != 0:
		code = Inval
	case a.Size > uint64(limit):
		code = FBig
	default:
		return nil
	}
	return &Error{Version: version, Op: "READ", Code: code}
}
