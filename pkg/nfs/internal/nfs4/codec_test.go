package nfs4

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	oracle "github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// everyOperation builds a compound with each operation that we send in a minor version.
func everyOperation(minor uint32) *compound {
	mode, size := uint32(0o2770), uint64(9)
	set := file.Set{Mode: &mode, UID: 1000, GID: 2000}
	b := newCompound(minor)
	b.op(opPutRootFH)
	b.putFH("handle")
	b.op(opSaveFH)
	b.lookup([]string{"a", "b"})
	b.getattr(statBits)
	b.op(opGetFH)
	b.op(opAccess)
	b.Uint32(accessAll)
	b.change(opCreate)
	b.Uint32(typeDirectory)
	b.String("dir")
	encodeSet(&b.Encoder, set)
	b.change(opCreate)
	b.Uint32(typeLink)
	b.String("target")
	b.String("link")
	encodeSet(&b.Encoder, file.Set{UID: -1, GID: -1})
	set.Size = &size
	b.setattr(set)
	set.Size = nil
	owner := &openOwner{clientID: 77, name: "owner", requests: 8}
	b.openNew(owner, "file", set)
	b.write(currentState(), 8, []byte("12345"))
	b.close(owner, currentState())
	b.read(5, 6)
	(&Client{limits: limits{response: 1 << 20}}).readdir(b, file.Cookie{Value: 3}, listBits)
	b.op(opReadlink)
	b.change(opRename)
	b.String("old")
	b.String("new")
	b.remove("gone")
	if minor == 0 {
		b.op(opOpenConfirm)
		b.Fixed(make([]byte, 16))
		b.number(owner)
		return b
	}
	b.op(opReclaimComplete)
	b.Uint32(0)
	b.sequence([sessionIDSize]byte{1, 2, 3}, 4, 5, 6)
	return b
}

const accessAll = 0x3f

// TestArgumentsOracle has an implementation generated from the RFC read what we write.
func TestArgumentsOracle(t *testing.T) {
	for minor, want := range []struct{ access, number uint32 }{{2, 9}, {0x402, 0}, {0x402, 0}} {
		b := everyOperation(uint32(minor))
		args := readByOracle(t, b)
		if args.Minorversion != uint32(minor) {
			t.Errorf("minor version %d, want %d", args.Minorversion, minor)
		}
		var again bytes.Buffer
		if _, err := args.WriteTo(&again); err != nil || !bytes.Equal(again.Bytes(), b.B) {
			t.Errorf("written again it differs: %v", err)
		}
		open := args.Argarray[slices.Index(b.ops, opOpen)].(*oracle.NfsArgop4_OP_OPEN).Opopen
		closing := args.Argarray[slices.Index(b.ops, opClose)].(*oracle.NfsArgop4_OP_CLOSE).Opclose
		if open.ShareAccess != want.access || open.Seqid != want.number || closing.Seqid != want.number ||
			open.Owner.Clientid != 77 || string(open.Owner.Owner) != "owner" {
			t.Errorf("OPEN %+v, CLOSE %+v", open, closing)
		}
	}
	args := readByOracle(t, everyOperation(1))
	if seq := args.Argarray[0].(*oracle.NfsArgop4_OP_SEQUENCE).Opsequence; !seq.SaCachethis || seq.SaSequenceid != 4 ||
		seq.SaSlotid != 5 || seq.SaHighestSlotid != 6 {
		t.Errorf("SEQUENCE %+v", seq)
	}
}

// readByOracle fails the test unless the oracle finds the operations that we meant, and nothing after them.
func readByOracle(t *testing.T, b *compound) *oracle.Compound4args {
	t.Helper()
	args := new(oracle.Compound4args)
	r := bytes.NewReader(b.B)
	if _, err := args.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if r.Len() != 0 || len(args.Argarray) != len(b.ops) {
		t.Fatalf("%d bytes left, %d operations of %d", r.Len(), len(args.Argarray), len(b.ops))
	}
	for i, op := range args.Argarray {
		if uint32(op.GetArgop()) != b.ops[i] {
			t.Errorf("operation %d is %d, want %d", i, op.GetArgop(), b.ops[i])
		}
	}
	return args
}

