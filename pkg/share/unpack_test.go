package share_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

var packedID = volume.SnapshotID{Location: place, Name: "old", Source: "pvc-0"}

// packed puts a tarball of csi-driver-nfs on the share.
func (w *world) packed(data []byte) {
	w.Helper()
	w.mkdir("old")
	w.must(w.fs.CreateFile(w.Context(), "old/pvc-0.tar", data, 0o644))
}

func pack(t *testing.T, entries ...sharetest.Packed) []byte {
	t.Helper()
	data, err := sharetest.Pack(false, entries...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func packs(kind byte, name, link string) sharetest.Packed {
	e := sharetest.Packed{Header: tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: 0o4755, Uid: 3, Gid: 4, ModTime: time.Unix(1, 0)}}
	if kind == tar.TypeReg {
		e.Text = "text"
	}
	return e
}

// TestHostileTarballs: whatever a tarball says, nothing is made outside the volume, and nothing is left of it.
func TestHostileTarballs(t *testing.T) {
	reg, dir, link, hard := byte(tar.TypeReg), byte(tar.TypeDir), byte(tar.TypeSymlink), byte(tar.TypeLink)
	for name, entries := range map[string][]sharetest.Packed{
		"up":                 {packs(reg, "../victim/planted", "")},
		"up inside":          {packs(reg, "a/../../victim/planted", "")},
		"up at the end":      {packs(dir, "a/..", "")},
		"absolute":           {packs(reg, "/victim/planted", "")},
		"only slashes":       {packs(dir, "//", "")},
		"dots":               {packs(reg, "a/./b", "")},
		"link then write":    {packs(link, "a", "../../victim"), packs(reg, "a/planted", "")},
		"link then dir":      {packs(link, "a", "../../victim"), packs(dir, "a", ""), packs(reg, "a/planted", "")},
		"link then itself":   {packs(link, "a", "../../victim/file"), packs(reg, "a", "")},
		"link, hard link":    {packs(link, "a", "../../victim"), packs(hard, "b", "a/file")},
		"hard link up":       {packs(hard, "b", "../../victim/file")},
		"hard link absolute": {packs(hard, "b", "/victim/file")},
		"hard link nowhere":  {packs(hard, "b", "none")},
		"file then below":    {packs(reg, "a", ""), packs(reg, "a/b", "")},
		"twice":              {packs(reg, "a", ""), packs(reg, "a", "")},
		"long":               {packs(reg, strings.Repeat("x", 300), "")},
		"deep":               {packs(reg, strings.Repeat("x/", 8<<10)+"x", "")},
		"block device":       {packs(tar.TypeBlock, "sda", "")},
		"character device":   {packs(tar.TypeChar, "mem", "")},
		"unknown":            {packs('Z', "a", "")},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, fs: memfs.New()}
			w.mkdir("victim")
			w.write("victim/file", "kept")
			w.packed(pack(t, append([]sharetest.Packed{packs(reg, "first", "")}, entries...)...))
			before := w.tree(".")
			err := w.clean(creates(new(volume.Volume), filling("pvc-1", "v", volume.Delete, volume.Source{Snapshot: &packedID})))
			if !errors.Is(err, volume.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
			w.tidied()
			w.emptied()
			w.holds(nil, before...)
		})
	}
}

// TestEndlessFile: a hole takes no room in a tarball, and for ever to be read.
func TestEndlessFile(t *testing.T) {
	var data bytes.Buffer
	if err := tar.NewWriter(&data).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "hole", Mode: 0o644, Size: 1 << 62, Format: tar.FormatPAX}); err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, fs: memfs.New()}
	w.packed(data.Bytes())
	err := w.clean(creates(new(volume.Volume), filling("pvc-1", "v", volume.Delete, volume.Source{Snapshot: &packedID})))
	if !errors.Is(err, volume.ErrInvalid) || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
	w.tidied()
}

// TestManyDirectories: more than wait at once, and all have the times that were packed, whatever was made in them.
func TestManyDirectories(t *testing.T) {
	entries := []sharetest.Packed{packs(tar.TypeDir, "./", ""), packs(tar.TypeDir, "./a/", "")}
	for i := range 10_000 {
		name := fmt.Sprintf("./a/%05d", i)
		entries = append(entries, packs(tar.TypeDir, name+"/", ""), packs(tar.TypeDir, name+"/sub/", ""), packs(tar.TypeFifo, name+"/sub/fifo", ""))
	}
	w := &world{T: t, fs: memfs.New()}
	w.packed(pack(t, append(entries, packs(tar.TypeFifo, "./last", ""))...))
	var v volume.Volume
	w.must(w.clean(creates(&v, filling("pvc-1", "v", volume.Delete, volume.Source{Snapshot: &packedID}))))
	for _, e := range entries {
		info, err := w.fs.Lstat(t.Context(), path.Join("v", e.Header.Name))
		w.must(err)
		if !info.ModTime().Equal(time.Unix(1, 0)) || info.Mode().Perm() != 0o755 {
			t.Fatalf("%q has the mode %v and was changed at %v", e.Header.Name, info.Mode(), info.ModTime())
		}
	}
}

