package rpc

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// Constants of RFC 5531 section 9 and of AUTH_SYS, appendix A.
const (
	msgCall      = 0
	msgReply     = 1
	rpcVersion   = 2
	authNone     = 0
	authSys      = 1
	authTLS      = 7 // RFC 9289 section 4.1
	maxAuth      = 400
	maxGroups    = 16
	maxHostname  = 255
	lastFragment = 1 << 31
)

// Credential is whom a call is made as (AUTH_SYS). More than 16 groups cannot be sent; the first 16 are.
type Credential struct {
	UID, GID uint32
	Groups   []uint32
}

// Request is one call. A nil Credential sends AUTH_NONE.
type Request struct {
	Program, Version, Procedure uint32
	Credential                  *Credential
	Args                        []byte // encoded arguments

	probe bool // ask for TLS: the credential is AUTH_TLS
}

func (r *Request) appendRecord(b []byte, xid uint32) []byte {
	e := xdr.Encoder{B: b}
	mark := e.Hole()
	e.Uint32(xid)
	e.Uint32(msgCall)
	e.Uint32(rpcVersion)
	e.Uint32(r.Program)
	e.Uint32(r.Version)
	e.Uint32(r.Procedure)
	if r.probe {
		e.Uint32(authTLS)
		e.Uint32(0)
	} else {
		r.Credential.encode(&e)
	}
	e.Uint32(authNone) // verifier
	e.Uint32(0)
	e.B = append(e.B, r.Args...)
	e.Fill(mark, lastFragment|uint32(len(e.B)-mark-4))
	return e.B
}

func (c *Credential) encode(e *xdr.Encoder) {
	if c == nil {
		e.Uint32(authNone)
		e.Uint32(0)
		return
	}
	e.Uint32(authSys)
	length := e.Hole()
	e.Uint32(0)         // stamp: free to choose
	e.String("nfs-csi") // machine name: shown in some servers' logs
	e.Uint32(c.UID)
	e.Uint32(c.GID)
	groups := c.Groups[:min(len(c.Groups), maxGroups)]
	e.Uint32(uint32(len(groups)))
	for _, g := range groups {
		e.Uint32(g)
	}
	e.FillLength(length)
}

// readRecord reads one record of RFC 5531 section 11, whatever the number of fragments it comes in.
func readRecord(r io.Reader, limit int) ([]byte, error) {
	var record []byte
	for {
		var mark [4]byte
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			return nil, err
		}
		word := binary.BigEndian.Uint32(mark[:])
		n := int(word &^ lastFragment)
		if n == 0 && word&lastFragment == 0 {
			return nil, fmt.Errorf("%w: empty fragment", xdr.ErrMalformed)
		}
		if n > limit-len(record) {
			return nil, fmt.Errorf("%w: record longer than %d bytes", xdr.ErrMalformed, limit)
		}
		var err error
		if record, err = readMore(r, record, n); err != nil {
			return nil, err
		}
		if word&lastFragment != 0 {
			return record, nil
		}
	}
}

// readMore appends n bytes. It takes memory for all of them only when the first have come: a length alone costs a hostile
// server nothing. Nor does a record in many small fragments: what has come is moved only when it has doubled.
func readMore(r io.Reader, record []byte, n int) ([]byte, error) {
	const first = 64 << 10
	for n > 0 {
		start, part := len(record), n
		if start < first {
			part = min(n, first)
		}
		if end := start + part; end > cap(record) {
			longer := make([]byte, start, max(end, 2*cap(record)))
			copy(longer, record)
			record = longer
		}
		record = record[:start+part]
		if _, err := io.ReadFull(r, record[start:]); err != nil {
			return nil, err
		}
		n -= part
	}
	return record, nil
}

// parseReply takes a reply's header off. ok is false for what is no reply at all: a server's call on a back channel that
// we never offered, or rubbish; both are passed over.
func parseReply(record []byte) (xid uint32, reply Reply, ok bool) {
	d := xdr.NewDecoder(record)
	xid = d.Uint32()
	if d.Uint32() != msgReply || d.Err() != nil {
		return 0, Reply{}, false
	}
	switch status := d.Uint32(); status {
	case 0:
		reply.verifier, reply.Err = parseAccepted(d)
	case 1:
		reply.Err = parseDenied(d)
	default:
		d.Fail("reply status %d", status)
	}
	if d.Err() != nil {
		reply = Reply{Err: d.Err()}
	}
	if reply.Err == nil {
		reply.Body = d.Rest()
	}
	return xid, reply, true
}