func TestSetupOracle(t *testing.T) {
	c := &Client{minor: 1, owner: []byte("me")}
	readByOracle(t, c.exchangeIDArgs())
	readByOracle(t, c.createSessionArgs(7, 8))
	c = &Client{owner: []byte("me")}
	op := readByOracle(t, c.setClientIDArgs()).Argarray[0].(*oracle.NfsArgop4_OP_SETCLIENTID).Opsetclientid
	if string(op.Client.Id) != "me" || op.Client.Verifier == [8]byte{} || op.Callback.CbProgram != 0 {
		t.Errorf("SETCLIENTID %+v", op)
	}
	readByOracle(t, confirmClientIDArgs(7, make([]byte, 8)))
}

// fattr encodes attributes as a server does.
func fattr(mask bitmap, values ...any) oracle.Fattr4 {
	var e xdr.Encoder
	for _, v := range values {
		switch v := v.(type) {
		case int:
			e.Uint32(uint32(v))
		case uint64:
			e.Uint64(v)
		case string:
			e.String(v)
		}
	}
	return oracle.Fattr4{Attrmask: []uint32{uint32(mask), uint32(mask >> 32)}, AttrVals: e.B}
}

// TestListing reads a page that the oracle wrote.
func TestListing(t *testing.T) {
	at := uint64(1_700_000_000)
	full := func(kind int, owner string) oracle.Fattr4 {
		return fattr(statBits|1<<attrFilehandle, kind, uint64(42), uint64(1), uint64(2), "fh", uint64(99), 0o102770, 3, owner, "2000",
			8, 9, uint64(4096), at-1, 4, at, 5, at+1, 6)
	}
	reply := oracle.Readdir4resok{Cookieverf: [8]byte{1}, Reply: oracle.Dirlist4{Eof: true, Entries: &oracle.Entry4{
		Cookie: 3, Name: "dir", Attrs: full(typeDirectory, "1000"), Nextentry: &oracle.Entry4{
			Cookie: 4, Name: "..", Attrs: full(typeDirectory, "0"), Nextentry: &oracle.Entry4{
				Cookie: 5, Name: "named", Attrs: full(typeLink, "somebody@example"), Nextentry: &oracle.Entry4{
					Cookie: 6, Name: "dark", Attrs: fattr(1<<attrRdattrError, int(status.Access)),
				},
			},
		},
	}}}
	page, err := pageOf(&reply)
	if err != nil || !page.EOF || page.Cookie != (file.Cookie{Value: 6, Verifier: [8]byte{1}}) || len(page.Entries) != 3 {
		t.Fatalf("%+v, %v", page, err)
	}
	want := file.Attr{
		Type: fs.ModeDir, Mode: 0o2770, Nlink: 3, UID: 1000, GID: 2000, Size: 42, FSID: file.FSID{Major: 1, Minor: 2}, FileID: 99,
		Used: 4096, Major: 8, Minor: 9,
		Atime: time.Unix(int64(at)-1, 4), Ctime: time.Unix(int64(at), 5), Mtime: time.Unix(int64(at)+1, 6),
	}
	if dir := page.Entries[0]; dir.Name != "dir" || dir.Attr != want || dir.Handle != "fh" || dir.NoAttr {
		t.Errorf("%+v", dir)
	}
	if named := page.Entries[1]; named.Attr.Type != fs.ModeSymlink || named.Attr.UID != file.Unknown || !named.Attr.OwnerNamed {
		t.Errorf("%+v", named)
	}
	if dark := page.Entries[2]; dark.Name != "dark" || !dark.NoAttr {
		t.Errorf("%+v", dark)
	}
}

