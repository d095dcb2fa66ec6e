package nfs4

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// operation carries out one operation and appends its result.
func (w *work) operation(op uint32) status.Code {
	if answer := w.answers[op]; answer != nil {
		return answer(w)
	}
	switch op {
	case opExchangeID, opCreateSession, opDestroySession, opDestroyClientID, opReclaimComplete:
		return w.management(op)
	case opSetClientID, opConfirmClientID, opOpen, opOpenConfirm, opClose, opRead, opWrite, opSetattr:
		return w.stateful(op)
	case opCreate, opRemove:
		return w.change(op)
	case opPutRootFH:
		w.fh = "root"
		return w.r.op(op, status.OK)
	case opPutFH:
		w.fh = w.d.String(maxHandle)
		return w.r.op(op, status.OK)
	case opLookup:
		return w.lookup(w.d.String(maxName))
	case opGetFH:
		w.r.op(op, status.OK)
		w.r.String(w.fh)
		return status.OK
	case opGetattr:
		want := decodeBitmap(w.d)
		w.r.op(op, status.OK)
		w.describe(w.fh, want)
		return status.OK
	case opSaveFH:
		w.saved = w.fh
		return w.r.op(op, status.OK)
	case opRename, opReaddir, opReadlink, opAccess, opCommit:
		return w.names4(op)
	}
	return w.r.op(op, status.NotSupp)
}

// management is what sessions take.
func (w *work) management(op uint32) status.Code {
	switch op {
	case opExchangeID:
		w.d.Fixed(8)
		w.met++
		w.clients[uint64(w.met)] = w.d.String(1024)
		w.d.Fixed(12)
		w.r.op(op, status.OK)
		w.r.Uint64(uint64(w.met))
		w.r.Uint32(1)
	case opCreateSession:
		client := w.d.Uint64()
		if w.clients[client] == "" {
			return w.r.op(op, status.StaleClientID)
		}
		w.made++
		id := [sessionIDSize]byte{byte(w.made)}
		w.sessions[id] = &fakeSession{client, map[uint32]uint32{}, map[uint32][]byte{}}
		w.r.op(op, status.OK)
		w.r.Fixed(id[:])
		w.r.Fixed(make([]byte, 8))
		encodeChannel(&w.r.Encoder, limits{request: w.message, response: w.message, cached: askCachedReply, ops: w.maxOps, slots: w.slots})
	case opDestroySession:
		var id [sessionIDSize]byte
		copy(id[:], w.d.Fixed(sessionIDSize))
		if w.sessions[id] == nil {
			return w.r.op(op, status.BadSession)
		}
		delete(w.sessions, id)
		w.r.op(op, status.OK)
	case opDestroyClientID:
		delete(w.clients, w.d.Uint64())
		w.r.op(op, status.OK)
	case opReclaimComplete:
		w.d.Uint32()
		w.r.op(op, status.OK)
	}
	return status.OK
}

// lookup finds a name, whatever the directory, unless that is closed to the caller.
func (w *work) lookup(name string) status.Code {
	if owner, closed := w.owner[w.fh]; closed && owner != w.uid {
		return w.r.op(opLookup, status.Access)
	}
	if !w.names[name] {
		return w.r.op(opLookup, status.NoEnt)
	}
	w.fh = handleOf(name)
	return w.r.op(opLookup, status.OK)
}

// handleOf is short enough for a handle.
func handleOf(name string) string { return name[:min(len(name), maxHandle)] }

// describe writes a fattr4 of what has a handle. A name that starts with "link" is a link.
func (w *work) describe(fh string, want bitmap) {
	want &= bits(attrType, attrSize, attrMode, attrOwner, attrFilehandle, attrFileID, attrSpaceAvail, attrSpaceFree, attrSpaceTotal) | transferBits
	content, regular := w.files[fh]
	kind := uint32(typeDirectory)
	switch {
	case strings.HasPrefix(fh, "link"):
		kind = typeLink
	case regular:
		kind = typeRegular
	}
	var values xdr.Encoder
	for _, v := range []struct {
		attr uint
		put  func()
	}{
		{attrType, func() { values.Uint32(kind) }},
		{attrSize, func() { values.Uint64(uint64(len(content))) }},
		{attrFilehandle, func() { values.String(fh) }},
		{attrFileID, func() { values.Uint64(w.inode) }},
		{attrMaxRead, func() { values.Uint64(uint64(w.message) - messageOverhead) }},
		{attrMaxWrite, func() { values.Uint64(uint64(w.message) - messageOverhead) }},
		{attrMode, func() { values.Uint32(w.mode) }},
		{attrOwner, func() { values.String(strconv.Itoa(int(w.owner[fh]))) }},
		{attrSpaceAvail, func() { values.Uint64(1) }},
		{attrSpaceFree, func() { values.Uint64(2) }},
		{attrSpaceTotal, func() { values.Uint64(3) }},
	} {
		if want&bits(v.attr) != 0 {
			v.put()
		}
	}
	want.encode(&w.r.Encoder)
	w.r.Opaque(values.B)
}

// pageOfFake is how many entries a listing brings at once.
const pageOfFake = 3

// names4 is what else there is to do with names.
func (w *work) names4(op uint32) status.Code {
	switch op {
	case opRename:
		from, to := w.d.String(maxName), w.d.String(maxName)
		if !w.names[from] {
			return w.r.op(op, status.NoEnt)
		}
		if w.names[to] {
			return w.r.op(op, status.Exist)
		}
		delete(w.names, from)
		w.names[to] = true
		w.did = append(w.did, "rename "+from+" "+to)
		w.r.op(op, status.OK)
		w.r.Fixed(make([]byte, 40))
	case opReaddir:
		from := int(w.d.Uint64())
		w.d.Fixed(8 + 4 + 4)
		want := decodeBitmap(w.d)
		all := slices.Sorted(maps.Keys(w.names))
		w.r.op(op, status.OK)
		w.r.Fixed(make([]byte, 8))
		end := min(from+pageOfFake, len(all))
		for i := min(from, end); i < end; i++ {
			w.r.Bool(true)
			w.r.Uint64(uint64(i + 1))
			w.r.String(all[i])
			w.describe(handleOf(all[i]), want)
		}
		w.r.Bool(false)
		w.r.Bool(end == len(all))
	case opReadlink:
		w.r.op(op, status.OK)
		w.r.String("target of " + w.fh)
	case opAccess:
		want := w.d.Uint32()
		w.r.op(op, status.OK)
		w.r.Uint32(want)
		w.r.Uint32(want &^ 1)
	case opCommit:
		w.d.Fixed(8 + 4)
		w.r.op(op, status.OK)
		w.r.Fixed(make([]byte, 8))
	}
	return status.OK
}

func (w *work) change(op uint32) status.Code {
	if op == opCreate && w.d.Uint32() == typeLink {
		w.d.String(1 << 13)
	}
	name := w.d.String(maxName)
	switch {
	case op == opCreate && w.names[name]:
		return w.r.op(op, status.Exist)
	case op == opRemove && !w.names[name]:
		return w.r.op(op, status.NoEnt)
	}
	w.r.op(op, status.OK)
	w.r.Fixed(make([]byte, 20))
	if op == opRemove {
		delete(w.names, name)
		w.did = append(w.did, "remove "+name)
		return status.OK
	}
	w.skipAttributes()
	bitmap(0).encode(&w.r.Encoder)
	w.names[name] = true
	w.fh = handleOf(name)
	w.did = append(w.did, "create "+name)
	return status.OK
}

func (w *work) skipAttributes() {
	decodeBitmap(w.d)
	w.d.Opaque(1 << 10)
}
