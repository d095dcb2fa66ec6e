package sharetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Pack makes a tarball of headers and the content of regular files, which have the size of theirs; compressed if it says so.
func Pack(compressed bool, entries ...Packed) ([]byte, error) {
	var b bytes.Buffer
	var out io.WriteCloser = nopWriteCloser{&b}
	if compressed {
		out = gzip.NewWriter(&b)
	}
	archive := tar.NewWriter(out)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(e.Text))
		}
		if err := archive.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(archive, e.Text); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(archive.Close(), out.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Packed is one entry of a tarball.
type Packed struct {
	Header tar.Header
	Text   string
}

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

// then is when what is in the tarballs of the suite was changed last.
var then = time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)

// restoreOldSnapshots restores from those of csi-driver-nfs, whole and damaged.
func (s *suite) restoreOldSnapshots() {
	uid, gid := s.owner()
	head := func(kind byte, name, link string, mode int64) tar.Header {
		return tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: mode, Uid: uid, Gid: gid, ModTime: then}
	}
	long := strings.Repeat("0123456789abcdef", 1<<17) + strings.Repeat("\x00", 3<<20) + "end"
	entries := []Packed{
		{head(tar.TypeDir, "./", "", 0o750), ""},
		{head(tar.TypeReg, "./file", "", 0o640), "packed"},
		{head(tar.TypeReg, "./sub/deep/file", "", 0o600), "deep"},
		{head(tar.TypeDir, "./empty/", "", 0o2755), ""},
		{head(tar.TypeSymlink, "./sub/link", "../../../away", 0o777), ""},
		{head(tar.TypeLink, "./again", "./file", 0o640), ""},
		{head(tar.TypeReg, "long", "", 0o644), long},
	}
	for suffix, compressed := range map[string]bool{".tar": false, ".tar.gz": true} {
		data, err := Pack(compressed, entries...)
		s.must(err)
		id := volume.SnapshotID{Location: here, Name: "snapshot" + suffix, Source: "pvc-1"}
		s.mkdir(id.Name)
		file := id.Name + "/pvc-1" + suffix
		s.must(s.fs.CreateFile(s.ctx, file, data, fileMode))
		r := s.request("v"+suffix, nil)
		r.Source = &volume.Source{Snapshot: &id}
		v := s.create(r)
		s.unpacked(v.ID.Name(), long)
		if again := s.create(r); again != v {
			s.Errorf("second call answers %+v, first %+v", again, v)
		}

		// Half a tarball is no volume.
		s.must(s.fs.Remove(s.ctx, file))
		s.must(s.fs.CreateFile(s.ctx, file, data[:len(data)/2], fileMode))
		r = s.request("half", nil)
		r.Source = &volume.Source{Snapshot: &id}
		_, err = s.Create(s.ctx, r)
		s.wants(err, volume.ErrInvalid, "damaged")
		s.must(s.DeleteSnapshot(s.ctx, id, nil))
		s.unpacked(v.ID.Name(), long)
		s.holds(v)
		s.drop(v.ID)
	}
	s.holds()
	s.root()
}

// unpacked checks what restoreOldSnapshots packs.
func (s *suite) unpacked(dir, long string) {
	s.Helper()
	if got := s.names(dir); !slices.Equal(got, []string{"again", "empty", "file", "long", "sub"}) {
		s.Errorf("%q holds %q", dir, got)
	}
	s.content(dir+"/file", "packed")
	s.content(dir+"/again", "packed")
	s.content(dir+"/sub/deep/file", "deep")
	if data, err := s.fs.ReadFile(s.ctx, dir+"/long", 1<<24); err != nil || string(data) != long {
		s.Errorf("the long file has %d bytes, %v; want %d, all as packed", len(data), err, len(long))
	}
	if target, err := s.fs.Readlink(s.ctx, dir+"/sub/link"); err != nil || target != "../../../away" {
		s.Errorf("the link holds %q, %v", target, err)
	}
	s.mode(dir, 0o750)
	s.mode(dir+"/empty", 0o755|fs.ModeSetgid)
	for _, name := range []string{"/file", "/empty", "/long", ""} {
		if got := s.info(dir + name).ModTime(); !got.Equal(then) {
			s.Errorf("%q was changed at %v, packed is %v", dir+name, got, then)
		}
	}
	if mode := s.info(dir + "/file").Mode(); mode != 0o640 {
		s.Errorf("the file has the mode %v", mode)
	}
}

// owner is whom the server takes us for.
func (s *suite) owner() (uid, gid int) {
	s.Helper()
	s.mkdir("owner")
	owned, ok := s.info("owner").Sys().(interface{ Owner() (uid, gid uint32) })
	if !ok {
		s.Fatal("Sys has no Owner")
	}
	u, g := owned.Owner()
	s.must(s.fs.Remove(s.ctx, "owner"))
	return int(u), int(g)
}
