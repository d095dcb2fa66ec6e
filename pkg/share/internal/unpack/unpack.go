// Package unpack makes a directory tree of a tarball.
package unpack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/storage"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	unpackers  = 16                 // files of a tarball that are made at once
	unpackSize = 1 << 20            // bytes that are read and written at once
	dirMode    = fs.FileMode(0o755) // of directories until the tarball says more of them
	maxName    = 16 << 10           // bytes of a name with all that it is in
	maxSize    = 16 << 40           // bytes of a file, which may be one hole
)

// unpacking makes a tree of a tarball, which a pod may have written: everything that it names is below the tree, and the
// FS follows no link on the way there.
type unpacking struct {
	fs      storage.FS
	to      string
	in      string // the directory that was made or found last; so are those that it is in
	late    late
	working sync.WaitGroup
	free    chan struct{} // holds one for each file that is being made

	mu           sync.Mutex
	err          error // the first of the files
	files, bytes int64
	progress     func(files, bytes int64)
}

// entry is a header of the tarball and where it leads.
type entry struct {
	*tar.Header
	at string // on the share
}

// Unpack makes the new directory to of the tarball from, which is compressed where its name ends with ".gz". Owners, modes, times,
// symbolic and hard links and FIFOs are as there. The tarball is read once, and what is held of it in memory does not grow with it.
// progress is told of the files and bytes made so far; it may be nil. [volume.ErrInvalid]: the tarball is damaged, or holds what is not
// restored: a device node, a name that leads out of the tree or is longer than 16 KiB, a file larger than 16 TiB. After an error what was
// made stays for the caller to remove.
func Unpack(ctx context.Context, fsys storage.FS, from, to string, progress func(files, bytes int64)) error {
	if err := fsys.Mkdir(ctx, to, dirMode, -1, -1); err != nil {
		return fmt.Errorf("creating directory %q: %w", to, err)
	}
	u := &unpacking{fs: fsys, to: to, in: to, free: make(chan struct{}, unpackers), progress: progress}
	source := &tarballReader{ctx: ctx, fs: fsys, name: from}
	err := u.read(ctx, source)
	u.working.Wait()
	switch {
	case u.err != nil:
		return u.err
	case source.err != nil: // which the formats' readers may have put in other words
		return fmt.Errorf("reading %q: %w", from, source.err)
	case err != nil:
		return fmt.Errorf("unpacking %q: %w", from, err)
	}
	return u.finish(ctx)
}

// tarballReader reads a file of the share from its beginning to its end.
type tarballReader struct {
	ctx    context.Context
	fs     storage.FS
	name   string
	offset int64
	err    error // what the FS said, unless the file is at its end
}