// TestDamagedTarballs cuts a tarball everywhere it can be told.
func TestDamagedTarballs(t *testing.T) {
	data := pack(t, packs(tar.TypeReg, "a", ""), packs(tar.TypeReg, "b", ""))
	for _, n := range []int{0, 1, 100, 511, 512, 513, 700, 1024, 1025, 1600, 2048, 2560, len(data) - 1} {
		w := &world{T: t, fs: memfs.New()}
		w.packed(data[:n])
		err := w.clean(creates(new(volume.Volume), filling("pvc-1", "v", volume.Delete, volume.Source{Snapshot: &packedID})))
		if !errors.Is(err, volume.ErrInvalid) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("the first %d bytes: %v", n, err)
		}
		w.tidied()
	}
}

// TestUnpackedAttributes: owners, special bits, links, FIFOs and names of any bytes are as they were packed.
func TestUnpackedAttributes(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	w.packed(pack(t, packs(tar.TypeReg, "caf\xe9", ""), packs(tar.TypeFifo, "./dir/fifo", ""), packs(tar.TypeSymlink, "link", "/etc/passwd"),
		packs(tar.TypeLink, "./again", "caf\xe9")))
	var v volume.Volume
	w.must(w.clean(creates(&v, filling("pvc-1", "v", volume.Delete, volume.Source{Snapshot: &packedID}))))
	for name, want := range map[string]fs.FileMode{"v/caf\xe9": 0o755 | fs.ModeSetuid, "v/dir/fifo": 0o755 | fs.ModeSetuid | fs.ModeNamedPipe,
		"v/link": 0o777 | fs.ModeSymlink, "v/again": 0o755 | fs.ModeSetuid} {
		info, err := w.fs.Lstat(t.Context(), name)
		w.must(err)
		if uid, gid := info.Sys().(interface{ Owner() (uid, gid uint32) }).Owner(); info.Mode() != want || uid != 3 || gid != 4 || !info.ModTime().Equal(time.Unix(1, 0)) {
			t.Errorf("%q is %v of %d:%d, changed at %v; want %v", name, info.Mode(), uid, gid, info.ModTime(), want)
		}
	}
}

// TestUnpackFailures: whatever fails, the next call completes the volume; after a final error there is nothing.
func TestUnpackFailures(t *testing.T) {
	unpackOps := []string{"ReadAt", "WriteAt", "Link", "Mknod", "Chtimes", "Symlink", "CreateFile", "Mkdir", "Chown", "Chmod"}
	large := packs(tar.TypeReg, "large", "")
	large.Text = strings.Repeat("x", 1<<20+1)
	for f := failure(0); f < numFailure; f++ {
		everyCallOf(t, unpackOps, f, func(t *testing.T, w *world) {
			w.packed(pack(t, packs(tar.TypeDir, "dir", ""), packs(tar.TypeReg, "dir/file", ""), large, packs(tar.TypeLink, "again", "dir/file"),
				packs(tar.TypeSymlink, "link", "x"), packs(tar.TypeFifo, "fifo", "")))
			var v volume.Volume
			do := creates(&v, filling("pvc-1", "v", volume.Delete, volume.Source{Snapshot: &packedID}))
			err := w.again(w.disturbed(do), do)
			switch {
			case err == nil:
				w.must(sharetest.Audit(t.Context(), w.fs, v))
				var names []string
				for _, info := range w.list("v") {
					names = append(names, info.Name())
				}
				if !slices.Equal(names, []string{"again", "dir", "fifo", "large", "link"}) || len(w.list("v/dir")) != 1 {
					t.Errorf("it holds %q", names)
				}
				if info, err := w.fs.Lstat(t.Context(), "v/large"); err != nil || info.Size() != 1<<20+1 {
					t.Errorf("the large file: %v, %v", info, err)
				}
			case w.refusedOf(err):
				w.tidied()
				w.must(sharetest.Audit(t.Context(), w.fs))
			default:
				t.Error(err)
			}
			w.emptied()
		})
	}
}

// FuzzUnpack: whatever is called a tarball makes a volume or nothing, and nothing outside it.
func FuzzUnpack(f *testing.F) {
	for _, entries := range [][]sharetest.Packed{
		{packs(tar.TypeReg, "./a", ""), packs(tar.TypeDir, "d/", "")}, {packs(tar.TypeSymlink, "a", "../x"), packs(tar.TypeReg, "a/b", "")},
		{packs(tar.TypeLink, "a", "../../victim/file")},
	} {
		data, err := sharetest.Pack(false, entries...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := &world{T: t, fs: memfs.New()}
		w.mkdir("victim")
		w.write("victim/file", "kept")
		w.packed(data)
		before := w.tree(".")
		var v volume.Volume
		err := w.clean(creates(&v, filling("pvc-1", "v", volume.Delete, volume.Source{Snapshot: &packedID})))
		if err != nil && !final(err) {
			t.Fatal(err)
		}
		if err == nil {
			w.must(w.clean(deletes(v.ID)))
		}
		w.tidied()
		w.emptied()
		w.holds(nil, before...)
	})
}
