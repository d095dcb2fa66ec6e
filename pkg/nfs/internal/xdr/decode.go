package xdr

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is matched by every decoding error: the peer sent something that its protocol does not allow.
var ErrMalformed = errors.New("malformed message")

// Decoder takes values off the front of a buffer. The first error sticks: every later value is zero, so a caller decodes
// a whole structure and looks at Err once. Nothing returned is larger than the buffer, so hostile lengths cost nothing.
type Decoder struct {
	b   []byte
	err error
}

// NewDecoder reads b, which must not change while values taken from it are in use.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

// Err is nil as long as everything asked for was there.
func (d *Decoder) Err() error { return d.err }

// Rest is what has not been taken yet.
func (d *Decoder) Rest() []byte { return d.b }

// End fails when something is left that nobody asked for, and returns Err.
func (d *Decoder) End() error {
	if d.err == nil && len(d.b) > 0 {
		d.Fail("%d bytes too many", len(d.b))
	}
	return d.err
}

// Fail makes err stick, unless there is one already.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

func (d *Decoder) take(n int) []byte {
	if n > len(d.b) || n < 0 {
		d.Fail("%d bytes wanted, %d left", n, len(d.b))
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *Decoder) Uint32() uint32 {
	if v := d.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (d *Decoder) Uint64() uint64 {
	if v := d.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// Bool takes a boolean; anything but 0 and 1 is an error, which also ends lists that a hostile peer would make endless.
func (d *Decoder) Bool() bool {
	v := d.Uint32()
	if v > 1 {
		d.Fail("boolean is %d", v)
	}
	return v == 1
}

// Fixed takes opaque data whose length the protocol fixes; it aliases the buffer.
func (d *Decoder) Fixed(n int) []byte {
	v := d.take(n)
	d.take(-n & 3)
	if d.err != nil {
		return nil
	}
	return v
}

// Opaque takes opaque data of at most limit bytes; it aliases the buffer.
func (d *Decoder) Opaque(limit int) []byte {
	n := d.Uint32()
	if uint64(n) > uint64(limit) {
		d.Fail("%d bytes where at most %d are allowed", n, limit)
		return nil
	}
	return d.Fixed(int(n))
}

// String is a copy of Opaque.
func (d *Decoder) String(limit int) string { return string(d.Opaque(limit)) }

// Count takes the length of an array of elements that are at least size bytes each, so that a caller may allocate it.
func (d *Decoder) Count(size int) int {
	n := d.Uint32()
	if uint64(n)*uint64(size) > uint64(len(d.b)) {
		d.Fail("%d elements in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}