func (r *tarballReader) Read(data []byte) (int, error) {
	n, err := r.fs.ReadAt(r.ctx, r.name, data, r.offset)
	r.offset += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// read makes everything in the tarball, up to its end and that of its compression, where the checksum is.
func (u *unpacking) read(ctx context.Context, source *tarballReader) error {
	var unpacked io.Reader = bufio.NewReaderSize(source, unpackSize)
	if strings.HasSuffix(source.name, ".gz") {
		z, err := gzip.NewReader(unpacked)
		if err != nil {
			return damaged(err)
		}
		unpacked = z
	}
	tail := &tailReader{Reader: unpacked}
	archive := tar.NewReader(tail)
	for u.failure() == nil {
		tail.zeros = 0
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, tail)
			if err == nil && tail.zeros < tarballEnd {
				err = errors.New("it ends too early")
			}
			return damaged(err)
		}
		if err != nil {
			return damaged(err)
		}
		at, err := u.place(h.Name)
		if err == nil {
			err = u.make(ctx, entry{h, at}, archive)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tarballEnd is how many zeros end a tarball. Without them it was cut between two files, which package tar does not mind.
const tarballEnd = 1024

// tailReader counts the zeros at the end of what was read.
type tailReader struct {
	io.Reader
	zeros int
}

func (r *tailReader) Read(data []byte) (int, error) {
	n, err := r.Reader.Read(data)
	rest := bytes.TrimRight(data[:n], "\x00")
	if len(rest) > 0 {
		r.zeros = 0
	}
	r.zeros += n - len(rest)
	return n, err
}

// damaged is what an error of the formats' readers means.
func damaged(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: the archive is damaged: %v", volume.ErrInvalid, err)
}

// place is where a name in the tarball leads; "." is the tree itself.
func (u *unpacking) place(name string) (string, error) {
	if len(name) > maxName {
		return "", fmt.Errorf("%w: the archive holds a name of %d bytes beginning with %q, and names of more than %d are not restored", volume.ErrInvalid, len(name), name[:64], maxName)
	}
	clean := strings.TrimRight(name, "/")
	for strings.HasPrefix(clean, "./") {
		clean = strings.TrimLeft(clean[1:], "/")
	}
	if clean == "." || clean == "" && strings.HasPrefix(name, ".") {
		return u.to, nil
	}
	if !fs.ValidPath(strings.ToValidUTF8(clean, "_")) || strings.Contains(clean, "\x00") {
		return "", fmt.Errorf("%w: the archive names %q, which is not below the volume: nothing is restored", volume.ErrInvalid, name)
	}
	return u.to + "/" + clean, nil
}

// make makes what one entry says. Files are made beside each other; whatever else waits for them, since it may need one.
func (u *unpacking) make(ctx context.Context, e entry, content io.Reader) error {
	if e.Size > maxSize {
		return fmt.Errorf("%w: the archive holds %q of %d bytes, which is more than the %d that are restored", volume.ErrInvalid, e.Name, e.Size, int64(maxSize))
	}
	if e.Typeflag == tar.TypeDir {
		if err := u.enter(ctx, e.at); err != nil {
			return err
		}
		return u.leaveLate(ctx, e)
	}
	if e.at != u.to {
		if err := u.enter(ctx, path.Dir(e.at)); err != nil {
			return err
		}
	}
	switch e.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(ctx, e, content)
	case tar.TypeXGlobalHeader:
		return nil
	}
	u.working.Wait()
	var err error
	switch e.Typeflag {
	case tar.TypeSymlink:
		err = u.fs.Symlink(ctx, e.Linkname, e.at)
	case tar.TypeFifo:
		err = u.fs.Mknod(ctx, e.at, fs.ModeNamedPipe|e.mode().Perm(), 0, 0)
	case tar.TypeLink:
		var first string
		if first, err = u.place(e.Linkname); err == nil {
			err = u.fs.Link(ctx, first, e.at)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: it is a link to %q, which the archive does not hold before it: %v", volume.ErrInvalid, e.Linkname, err)
		}
		if err == nil {
			u.count(1, 0)
		}
		return e.named(err)
	default:
		return fmt.Errorf("%w: the archive holds %q of type %q, which is not restored: a device node or something unknown", volume.ErrInvalid, e.Name, e.Typeflag)
	}
	if err == nil {
		err = u.attributes(ctx, e)
	}
	return e.named(err)
}

// mode is the entry's, as [fs.FileMode] has it.
func (e entry) mode() fs.FileMode { return e.FileInfo().Mode() }

func (e entry) named(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: the archive holds %q twice", volume.ErrInvalid, e.Name)
	}
	return fmt.Errorf("making %q: %w", e.Name, err)
}

// enter makes a directory and those that it is in, as far as they are not there. The tarball need not name them before what is in them.
func (u *unpacking) enter(ctx context.Context, dir string) error {
	for !inside(dir, u.in) {
		u.in = path.Dir(u.in)
	}
	for len(u.in) < len(dir) {
		next := dir
		if i := strings.IndexByte(dir[len(u.in)+1:], '/'); i >= 0 {
			next = dir[:len(u.in)+1+i]
		}
		if err := u.dir(ctx, next); err != nil {
			return err
		}
		u.in = next
	}
	return nil
}

// inside tells that a clean name is dir's or that of something in it.
func inside(name, dir string) bool {
	return strings.HasPrefix(name, dir) && (len(name) == len(dir) || name[len(dir)] == '/')
}

// dir makes a directory, or finds it made.
func (u *unpacking) dir(ctx context.Context, dir string) error {
	err := u.fs.Mkdir(ctx, dir, dirMode, -1, -1)
	if errors.Is(err, fs.ErrExist) {
		info, lookErr := u.fs.Lstat(ctx, dir)
		switch {
		case lookErr != nil:
			err = lookErr
		case info.IsDir():
			return nil
		default: // a file, or a link that would lead away
			return fmt.Errorf("%w: the archive holds things below %q, which is no directory: nothing is restored", volume.ErrInvalid, path.Base(dir))
		}
	}
	if err != nil {
		return fmt.Errorf("creating directory %q: %w", dir, err)
	}
	return nil
}

