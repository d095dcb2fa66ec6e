package nfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/copytree"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
)

// CopyTree copies the directory from to the new name to, with everything in it: owners, modes with setuid, setgid and
// sticky, modification and access times, symbolic links as links, hard links as hard links, holes, FIFOs, sockets and
// device nodes; with version 4.2 extended attributes of files and directories, where the server has such. ACLs are not copied. to matches fs.ErrExist when it is there, and fs.ErrInvalid when it is from or below it. A directory that is
// another file system matches syscall.EXDEV. Whatever the server cannot keep is an error.
//
// When it returns nil names, sizes and attributes of everything have been compared with what was copied, with Config.CompareCopies
// the content too, and all is on stable storage. After an error what was made stays for the caller to remove. What others remove
// meanwhile is left out, and what they put in place of a file is copied; a file that grows is copied as far as it was. progress is called
// now and then, never at once from two goroutines, with the things and bytes copied so far; nil: nobody listens.
//
// The content of files is shared by CLONE where the server can (version 4.2), else copied there by COPY where they are large,
// else read and written; how many bytes went which way is logged. Where the server squashes root, each thing is made as its owner.
func (f *FS) CopyTree(ctx context.Context, from, to string, progress func(files, bytes int64)) error {
	source, err := split(from)
	target, errTo := splitNew(to)
	return f.behind(ctx, "copytree", errors.Join(err, errTo), func() error {
		if len(target) >= len(source) && slices.Equal(target[:len(source)], source) {
			return fmt.Errorf("the copy would be what is copied, or below it: %w", fs.ErrInvalid)
		}
		return f.copyTree(ctx, source, target, progress)
	}, from, to)
}

func (f *FS) copyTree(ctx context.Context, source, target []string, progress func(files, bytes int64)) error {
	var from, to copytree.Directory
	var err error
	if from.Handle, from.Attr, err = f.client.Lookup(ctx, &f.cred, source); err != nil {
		return err
	}
	if !from.Attr.IsDir() {
		return syscall.ENOTDIR
	}
	mode := uint32(0o700)
	want := file.Set{Mode: &mode, UID: -1, GID: -1}
	if err := f.settleMkdir(ctx, target, want, f.client.Mkdir(ctx, &f.cred, target, want)); err != nil {
		return err
	}
	if to.Handle, to.Attr, err = f.client.Lookup(ctx, &f.cred, target); err != nil {
		return err
	}
	began := time.Now()
	ways, err := copytree.Run(ctx, f.client, f.cred, from, to, copytree.Options{Progress: progress, Compare: f.compareCopies})
	if err == nil {
		f.log.Info("tree copied", "from", strings.Join(source, "/"), "to", strings.Join(target, "/"), "duration", time.Since(began),
			"cloned", ways.Cloned, "copied", ways.Copied, "carried", ways.Carried)
	}
	return err
}
