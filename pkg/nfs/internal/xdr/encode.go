// Package xdr encodes and decodes the external data representation of RFC 4506, as far as NFS uses it.
package xdr

import "encoding/binary"

// Encoder appends encoded values to B. The zero value is ready to use; encoding cannot go wrong.
type Encoder struct{ B []byte }

func (e *Encoder) Uint32(v uint32) { e.B = binary.BigEndian.AppendUint32(e.B, v) }
func (e *Encoder) Uint64(v uint64) { e.B = binary.BigEndian.AppendUint64(e.B, v) }

func (e *Encoder) Bool(v bool) {
	if v {
		e.Uint32(1)
	} else {
		e.Uint32(0)
	}
}

// Fixed appends opaque data whose length the protocol fixes.
func (e *Encoder) Fixed(v []byte) {
	e.B = append(e.B, v...)
	e.pad(len(v))
}

// Opaque appends opaque data with its length before it.
func (e *Encoder) Opaque(v []byte) {
	e.Uint32(uint32(len(v)))
	e.Fixed(v)
}

// String is Opaque of a string's bytes, whatever they are.
func (e *Encoder) String(v string) {
	e.Uint32(uint32(len(v)))
	e.B = append(e.B, v...)
	e.pad(len(v))
}

// Hole appends a zero word to be filled in by Fill, and returns its place.
func (e *Encoder) Hole() int {
	e.Uint32(0)
	return len(e.B) - 4
}

// Fill writes v into a hole.
func (e *Encoder) Fill(hole int, v uint32) { binary.BigEndian.PutUint32(e.B[hole:], v) }

// FillLength writes the number of bytes appended since the hole into it.
func (e *Encoder) FillLength(hole int) { e.Fill(hole, uint32(len(e.B)-hole-4)) }

func (e *Encoder) pad(n int) {
	var zero [3]byte
	e.B = append(e.B, zero[:-n&3]...)
}
