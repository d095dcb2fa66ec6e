package nfs3

import (
	"bytes"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

var root = &rpc.Credential{}

// fake is an export in memory, as version 3 has it.
type fake struct {
	*programs

	lock     sync.Mutex
	nodes    map[string]*node // by handle
	made     int
	verifier byte
	bare     bool // replies leave out what they may
	fault    func(p procedure) fault
	calls    map[procedure]int
	args     map[procedure][]byte // of the last call
	unguided bool                 // CREATE knows no verifiers
}

// fault is what goes wrong with one call.
type fault struct {
	code  status.Code               // is the answer
	lose  bool                      // the answer is lost, the connection too
	spoil func(reply []byte) []byte // the answer is changed
}

type node struct {
	attr     file.Attr
	children map[string]string
	data     []byte
	target   string
	verifier string // of CREATE
}

const rootID = "\x01\x02\x03\x04" // as MNT of programs says

// startFake connects to a fake.
func startFake(t *testing.T) (*fake, *Client) {
	t.Helper()
	f := &fake{programs: startPrograms(t), nodes: map[string]*node{}, calls: map[procedure]int{}, args: map[procedure][]byte{}, fault: func(procedure) fault { return fault{} }}
	f.nodes[rootID] = &node{attr: file.Attr{Type: fs.ModeDir, Mode: 0o755, FileID: 1}, children: map[string]string{}}
	f.nfs = f.call
	cfg := f.config()
	cfg.Port, cfg.MountPort = 2049, 2049
	c, err := Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return f, c
}

// once is a fault of the first call of a procedure.
func (f *fake) once(p procedure, what fault) { f.times(1, p, what) }

// times is a fault of the first n calls of a procedure.
func (f *fake) times(n int, p procedure, what fault) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.fault = func(called procedure) fault {
		if called != p || n == 0 {
			return fault{}
		}
		n--
		return what
	}
}

func (f *fake) at(names ...string) *node {
	f.lock.Lock()
	defer f.lock.Unlock()
	id := rootID
	for _, name := range names {
		if id = f.nodes[id].children[name]; id == "" {
			return nil
		}
	}
	return f.nodes[id]
}

func (f *fake) called(p procedure) int {
	f.lock.Lock()
	defer f.lock.Unlock()
	return f.calls[p]
}

func (f *fake) call(p procedure, d *xdr.Decoder) []byte {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.calls[p]++
	f.args[p] = bytes.Clone(d.Rest())
	what := f.fault(p)
	if what.code != status.OK {
		return f.refusal(p, what.code)
	}
	reply := f.carryOut(p, d.String(maxHandle), d)
	switch {
	case what.lose:
		return nil
	case what.spoil != nil:
		return what.spoil(reply)
	}
	return reply
}

// refusal is an answer with what follows the status of this procedure.
func (f *fake) refusal(p procedure, code status.Code) []byte {
	var e xdr.Encoder
	e.Uint32(uint32(code))
	switch p {
	case procGetattr:
	case procRename, procLink:
		e.Fixed(make([]byte, 16))
	case procSetattr, procWrite, procCreate, procMkdir, procSymlink, procMknod, procRemove, procRmdir, procCommit:
		e.Fixed(make([]byte, 8))
	default:
		e.Bool(false)
	}
	return e.B
}

func (f *fake) carryOut(p procedure, id string, d *xdr.Decoder) []byte {
	n := f.nodes[id]
	if n == nil {
		return f.refusal(p, status.Stale)
	}
	switch p {
	case procCreate, procMkdir, procSymlink, procMknod:
		return f.create(p, n, d)
	case procLookup, procRemove, procRmdir, procRename:
		return f.name(p, n, d)
	}
	var e xdr.Encoder
	e.Uint32(0)
	switch p {
	case procGetattr:
		e.B = append(e.B, attributes(n)...)
	case procSetattr:
		f.setattr(n, d)
		f.wcc(&e, n)
	case procRead:
		f.read(&e, n, d)
	case procWrite:
		f.write(&e, n, d)
	case procReadlink:
		f.optional(&e, n)
		e.String(n.target)
	case procReaddirplus:
		f.list(&e, n)
	case procFsstat:
		f.optional(&e, n)
		for _, v := range []uint64{3, 2, 1, 0, 0, 0} {
			e.Uint64(v)
		}
	case procAccess:
		f.optional(&e, n)
		e.Uint32(d.Uint32() &^ 1)
	case procLink:
		dir := f.nodes[d.String(maxHandle)]
		dir.children[d.String(maxName)] = id
		f.optional(&e, n)
		f.wcc(&e, dir)
	case procCommit:
		f.wcc(&e, n)
		e.Fixed([]byte{f.verifier, 0, 0, 0, 0, 0, 0, 0})
	}
	return e.B
}

// attributes is a fattr3.
func attributes(n *node) []byte {
	var e xdr.Encoder
	for kind, typ := range types {
		if typ == n.attr.Type {
			e.Uint32(kind)
		}
	}
	e.Uint32(n.attr.Mode)
	e.Uint32(1)
	e.Uint32(n.attr.UID)
	e.Uint32(n.attr.GID)
	e.Uint64(uint64(len(n.data)))
	e.Fixed(make([]byte, 8+8)) // used, device
	e.Uint64(n.attr.FSID.Major)
	e.Uint64(n.attr.FileID)
	e.Fixed(make([]byte, 3*8))
	return e.B
}

