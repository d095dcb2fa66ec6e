package nfs4

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// answering connects to a server of a minor version that answers some operations as it is told.
func answering(t *testing.T, minor uint32, answers map[uint32]func(w *work) status.Code) *Client {
	f := startFake(t)
	f.minor, f.answers = minor, answers
	f.files["from"], f.files["to"] = []byte("12345"), []byte("12345")
	return f.connect(time.Minute)
}

// TestCopyRange takes what a server says that it copied, and no copying behind our back.
func TestCopyRange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		minor  uint32
		code   status.Code // of COPY
		states uint32      // for a copy in the background
		copied uint64
		want   error
	}{
		{"all", 2, status.OK, 0, 100, nil},
		{"a part", 2, status.OK, 0, 40, nil},
		{"nothing more", 2, status.OK, 0, 0, nil},
		{"more than asked for", 2, status.OK, 0, 101, xdr.ErrMalformed},
		{"in the background", 2, status.OK, 1, 0, syscall.ENOTSUP},
		{"not at all", 2, status.NotSupp, 0, 0, syscall.ENOTSUP},
		{"full", 2, status.NoSpace, 0, 0, syscall.ENOSPC},
		{"before 4.2", 1, status.OK, 0, 0, syscall.ENOTSUP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			canceled := false
			c := answering(t, tt.minor, map[uint32]func(w *work) status.Code{
				opCopy: func(w *work) status.Code {
					w.d.Fixed(2*16 + 2*8)
					if n := w.d.Uint64(); n != 100 {
						t.Errorf("asked for %d bytes", n)
					}
					if w.r.op(opCopy, tt.code); tt.code != status.OK {
						return tt.code
					}
					w.r.Uint32(tt.states)
					w.r.Fixed(make([]byte, 16*tt.states))
					w.r.Uint64(tt.copied)
					w.r.Uint32(0)
					w.r.Fixed([]byte("verifier"))
					return status.OK
				},
				opOffloadCancel: func(w *work) status.Code {
					canceled = true
					return w.r.op(opOffloadCancel, status.OK)
				},
			})
			f := &file.Copy{From: "from", To: "to"}
			n, err := c.CopyRange(t.Context(), nobody, f, 8, 100)
			if !errors.Is(err, tt.want) || tt.want == nil && (err != nil || n != tt.copied) {
				t.Errorf("%d, %v", n, err)
			}
			if canceled != (tt.states > 0) || f.Written != (err == nil && n > 0) {
				t.Errorf("canceled: %v, %+v", canceled, f)
			}
		})
	}
}

// TestSegment finds data between holes, and believes no server that makes no sense.
func TestSegment(t *testing.T) {
	type found struct {
		code status.Code
		eof  bool
		at   uint64
	}
	for _, tt := range []struct {
		name       string
		data, hole found
		start, end uint64
		ok         bool
		want       error
	}{
		{"a part", found{at: 4096}, found{at: 8192}, 4096, 8192, true, nil},
		{"to the end", found{at: 100}, found{at: 5000, eof: true}, 100, 5000, true, nil},
		{"only a hole", found{code: status.NXIO}, found{}, 0, 0, false, nil},
		{"data before the start", found{at: 10}, found{at: 20}, 0, 0, false, syscall.ENOTSUP},
		{"both at one place", found{at: 100}, found{at: 100}, 0, 0, false, syscall.ENOTSUP},
		{"not supported", found{code: status.NotSupp}, found{}, 0, 0, false, syscall.ENOTSUP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := answering(t, 2, map[uint32]func(w *work) status.Code{opSeek: func(w *work) status.Code {
				w.d.Fixed(16 + 8)
				say := tt.data
				if w.d.Uint32() == seekHole {
					say = tt.hole
				}
				if w.r.op(opSeek, say.code); say.code == status.OK {
					w.r.Bool(say.eof)
					w.r.Uint64(say.at)
				}
				return say.code
			}})
			start, end, ok, err := c.Segment(t.Context(), nobody, "from", 100)
			if ok != tt.ok || !errors.Is(err, tt.want) || ok && (start != tt.start || end != tt.end) {
				t.Errorf("%d to %d, %v, %v", start, end, ok, err)
			}
		})
	}
	if _, _, _, err := answering(t, 1, nil).Segment(t.Context(), nobody, "from", 0); !errors.Is(err, syscall.ENOTSUP) {
		t.Errorf("before 4.2: %v", err)
	}
}

// TestReadMoreThanAsked takes no more than was asked for: the rest of a file would be written to the wrong place of its copy.
func TestReadMoreThanAsked(t *testing.T) {
	c := answering(t, 2, map[uint32]func(w *work) status.Code{opRead: func(w *work) status.Code {
		w.d.Fixed(16 + 8)
		n := int(w.d.Uint32())
		w.r.op(opRead, status.OK)
		w.r.Bool(false)
		w.r.Opaque(make([]byte, n+1))
		return status.OK
	}})
	if data, _, err := c.ReadAt(t.Context(), nobody, "from", 0, 3); !errors.Is(err, xdr.ErrMalformed) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// TestCloneFile tells how long a clone is.
func TestCloneFile(t *testing.T) {
	clone := func(code status.Code) map[uint32]func(w *work) status.Code {
		return map[uint32]func(w *work) status.Code{opClone: func(w *work) status.Code {
			w.d.Fixed(2*16 + 3*8)
			return w.r.op(opClone, code)
		}}
	}
	f := &file.Copy{From: "from", To: "to"}
	if size, err := answering(t, 2, clone(status.OK)).CloneFile(t.Context(), nobody, f); err != nil || size != 5 {
		t.Errorf("%d, %v", size, err)
	}
	for minor, code := range map[uint32]status.Code{1: status.OK, 2: status.NotSupp} {
		if _, err := answering(t, minor, clone(code)).CloneFile(t.Context(), nobody, f); !errors.Is(err, syscall.ENOTSUP) {
			t.Errorf("4.%d: %v", minor, err)
		}
	}
}
