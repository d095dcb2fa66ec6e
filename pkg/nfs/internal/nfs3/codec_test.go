package nfs3

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"
	"time"

	oracle "github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// TestSetOracle has an implementation generated from the RFC read the attributes that we set.
func TestSetOracle(t *testing.T) {
	mode := uint32(0o2770)
	for name, set := range map[string]file.Set{
		"everything": {Mode: &mode, UID: 1000, GID: 2000},
		"nothing":    {UID: -1, GID: -1},
		"owner":      {UID: 0, GID: -1},
	} {
		for _, times := range []uint32{timeKeep, timeServer} {
			var e xdr.Encoder
			encodeSet(&e, set, times)
			var got oracle.Sattr3
			r := bytes.NewReader(e.B)
			if _, err := got.ReadFrom(r); err != nil || r.Len() > 0 {
				t.Errorf("%s: %v, %d bytes left", name, err, r.Len())
				continue
			}
			if got.Mode.GetSetIt() != (set.Mode != nil) || got.Uid.GetSetIt() != (set.UID >= 0) ||
				got.Gid.GetSetIt() != (set.GID >= 0) || got.Size.GetSetIt() || uint32(got.Mtime.GetSetIt()) != times {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}

// TestAttrOracle reads attributes that the oracle wrote.
func TestAttrOracle(t *testing.T) {
	attr := oracle.Fattr3{
		Type: 2, Mode: 0o42770, Nlink: 3, Uid: 4, Gid: 5, Size: 6, Used: 7, Fsid: 8, Fileid: 9,
		Rdev: oracle.Specdata3{Specdata1: 21, Specdata2: 22}, Atime: oracle.Nfstime3{Seconds: 14, Nseconds: 15},
		Mtime: oracle.Nfstime3{Seconds: 10, Nseconds: 11}, Ctime: oracle.Nfstime3{Seconds: 12, Nseconds: 13},
	}
	want := file.Attr{
		Type: fs.ModeDir, Mode: 0o2770, Nlink: 3, UID: 4, GID: 5, Size: 6, FSID: file.FSID{Major: 8}, FileID: 9,
		Used: 7, Major: 21, Minor: 22, Atime: time.Unix(14, 15),
		Mtime: time.Unix(10, 11), Ctime: time.Unix(12, 13),
	}
	d := xdr.NewDecoder(encoded(t, &attr))
	if got := decodeAttr(d); got != want || d.Err() != nil || len(d.Rest()) > 0 {
		t.Errorf("%+v, %v", got, d.Err())
	}
	d = xdr.NewDecoder(encoded(t, &oracle.PostOpAttr_TRUE{Attributes: attr}))
	if got, ok := postOpAttr(d); got != want || !ok || d.Err() != nil {
		t.Errorf("%+v, %v, %v", got, ok, d.Err())
	}
	d = xdr.NewDecoder(encoded(t, &oracle.PostOpFh3_TRUE{Handle: oracle.NfsFh3{Data: []byte("handle")}}))
	if h := postOpHandle(d); h != "handle" || d.Err() != nil {
		t.Errorf("handle %q, %v", h, d.Err())
	}
	attr.Type = 9
	if d = xdr.NewDecoder(encoded(t, &attr)); decodeAttr(d).Size != 0 || d.Err() == nil {
		t.Error("an unknown type passed")
	}
}

func encoded(t *testing.T, w io.WriterTo) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCrowdedPage: a page has no more entries than fit into what was asked for, however small they are.
func TestCrowdedPage(t *testing.T) {
	const most = pageSize / smallestEntry
	for _, n := range []int{most, most + 1, 2 * most} {
		var e xdr.Encoder
		e.Bool(false)
		e.Fixed(make([]byte, 8))
		for range n {
			e.Bool(true)
			e.Fixed(make([]byte, smallestEntry-4))
		}
		e.Bool(false)
		e.Bool(true)
		page, err := decodePage(xdr.NewDecoder(e.B))
		if n == most && (err != nil || len(page.Entries) != n) || n > most && (!errors.Is(err, xdr.ErrMalformed) || len(page.Entries) > most+1) {
			t.Errorf("%d of %d entries, %v", len(page.Entries), n, err)
		}
	}
}

// FuzzDecode: no reply makes the decoders panic or go on for ever.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 1, 0xed})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, read := range []func(d *xdr.Decoder){
			func(d *xdr.Decoder) { skipWcc(d) },
			func(d *xdr.Decoder) { postOpHandle(d); postOpAttr(d) },
			func(d *xdr.Decoder) { decodeHandle(d); decodeServices(d) },
			func(d *xdr.Decoder) {
				if all := decodeExports(d); d.Err() == nil && 8*len(all) > len(b) {
					t.Errorf("%d exports in %d bytes", len(all), len(b))
				}
			},
			func(d *xdr.Decoder) { decodeServices(d) },
			func(d *xdr.Decoder) { decodeExports(d) },
			func(d *xdr.Decoder) {
				if page, err := decodePage(d); err == nil && 32*len(page.Entries) > len(b) { // no entry is shorter
					t.Errorf("%d entries in %d bytes", len(page.Entries), len(b))
				}
			},
		} {
			for _, start := range []int{0, 4} { // a whole reply begins with its status
				d := xdr.NewDecoder(b[min(start, len(b)):])
				read(d)
				if d.Err() != nil && len(d.Rest()) > 0 {
					t.Error("something is left after an error")
				}
			}
		}
	})
}