func (f *fake) optional(e *xdr.Encoder, n *node) {
	e.Bool(!f.bare)
	if !f.bare {
		e.B = append(e.B, attributes(n)...)
	}
}

func (f *fake) wcc(e *xdr.Encoder, n *node) {
	e.Bool(false)
	f.optional(e, n)
}

// create makes a new name, and answers as the procedures do that make one.
func (f *fake) create(p procedure, dir *node, d *xdr.Decoder) []byte {
	name, n, how := d.String(maxName), &node{}, uint32(createGuarded)
	id := dir.children[name]
	switch p {
	case procCreate:
		how = d.Uint32()
	case procMknod:
		n.attr.Type = types[d.Uint32()]
	}
	switch {
	case how == createExclusive && f.unguided:
		return f.refusal(p, status.NotSupp)
	case how == createExclusive:
		n.verifier = string(d.Fixed(8))
	case how == createUnchecked && id != "":
		f.setattr(f.nodes[id], d)
	default:
		f.setattr(n, d)
	}
	switch p {
	case procMkdir:
		n.attr.Type, n.children = fs.ModeDir, map[string]string{}
	case procSymlink:
		n.attr.Type, n.target = fs.ModeSymlink, d.String(maxPath)
	}
	switch old := f.nodes[id]; {
	case how == createUnchecked && old != nil:
	case old == nil:
		f.made++
		id = strconv.Itoa(f.made)
		n.attr.FileID = uint64(100 + f.made)
		f.nodes[id], dir.children[name] = n, id
	case n.verifier == "" || old.verifier != n.verifier:
		return f.refusal(p, status.Exist)
	}
	var e xdr.Encoder
	e.Uint32(0)
	e.Bool(!f.bare)
	if !f.bare {
		e.String(id)
	}
	f.optional(&e, f.nodes[id])
	f.wcc(&e, dir)
	return e.B
}

// name does what a name in a directory is enough for.
func (f *fake) name(p procedure, dir *node, d *xdr.Decoder) []byte {
	name := d.String(maxName)
	id := dir.children[name]
	n := f.nodes[id]
	if n == nil {
		return f.refusal(p, status.NoEnt)
	}
	var e xdr.Encoder
	e.Uint32(0)
	switch {
	case p == procLookup:
		e.String(id)
		f.optional(&e, n)
		f.optional(&e, dir)
		return e.B
	case p == procRename:
		to := f.nodes[d.String(maxHandle)]
		delete(dir.children, name)
		to.children[d.String(maxName)] = id
		f.wcc(&e, dir)
		dir = to
	case p == procRemove && n.attr.IsDir():
		return f.refusal(p, status.IsDir)
	case p == procRmdir && len(n.children) > 0:
		return f.refusal(p, status.NotEmpty)
	default:
		delete(dir.children, name)
		delete(f.nodes, id)
	}
	f.wcc(&e, dir)
	return e.B
}

// setattr takes a sattr3.
func (f *fake) setattr(n *node, d *xdr.Decoder) {
	for _, number := range []*uint32{&n.attr.Mode, &n.attr.UID, &n.attr.GID} {
		if d.Bool() {
			*number = d.Uint32()
		}
	}
	if d.Bool() {
		n.data = append(n.data, make([]byte, 1<<20)...)[:d.Uint64()]
	}
	for range 2 {
		if d.Uint32() == timeClient {
			d.Uint64()
		}
	}
}

func (f *fake) read(e *xdr.Encoder, n *node, d *xdr.Decoder) {
	offset, count := int(d.Uint64()), int(d.Uint32())
	data := n.data[min(offset, len(n.data)):]
	data = data[:min(len(data), count)]
	f.optional(e, n)
	e.Uint32(uint32(len(data)))
	e.Bool(offset+len(data) == len(n.data))
	e.Opaque(data)
}

func (f *fake) write(e *xdr.Encoder, n *node, d *xdr.Decoder) {
	offset := int(d.Uint64())
	d.Uint32()
	stable := d.Uint32()
	data := d.Opaque(1 << 20)
	n.data = append(n.data, make([]byte, max(0, offset+len(data)-len(n.data)))...)
	copy(n.data[offset:], data)
	f.wcc(e, n)
	e.Uint32(uint32(len(data)))
	e.Uint32(stable)
	e.Fixed([]byte{f.verifier, 0, 0, 0, 0, 0, 0, 0})
}

func (f *fake) list(e *xdr.Encoder, n *node) {
	f.optional(e, n)
	e.Fixed(make([]byte, 8))
	for i, name := range slices.Sorted(maps.Keys(n.children)) {
		e.Bool(true)
		e.Uint64(uint64(i))
		e.String(name)
		e.Uint64(uint64(i + 1))
		f.optional(e, f.nodes[n.children[name]])
		e.Bool(!f.bare)
		if !f.bare {
			e.String(n.children[name])
		}
	}
	e.Bool(false)
	e.Bool(true)
}

// wanted is what a new directory is to have.
func wanted() file.Set {
	mode := uint32(0o750)
	return file.Set{Mode: &mode, UID: -1, GID: -1}
}

const patience = 30 * time.Second // of a test with a fake