func pageOf(resok io.WriterTo) (file.Page, error) {
	var body bytes.Buffer
	r := &reply{}
	r.op(opReaddir, status.OK)
	if _, err := resok.WriteTo(&body); err != nil {
		return file.Page{}, err
	}
	r.B = append(r.B, body.Bytes()...)
	results, err := parseResults(r.done(status.OK), []uint32{opReaddir})
	if err != nil {
		return file.Page{}, err
	}
	return results.page()
}

// TestOpenReplies reads each kind of delegation that a server may grant, asked for or not.
func TestOpenReplies(t *testing.T) {
	ace := oracle.Nfsace4{Who: "EVERYONE@"}
	for name, delegation := range map[string]oracle.OpenDelegation4{
		"none": &oracle.OpenDelegation4_OPEN_DELEGATE_NONE{},
		"read": &oracle.OpenDelegation4_OPEN_DELEGATE_READ{Read: oracle.OpenReadDelegation4{Permissions: ace}},
		"write": &oracle.OpenDelegation4_OPEN_DELEGATE_WRITE{Write: oracle.OpenWriteDelegation4{
			SpaceLimit: &oracle.NfsSpaceLimit4_NFS_LIMIT_SIZE{Filesize: 5}, Permissions: ace,
		}},
		"blocks": &oracle.OpenDelegation4_OPEN_DELEGATE_WRITE{Write: oracle.OpenWriteDelegation4{
			SpaceLimit: &oracle.NfsSpaceLimit4_NFS_LIMIT_BLOCKS{}, Permissions: ace,
		}},
		"contention": &oracle.OpenDelegation4_OPEN_DELEGATE_NONE_EXT{OdWhynone: &oracle.OpenNoneDelegation4_WND4_CONTENTION{}},
		"resource":   &oracle.OpenDelegation4_OPEN_DELEGATE_NONE_EXT{OdWhynone: &oracle.OpenNoneDelegation4_WND4_RESOURCE{}},
		"other":      &oracle.OpenDelegation4_OPEN_DELEGATE_NONE_EXT{OdWhynone: &oracle.OpenNoneDelegation4_default{}},
	} {
		reply := oracle.Open4resok{
			Stateid: oracle.Stateid4{Seqid: 1, Other: [12]byte{9}}, Attrset: []uint32{0, 2}, Delegation: delegation,
		}
		var body bytes.Buffer
		if _, err := reply.WriteTo(&body); err != nil {
			t.Fatal(err)
		}
		d := xdr.NewDecoder(body.Bytes())
		if id, _ := decodeOpen(d); d.Err() != nil || len(d.Rest()) > 0 || id != (stateID{3: 1, 4: 9}) {
			t.Errorf("%s: %x, %v, %d bytes left", name, id, d.Err(), len(d.Rest()))
		}
	}
}

