package nfs4

import (
	"strconv"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// operation carries out one operation and appends its result.
func (w *work) operation(op uint32) status.Code {
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
		return w.getattr(decodeBitmap(w.d))
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

func (w *work) getattr(want bitmap) status.Code {
	want &= bits(attrType, attrSize, attrMode, attrOwner) | transferBits
	content, regular := w.files[w.fh]
	kind := uint32(typeDirectory)
	if regular {
		kind = typeRegular
	}
	var values xdr.Encoder
	for _, v := range []struct {
		attr uint
		put  func()
	}{
		{attrType, func() { values.Uint32(kind) }},
		{attrSize, func() { values.Uint64(uint64(len(content))) }},
		{attrMaxRead, func() { values.Uint64(uint64(w.message) - messageOverhead) }},
		{attrMaxWrite, func() { values.Uint64(uint64(w.message) - messageOverhead) }},
		{attrMode, func() { values.Uint32(0o755) }},
		{attrOwner, func() { values.String(strconv.Itoa(int(w.owner[w.fh]))) }},
	} {
		if want&bits(v.attr) != 0 {
			v.put()
		}
	}
	w.r.op(opGetattr, status.OK)
	want.encode(&w.r.Encoder)
	w.r.Opaque(values.B)
	return status.OK
}

func (w *work) change(op uint32) status.Code {
	if op == opCreate {
		w.d.Uint32()
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
