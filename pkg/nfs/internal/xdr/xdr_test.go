package xdr

import (
	"bytes"
	"errors"
	"testing"

	"github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"
	"github.com/buildbarn/go-xdr/pkg/runtime"
)

// sample is one of each value.
type sample struct {
	a      uint32
	b      uint64
	yes    bool
	fixed  [5]byte
	opaque []byte
	text   string
}

func (s *sample) encode() []byte {
	var e Encoder
	e.Uint32(s.a)
	e.Uint64(s.b)
	e.Bool(s.yes)
	e.Fixed(s.fixed[:])
	e.Opaque(s.opaque)
	e.String(s.text)
	return e.B
}

func (s *sample) decode(d *Decoder) {
	s.a, s.b, s.yes = d.Uint32(), d.Uint64(), d.Bool()
	copy(s.fixed[:], d.Fixed(len(s.fixed)))
	s.opaque, s.text = d.Opaque(1<<10), d.String(1<<10)
}

func TestRoundTrip(t *testing.T) {
	for n := range 9 {
		want := sample{1 << 31, 1 << 63, n%2 == 0, [5]byte{1, 2, 3, 4, 5}, bytes.Repeat([]byte{7}, n), "caf\xe9"}
		b := want.encode()
		if len(b)%4 != 0 {
			t.Errorf("%d bytes are no whole words", len(b))
		}
		var got sample
		d := NewDecoder(append(b, "rest"...))
		got.decode(d)
		if d.Err() != nil || string(d.Rest()) != "rest" || !bytes.Equal(got.encode(), b) {
			t.Errorf("got %+v, %v, rest %q", got, d.Err(), d.Rest())
		}
	}
}

// TestOracle compares with an implementation that was generated from the RFC.
func TestOracle(t *testing.T) {
	for n := range 9 {
		handle := bytes.Repeat([]byte{0xab}, n)
		var want bytes.Buffer
		if _, err := runtime.WriteVariableLengthOpaque(&want, 128, handle); err != nil {
			t.Fatal(err)
		}
		for _, write := range []func() error{
			func() error { _, err := runtime.WriteUnsignedHyper(&want, 1<<40+3); return err },
			func() error { _, err := runtime.WriteBool(&want, true); return err },
			func() error { _, err := (&nfsv4.Specdata4{Specdata1: 5, Specdata2: 6}).WriteTo(&want); return err },
		} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
		var e Encoder
		e.Opaque(handle)
		e.Uint64(1<<40 + 3)
		e.Bool(true)
		e.Uint32(5)
		e.Uint32(6)
		if !bytes.Equal(e.B, want.Bytes()) {
			t.Errorf("%d bytes: got %x, want %x", n, e.B, want.Bytes())
		}
	}
}

func TestHoles(t *testing.T) {
	var e Encoder
	e.String("x")
	hole := e.Hole()
	e.Uint64(1)
	e.FillLength(hole)
	d := NewDecoder(e.B[hole:])
	if n := d.Uint32(); n != 8 {
		t.Errorf("length %d, want 8", n)
	}
}

func TestMalformed(t *testing.T) {
	for name, read := range map[string]func(d *Decoder){
		"short word":      func(d *Decoder) { d.Uint64(); d.Uint32() },
		"short hyper":     func(d *Decoder) { d.Uint32(); d.Uint64() },
		"no boolean":      func(d *Decoder) { d.Bool() },
		"long opaque":     func(d *Decoder) { d.Opaque(1 << 30) },
		"above the limit": func(d *Decoder) { d.Uint32(); d.Opaque(3) },
		"many elements":   func(d *Decoder) { d.Count(4) },
		"missing padding": func(d *Decoder) { d.Uint32(); d.Fixed(3); d.Fixed(1) },
		"negative":        func(d *Decoder) { d.Fixed(-1) },
		"our own":         func(d *Decoder) { d.Fail("because") },
	} {
		d := NewDecoder([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 4})
		read(d)
		first := d.Err()
		if !errors.Is(first, ErrMalformed) {
			t.Errorf("%s: %v", name, first)
		}
		if d.Uint32() != 0 || d.Opaque(9) != nil || d.Bool() || d.Count(1) != 0 || d.Err() != first {
			t.Errorf("%s: the first error does not stick", name)
		}
	}
}

// FuzzDecoder: whatever comes, a decoder neither panics nor returns more than it was given.
func FuzzDecoder(f *testing.F) {
	f.Add((&sample{text: "x"}).encode())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sample
		d := NewDecoder(b)
		s.decode(d)
		if len(s.opaque)+len(s.text)+len(d.Rest()) > len(b) {
			t.Errorf("more came out than went in")
		}
		if d.Err() != nil && len(d.Rest()) > 0 {
			t.Error("something is left after an error")
		}
		for range d.Count(1) {
			d.Uint32()
		}
	})
}