// file reads a file's content and has the file made; one that is too large for memory is made at once.
func (u *unpacking) file(ctx context.Context, e entry, content io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(content, unpackSize))
	if err != nil {
		return damaged(err)
	}
	select {
	case u.free <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	whole := func(rest func() error) error {
		defer func() { <-u.free }()
		err := u.fs.CreateFile(ctx, e.at, data, e.mode().Perm())
		if err == nil {
			u.count(0, int64(len(data)))
			err = rest()
		}
		if err == nil {
			err = u.attributes(ctx, e)
		}
		return e.named(err)
	}
	if int64(len(data)) < e.Size {
		return whole(func() error { return u.rest(ctx, e, content, int64(len(data))) })
	}
	u.working.Go(func() { u.fail(whole(func() error { return nil })) })
	return nil
}

// rest writes a large file from offset on. Where there are only zeros it leaves a hole, except at the end.
func (u *unpacking) rest(ctx context.Context, e entry, content io.Reader, offset int64) error {
	data := make([]byte, unpackSize)
	zeros := make([]byte, unpackSize)
	for offset < e.Size {
		n, err := io.ReadFull(content, data[:min(unpackSize, e.Size-offset)])
		if err != nil {
			return damaged(err)
		}
		if offset+int64(n) == e.Size || !bytes.Equal(data[:n], zeros[:n]) {
			if err := u.fs.WriteAt(ctx, e.at, data[:n], offset); err != nil {
				return err
			}
		}
		offset += int64(n)
		u.count(0, int64(n))
	}
	return nil
}

// attributes sets owner, special bits and times of something that was made. The owner comes first: a server takes setuid
// and setgid away from what changes hands.
func (u *unpacking) attributes(ctx context.Context, e entry) error {
	err := u.fs.Chown(ctx, e.at, e.Uid, e.Gid)
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	if mode := e.mode(); err == nil && e.Typeflag != tar.TypeSymlink && (mode.IsDir() || mode&special != 0) {
		err = u.fs.Chmod(ctx, e.at, mode.Perm()|mode&special)
	}
	if err == nil {
		err = u.fs.Chtimes(ctx, e.at, e.ModTime, e.ModTime)
	}
	if err == nil {
		u.count(1, 0)
	}
	return err
}

// late are directories whose attributes wait until nothing more is made in them, which would change their times.
type late struct {
	dirs  []entry // in the order of the tarball
	bytes int     // of their names
}

// maxLate bounds the bytes of names, with what there is beside each, that wait.
const (
	maxLate    = 4 << 20
	besideName = 256
)

// leaveLate has the attributes of a directory wait. When many do, those that the tarball has left get theirs: it may come back to
// one, which then has another time.
func (u *unpacking) leaveLate(ctx context.Context, e entry) error {
	u.late.add(entry{&tar.Header{Typeflag: e.Typeflag, Name: e.at, Mode: e.Mode, Uid: e.Uid, Gid: e.Gid, ModTime: e.ModTime}, e.at})
	if u.late.bytes < maxLate {
		return nil
	}
	return u.leave(ctx, func(at string) bool { return !inside(e.at, at) })
}

func (l *late) add(e entry) {
	l.dirs = append(l.dirs, e)
	l.bytes += len(e.at) + besideName
}

// finish gives all directories their attributes.
func (u *unpacking) finish(ctx context.Context) error {
	return u.leave(ctx, func(string) bool { return true })
}

// leave gives the directories that are left their attributes, the innermost first.
func (u *unpacking) leave(ctx context.Context, left func(at string) bool) error {
	u.working.Wait()
	var kept late
	for i := len(u.late.dirs) - 1; i >= 0; i-- {
		e := u.late.dirs[i]
		if !left(e.at) {
			kept.add(e)
			continue
		}
		if err := u.attributes(ctx, e); err != nil {
			return e.named(err)
		}
	}
	slices.Reverse(kept.dirs)
	u.late = kept
	return nil
}

func (u *unpacking) count(files, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files, u.bytes = u.files+files, u.bytes+bytes
	if u.progress != nil {
		u.progress(u.files, u.bytes)
	}
}

func (u *unpacking) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
	}
}

func (u *unpacking) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}
