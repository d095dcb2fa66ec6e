package nfs

import (
	"io/fs"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
)

// Attr is what a server says about a file: the Sys value of every fs.FileInfo of this package, as *Attr.
type Attr = file.Attr

// info is an fs.FileInfo.
type info struct {
	name string
	attr *Attr
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return int64(i.attr.Size) }
func (i info) Mode() fs.FileMode  { return i.attr.FileMode() }
func (i info) ModTime() time.Time { return i.attr.Mtime }
func (i info) IsDir() bool        { return i.attr.IsDir() }
func (i info) Sys() any           { return i.attr }
