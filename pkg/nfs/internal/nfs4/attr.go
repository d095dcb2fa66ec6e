package nfs4

import (
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// Attributes (RFC 8881 section 5.8).
const (
	attrType         = 1
	attrSize         = 4
	attrFSID         = 8
	attrRdattrError  = 11
	attrFilehandle   = 19
	attrFileID       = 20
	attrFilesFree    = 22
	attrFilesTotal   = 23
	attrMaxRead      = 30
	attrMaxWrite     = 31
	attrMode         = 33
	attrNumlinks     = 35
	attrOwner        = 36
	attrOwnerGroup   = 37
	attrRawDev       = 41
	attrSpaceAvail   = 42
	attrSpaceFree    = 43
	attrSpaceTotal   = 44
	attrSpaceUsed    = 45
	attrTimeAccess   = 47
	attrSetAtime     = 48
	attrTimeMetadata = 52
	attrTimeModify   = 53
	attrSetMtime     = 54
)

// bitmap is a set of attributes; all that we use fit into two words.
type bitmap uint64

func bits(attrs ...uint) bitmap {
	var b bitmap
	for _, a := range attrs {
		b |= 1 << a
	}
	return b
}

const statBits bitmap = 1<<attrType | 1<<attrSize | 1<<attrFSID | 1<<attrFileID | 1<<attrMode | 1<<attrNumlinks |
	1<<attrOwner | 1<<attrOwnerGroup | 1<<attrRawDev | 1<<attrSpaceUsed | 1<<attrTimeAccess | 1<<attrTimeMetadata | 1<<attrTimeModify

// transferBits are asked for in version 4.0, where no session settles them.
const transferBits bitmap = 1<<attrMaxRead | 1<<attrMaxWrite

// transfer is how many bytes one READ and one WRITE may carry, 0 where the server did not tell.
type transfer struct{ read, write uint64 }

func (b bitmap) encode(e *xdr.Encoder) {
	e.Uint32(2)
	e.Uint32(uint32(b))
	e.Uint32(uint32(b >> 32))
}

func decodeBitmap(d *xdr.Decoder) bitmap {
	var b bitmap
	for i := range d.Count(4) {
		word := d.Uint32()
		switch {
		case i < 2:
			b |= bitmap(word) << (32 * i)
		case word != 0:
			d.Fail("attribute above 63")
		}
	}
	return b
}

// encodeSet writes the fattr4 of SETATTR, CREATE and OPEN, in the order of the attributes' numbers.
func encodeSet(e *xdr.Encoder, set file.Set) {
	owner, group := named(set.OwnerName, set.UID), named(set.GroupName, set.GID)
	var b bitmap
	add := func(wanted bool, attr uint) {
		if wanted {
			b |= bits(attr)
		}
	}
	add(set.Size != nil, attrSize)
	add(set.Mode != nil, attrMode)
	add(owner != "", attrOwner)
	add(group != "", attrOwnerGroup)
	add(!set.Atime.IsZero(), attrSetAtime)
	add(!set.Mtime.IsZero(), attrSetMtime)
	b.encode(e)
	length := e.Hole()
	if set.Size != nil {
		e.Uint64(*set.Size)
	}
	if set.Mode != nil {
		e.Uint32(*set.Mode)
	}
	if owner != "" {
		e.String(owner)
	}
	if group != "" {
		e.String(group)
	}
	encodeTime(e, set.Atime)
	encodeTime(e, set.Mtime)
	e.FillLength(length)
}

// named is how version 4 names an owner or a group, "" for nobody.
func named(name string, id int) string {
	if name == "" && id >= 0 {
		return strconv.Itoa(id)
	}
	return name
}

const setToClientTime = 1

// encodeTime writes a settime4, nothing for the zero time.
func encodeTime(e *xdr.Encoder, t time.Time) {
	if t.IsZero() {
		return
	}
	e.Uint32(setToClientTime)
	e.Uint64(uint64(t.Unix()))
	e.Uint32(uint32(t.Nanosecond()))
}

// attributes is everything that a GETATTR of ours can bring.
type attributes struct {
	file.Attr
	has    bitmap
	err    status.Code // of one entry of a listing
	handle file.Handle
	usage  file.Usage
	transfer
}

// decode reads a fattr4. Attributes come in the order of their numbers; one that we did not ask for cannot be skipped,
// because its size is unknown.
func (a *attributes) decode(d *xdr.Decoder) {
	a.has = decodeBitmap(d)
	v := xdr.NewDecoder(d.Opaque(1 << 16))
	for n := uint(0); n < 64; n++ {
		if a.has&bits(n) != 0 {
			a.decodeOne(v, n)
		}
	}
	if v.Err() != nil {
		d.Fail("attributes: %v", v.Err())
	}
}

func (a *attributes) decodeOne(d *xdr.Decoder, n uint) {
	if number := a.number(n); number != nil {
		*number = d.Uint64()
		return
	}
	switch n {
	case attrType:
		a.Type = fileType(d.Uint32())
	case attrFSID:
		a.FSID = file.FSID{Major: d.Uint64(), Minor: d.Uint64()}
	case attrRdattrError:
		a.err = status.Code(d.Uint32())
	case attrFilehandle:
		a.handle = file.Handle(d.String(maxHandle))
	case attrMode:
		a.Mode = d.Uint32() & 0o7777
	case attrNumlinks:
		a.Nlink = d.Uint32()
	case attrOwner:
		var known bool
		a.UID, a.OwnerName, known = principal(d.String(maxOwner))
		a.OwnerNamed = !known
	case attrOwnerGroup:
		a.GID, a.GroupName, _ = principal(d.String(maxOwner))
	case attrRawDev:
		a.Major, a.Minor = d.Uint32(), d.Uint32()
	case attrTimeAccess:
		a.Atime = decodeTime(d)
	case attrTimeMetadata:
		a.Ctime = decodeTime(d)
	case attrTimeModify:
		a.Mtime = decodeTime(d)
	default:
		d.Fail("attribute %d was not asked for", n)
	}
}

// number is where an attribute goes that is a 64-bit number, nil for the others.
func (a *attributes) number(n uint) *uint64 {
	switch n {
	case attrSize:
		return &a.Size
	case attrFileID:
		return &a.FileID
	case attrFilesFree:
		return &a.usage.FilesFree
	case attrFilesTotal:
		return &a.usage.Files
	case attrMaxRead:
		return &a.read
	case attrMaxWrite:
		return &a.write
	case attrSpaceAvail:
		return &a.usage.Available
	case attrSpaceFree:
		return &a.usage.Free
	case attrSpaceTotal:
		return &a.usage.Total
	case attrSpaceUsed:
		return &a.Used
	}
	return nil
}

// principal reads an owner: a number as in RFC 8881 section 5.9, or a name, of which we know "root@domain" only. A server that
// sends names need not take numbers.
func principal(s string) (id uint32, name string, known bool) {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return uint32(n), "", true
	}
	if user, _, ok := strings.Cut(s, "@"); ok && user == "root" {
		return 0, s, true
	}
	return file.Unknown, s, false
}

func decodeTime(d *xdr.Decoder) time.Time {
	sec, nsec := int64(d.Uint64()), d.Uint32()
	return time.Unix(sec, int64(nsec))
}

func fileType(t uint32) fs.FileMode {
	switch t {
	case typeRegular:
		return 0
	case typeDirectory:
		return fs.ModeDir
	case typeBlock:
		return fs.ModeDevice
	case typeChar:
		return fs.ModeDevice | fs.ModeCharDevice
	case typeLink:
		return fs.ModeSymlink
	case typeSocket:
		return fs.ModeSocket
	case typeFIFO:
		return fs.ModeNamedPipe
	}
	return fs.ModeIrregular // named attributes and what a later RFC may bring
}
