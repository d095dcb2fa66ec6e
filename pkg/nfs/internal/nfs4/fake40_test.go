package nfs4

import (
	"encoding/binary"
	"slices"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// fakeState is what a server of version 4.0 knows of its clients (RFC 7530 section 9), and the open files of any version.
type fakeState struct {
	owners map[string]*fakeOwner
	opened map[string]*fakeOwner // by the part of a stateid that stays, see other
	open   map[stateID]bool
}

func other(id stateID) string { return string(id[4:]) }

// fakeOwner is an open owner, with its last answer.
type fakeOwner struct {
	client    uint64
	seq       uint32
	confirmed bool
	last      []byte // results of one operation
	fh        string // after it
}

func newFakeState() fakeState {
	return fakeState{owners: map[string]*fakeOwner{}, opened: map[string]*fakeOwner{}, open: map[stateID]bool{}}
}

// stateful carries out what needs a client ID or a stateid.
func (w *work) stateful(op uint32) status.Code {
	switch op {
	case opSetClientID:
		return w.setClientID()
	case opConfirmClientID:
		id := w.d.Uint64()
		w.d.Fixed(8)
		if w.clients[id] == "" {
			return w.r.op(op, status.StaleClientID)
		}
		w.dropOlder(id)
	case opOpen:
		return w.open()
	case opOpenConfirm:
		id := w.takeState()
		return w.numbered(op, w.d.Uint32(), w.state.opened[other(id)], func(r *reply, o *fakeOwner) status.Code {
			o.confirmed = true
			return w.confirm(r, id)
		})
	case opClose:
		seq := w.d.Uint32()
		id := w.takeState()
		if w.minor > 0 {
			return w.closeState(w.r, id)
		}
		return w.numbered(op, seq, w.state.opened[other(id)], func(r *reply, _ *fakeOwner) status.Code { return w.closeState(r, id) })
	case opRead:
		return w.read()
	case opWrite:
		return w.write()
	case opSetattr:
		w.d.Fixed(16)
		w.skipAttributes()
		w.r.op(op, status.OK)
		bitmap(0).encode(&w.r.Encoder)
		return status.OK
	}
	return w.r.op(op, status.OK)
}

func (w *work) setClientID() status.Code {
	w.d.Fixed(8)
	owner := w.d.String(1024)
	w.d.Uint32()
	w.d.Opaque(64)
	w.d.Opaque(64)
	w.d.Uint32()
	w.met++
	w.clients[uint64(w.met)] = owner
	w.r.op(opSetClientID, status.OK)
	w.r.Uint64(uint64(w.met))
	w.r.Fixed(make([]byte, 8))
	return status.OK
}

// dropOlder forgets what it knew of the same client before (RFC 7530 section 16.34.5).
func (w *work) dropOlder(id uint64) {
	for older, owner := range w.clients {
		if owner == w.clients[id] && older != id {
			delete(w.clients, older)
		}
	}
	for state := range w.state.open {
		if w.clients[w.state.opened[other(state)].client] == "" {
			delete(w.state.open, state)
		}
	}
	clear(w.state.owners)
}

// numbered answers one request of an owner: the same number again gets the same answer (RFC 7530 section 9.1.8).
func (w *work) numbered(op, seq uint32, o *fakeOwner, do func(r *reply, o *fakeOwner) status.Code) status.Code {
	switch {
	case o == nil:
		return w.r.op(op, status.BadStateID)
	case seq == o.seq && o.last != nil:
		w.r.count++
		w.r.B = append(w.r.B, o.last...)
		w.fh = o.fh
		return status.Code(binary.BigEndian.Uint32(o.last[4:]))
	case seq != o.seq+1 && o.confirmed:
		return w.r.op(op, status.BadSeqID)
	}
	var r reply
	code := do(&r, o)
	if counts(code) {
		o.seq, o.last, o.fh = seq, r.B, w.fh
	}
	w.r.count++
	w.r.B = append(w.r.B, r.B...)
	return code
}

func (w *work) open() status.Code {
	seq, access := w.d.Uint32(), w.d.Uint32()
	w.d.Uint32()
	client, name := w.d.Uint64(), w.d.String(1024)
	w.d.Fixed(8)
	w.skipAttributes()
	w.d.Uint32()
	file := w.d.String(maxName)
	if w.minor > 0 {
		return w.openFile(w.r, &fakeOwner{confirmed: true}, file)
	}
	if w.t != nil && access != openAccessWrite {
		w.t.Errorf("OPEN in version 4.0 with access %#x", access)
	}
	if w.clients[client] == "" {
		return w.r.op(opOpen, status.StaleClientID)
	}
	o := w.state.owners[name]
	if o == nil {
		o = &fakeOwner{client: client}
		w.state.owners[name] = o
	}
	return w.numbered(opOpen, seq, o, func(r *reply, o *fakeOwner) status.Code {
		return w.openFile(r, o, file)
	})
}

func (w *work) openFile(r *reply, o *fakeOwner, name string) status.Code {
	if w.names[name] {
		return r.op(opOpen, status.Exist)
	}
	w.names[name] = true
	w.did = append(w.did, "open "+name)
	w.fh = handleOf(name)
	w.files[w.fh] = nil
	r.op(opOpen, status.OK)
	var id stateID
	copy(id[4:], name)
	id[3] = 1
	w.state.open[id] = true
	w.state.opened[other(id)] = o
	r.Fixed(id[:])
	r.Fixed(make([]byte, 20))
	if o.confirmed {
		r.Uint32(0)
	} else {
		r.Uint32(openMustConfirm)
	}
	bitmap(0).encode(&r.Encoder)
	r.Uint32(0) // no delegation
	return status.OK
}

// takeState reads a stateid, of which the first word counts.
func (w *work) takeState() (id stateID) {
	copy(id[:], w.d.Fixed(len(id)))
	return id
}

func (w *work) confirm(r *reply, id stateID) status.Code {
	if !w.state.open[id] {
		return r.op(opOpenConfirm, status.BadStateID)
	}
	delete(w.state.open, id)
	id[3]++
	w.state.open[id] = true
	r.op(opOpenConfirm, status.OK)
	r.Fixed(id[:])
	return status.OK
}

func (w *work) closeState(r *reply, id stateID) status.Code {
	id = w.current(id)
	if !w.state.open[id] {
		return r.op(opClose, status.BadStateID)
	}
	delete(w.state.open, id)
	r.op(opClose, status.OK)
	r.Fixed(id[:])
	return status.OK
}

// current finds the state that the last OPEN of the compound made.
func (w *work) current(id stateID) stateID {
	if w.minor > 0 && id == currentState() {
		copy(id[4:], w.fh)
	}
	return id
}

// read returns less than it is asked for.
func (w *work) read() status.Code {
	w.d.Fixed(16)
	offset, n := w.d.Uint64(), w.d.Uint32()
	content := w.files[w.fh]
	content = content[min(offset, uint64(len(content))):]
	data := content[:min(len(content), max(int(n)*2/3, 1))]
	w.r.op(opRead, status.OK)
	w.r.Bool(len(data) == len(content))
	w.r.Opaque(data)
	return status.OK
}

func (w *work) write() status.Code {
	id := w.current(w.takeState())
	offset := w.d.Uint64()
	w.d.Uint32()
	data := w.d.Opaque(1 << 20)
	if !w.state.open[id] && id != (stateID{}) {
		return w.r.op(opWrite, status.BadStateID)
	}
	content := w.files[w.fh]
	content = append(content, make([]byte, max(int(offset)+len(data)-len(content), 0))...)
	copy(content[offset:], data)
	w.files[w.fh] = content
	w.r.op(opWrite, status.OK)
	w.r.Uint32(uint32(len(data)))
	w.r.Uint32(writeFileSync)
	w.r.Fixed(make([]byte, 8))
	return status.OK
}

// faulty answers an operation with code instead of carrying it out.
func (w *work) faulty(op uint32, code status.Code) status.Code {
	if w.minor == 0 && (op == opOpen || op == opClose || op == opOpenConfirm) && counts(code) {
		for _, o := range w.state.owners { // there is one in the tests that do this
			o.seq, o.last = o.seq+1, nil
		}
	}
	return w.r.op(op, code)
}

// counts tells whether an owner's request that is answered so is counted (RFC 7530 section 9.1.7).
func counts(code status.Code) bool {
	return !slices.Contains([]status.Code{10022, 10023, 10025, 10026, 10036, 10018, 10020, 10019}, code)
}
