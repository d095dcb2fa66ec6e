package nfs3

import (
	"io/fs"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// File types (ftype3).
var types = map[uint32]fs.FileMode{
	1: 0, 2: fs.ModeDir, 3: fs.ModeDevice, 4: fs.ModeDevice | fs.ModeCharDevice, 5: fs.ModeSymlink, 6: fs.ModeSocket,
	7: fs.ModeNamedPipe,
}

func decodeAttr(d *xdr.Decoder) file.Attr {
	var a file.Attr
	kind := d.Uint32()
	var known bool
	if a.Type, known = types[kind]; !known {
		d.Fail("file type %d", kind)
	}
	a.Mode = d.Uint32() & 0o7777
	a.Nlink = d.Uint32()
	a.UID, a.GID = d.Uint32(), d.Uint32()
	a.Size = d.Uint64()
	a.Used = d.Uint64()
	a.Major, a.Minor = d.Uint32(), d.Uint32()
	a.FSID.Major = d.Uint64()
	a.FileID = d.Uint64()
	a.Atime, a.Mtime, a.Ctime = decodeTime(d), decodeTime(d), decodeTime(d)
	return a
}

func decodeTime(d *xdr.Decoder) time.Time {
	sec, nsec := d.Uint32(), d.Uint32()
	return time.Unix(int64(sec), int64(nsec))
}

func postOpAttr(d *xdr.Decoder) (a file.Attr, ok bool) {
	if ok = d.Bool(); ok {
		a = decodeAttr(d)
	}
	return a, ok
}

// decodeHandle takes a handle, which is never empty: that stands for one that is not known.
func decodeHandle(d *xdr.Decoder) file.Handle {
	h := file.Handle(d.String(maxHandle))
	if d.Err() == nil && h == "" {
		d.Fail("an empty handle")
	}
	return h
}

func postOpHandle(d *xdr.Decoder) file.Handle {
	if !d.Bool() {
		return ""
	}
	return decodeHandle(d)
}

// skipWcc passes over wcc_data and returns the attributes after the call, where the server sent them.
func skipWcc(d *xdr.Decoder) (file.Attr, bool) {
	if d.Bool() {
		d.Fixed(8 + 8 + 8)
	}
	return postOpAttr(d)
}

// How SETATTR sets a time.
const (
	timeKeep   = 0
	timeServer = 1
	timeClient = 2
)

// encodeSet writes a sattr3; times is what happens to times that set leaves alone: timeKeep or timeServer.
func encodeSet(e *xdr.Encoder, set file.Set, times uint32) {
	optional := func(v int64) {
		e.Bool(v >= 0)
		if v >= 0 {
			e.Uint32(uint32(v))
		}
	}
	mode := int64(-1)
	if set.Mode != nil {
		mode = int64(*set.Mode)
	}
	optional(mode)
	optional(int64(set.UID))
	optional(int64(set.GID))
	e.Bool(set.Size != nil)
	if set.Size != nil {
		e.Uint64(*set.Size)
	}
	encodeTime(e, set.Atime, times)
	encodeTime(e, set.Mtime, times)
}

// encodeTime writes a set_atime or set_mtime. Seconds have 32 bits in version 3: a time outside goes as the server gave it.
func encodeTime(e *xdr.Encoder, t time.Time, otherwise uint32) {
	if t.IsZero() {
		e.Uint32(otherwise)
		return
	}
	e.Uint32(timeClient)
	e.Uint32(uint32(t.Unix()))
	e.Uint32(uint32(t.Nanosecond()))
}