func TestMalformedReplies(t *testing.T) {
	good := (&reply{}).only(opRemove, status.OK)
	vague := &reply{}
	vague.op(opRemove, status.OK)
	vague.Fixed(make([]byte, 20))
	for name, body := range map[string][]byte{
		"nothing failed":    vague.done(status.IO),
		"empty":             nil,
		"short":             good[:len(good)-1],
		"results missing":   (&reply{}).done(status.OK),
		"too many results":  append(bytes.Clone(good[:8]), append([]byte{0, 0, 0, 9}, good[12:]...)...),
		"another operation": (&reply{}).only(opLookup, status.OK),
		"only a status":     good[:4],
		"no result":         good[:12],
	} {
		r, err := parseResults(body, []uint32{opRemove})
		if err == nil {
			err = r.end()
		}
		if !errors.Is(err, xdr.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var a attributes
	var e xdr.Encoder
	bitmap(1 << 12).encode(&e) // an ACL, never asked for
	e.Opaque([]byte{0, 0, 0, 0})
	d := xdr.NewDecoder(e.B)
	if a.decode(d); d.Err() == nil || !strings.Contains(d.Err().Error(), "not asked for") {
		t.Errorf("an attribute that nobody asked for: %v", d.Err())
	}
}

// TestCrowdedPage: a page has no more entries than fit into what was asked for, however small they are.
func TestCrowdedPage(t *testing.T) {
	const most = pageSize / smallestEntry
	for _, n := range []int{most, most + 1, 2 * most} {
		r := &reply{}
		r.op(opReaddir, status.OK)
		r.Fixed(make([]byte, 8))
		for range n {
			r.Bool(true)
			r.Fixed(make([]byte, smallestEntry-4))
		}
		r.Bool(false)
		r.Bool(true)
		results, err := parseResults(r.done(status.OK), []uint32{opReaddir})
		if err != nil {
			t.Fatal(err)
		}
		page, err := results.page()
		if n == most && (err != nil || len(page.Entries) != n) || n > most && (!errors.Is(err, xdr.ErrMalformed) || len(page.Entries) > most+1) {
			t.Errorf("%d of %d entries, %v", len(page.Entries), n, err)
		}
	}
}

// TestPrincipal: an owner that the server names is given back to it by that name, root too: it need not take numbers.
func TestPrincipal(t *testing.T) {
	for s, want := range map[string]file.Attr{
		"0": {}, "1000": {UID: 1000, GID: 1000}, "root@localdomain": {OwnerName: "root@localdomain", GroupName: "root@localdomain"},
		"nobody": unknown("nobody"), "": unknown(""), "-1": unknown("-1"), "4294967296": unknown("4294967296"),
	} {
		var e xdr.Encoder
		bits(attrOwner, attrOwnerGroup).encode(&e)
		length := e.Hole()
		e.String(s)
		e.String(s)
		e.FillLength(length)
		var a attributes
		if a.decode(xdr.NewDecoder(e.B)); a.Attr != want {
			t.Errorf("%q: %+v, want %+v", s, a.Attr, want)
		}
	}
}

func unknown(name string) file.Attr {
	return file.Attr{UID: file.Unknown, GID: file.Unknown, OwnerNamed: true, OwnerName: name, GroupName: name}
}

// FuzzResults: no reply makes the decoders panic or go on for ever.
func FuzzResults(f *testing.F) {
	ops := []uint32{opGetattr, opGetFH, opOpen, opReaddir, opRead, opWrite, opClose, opCreate, opSetattr, opRename,
		opSeek, opClone, opGetattr, opCommit, opReadlink, opAccess, opListXattrs, opSetXattr}
	f.Add((&reply{}).only(opGetattr, status.Access))
	r := &reply{}
	r.op(opGetattr, status.OK)
	bits(attrType, attrMode).encode(&r.Encoder)
	r.Opaque([]byte{0, 0, 0, typeDirectory, 0, 0, 1, 0o355})
	r.op(opGetFH, status.OK)
	r.String("handle")
	f.Add(r.done(status.OK))
	f.Fuzz(func(t *testing.T, body []byte) {
		for i := range ops {
			for _, read := range []func(r *results) error{
				(*results).end,
				func(r *results) error { _, err := r.attr(); return err },
				func(r *results) error { _, err := r.handle(); return err },
				func(r *results) error { _, err := r.page(); return err },
				func(r *results) error { _, _, err := r.open(); return err },
				func(r *results) error { _, _, err := r.data(nil, 100); return err },
				func(r *results) error { _, err := r.cloned(); return err },
				func(r *results) error { _, err := r.committed(); return err },
				func(r *results) error { _, err := r.written(100); return err },
				func(r *results) error { _, _, err := r.wroteSome(100); return err },
				func(r *results) error { _, _, err := r.opened(&openOwner{}); return err },
				func(r *results) error { _, err := r.step(); return err },
				func(r *results) error { _, err := r.xattrs(); return err },
			} {
				if r, err := parseResults(body, ops[i:]); err == nil {
					_ = read(r) // any error is fine, a panic is not
				}
			}
		}
		_ = sequenceStatus(body)
		decodeChannel(xdr.NewDecoder(body))
	})
}
