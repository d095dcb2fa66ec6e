package nfs4

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// TestCreatePlain makes a file of two WRITEs in version 4.0 while something goes wrong once. In the end it is there as a
// whole or not at all, made once, and the open owner still serves.
func TestCreatePlain(t *testing.T) {
	for _, tt := range []struct {
		name    string
		at      uint32 // operation
		fault   fault
		clients int // that the server has met
		code    status.Code
		resent  bool
	}{
		{"nothing", opRemove, fault{}, 1, status.OK, false},
		{"answer to OPEN lost", opOpen, fault{hangUp: true}, 1, status.OK, false},
		{"answer to OPEN_CONFIRM lost", opOpenConfirm, fault{hangUp: true}, 1, status.OK, false},
		{"answer to WRITE lost", opWrite, fault{hangUp: true}, 1, status.OK, false},
		{"answer to CLOSE lost", opClose, fault{hangUp: true}, 1, status.OK, false},
		{"answer to SETCLIENTID lost", opSetClientID, fault{hangUp: true}, 2, status.OK, false},
		{"answer to confirming the client ID lost", opConfirmClientID, fault{hangUp: true}, 1, status.OK, false},
		{"restart before the client ID is confirmed", opConfirmClientID, fault{forget: true}, 2, status.OK, false},
		{"restart before OPEN", opOpen, fault{forget: true}, 2, status.OK, false},
		{"lapsed before OPEN", opOpen, fault{op: opOpen, code: status.Expired}, 2, status.OK, false},
		{"owner unknown", opOpen, fault{op: opOpen, code: status.BadSeqID}, 1, status.OK, false},
		{"grace at OPEN", opOpen, fault{op: opOpen, code: status.Grace}, 1, status.OK, false},
		{"short of something at OPEN", opOpen, fault{op: opOpen, code: status.Resource}, 1, status.OK, false},
		{"short of something before WRITE", opWrite, fault{op: opPutFH, code: status.Resource}, 1, status.OK, false},
		{"short of something at CLOSE", opClose, fault{op: opClose, code: status.Resource}, 1, status.OK, false},
		{"delay at SETATTR", opSetattr, fault{op: opSetattr, code: status.Delay}, 1, status.OK, false},
		{"delay at OPEN_CONFIRM", opOpenConfirm, fault{op: opOpenConfirm, code: status.Delay}, 1, status.OK, false},
		{"delay before OPEN_CONFIRM", opOpenConfirm, fault{op: opPutFH, code: status.Delay}, 1, status.OK, false},
		{"delay at WRITE", opWrite, fault{op: opWrite, code: status.Delay}, 1, status.OK, false},
		{"delay before CLOSE", opClose, fault{op: opPutFH, code: status.Delay}, 1, status.OK, false},
		{"delay at CLOSE", opClose, fault{op: opClose, code: status.Delay}, 1, status.OK, false},
		{"no confirmation", opOpenConfirm, fault{op: opOpenConfirm, code: status.BadStateID}, 2, status.OK, false},
		{"restart before OPEN_CONFIRM", opOpenConfirm, fault{forget: true}, 2, status.OK, false},
		{"restart before WRITE", opWrite, fault{forget: true}, 2, status.OK, false},
		{"restart before CLOSE", opClose, fault{forget: true}, 2, status.OK, false},
		{"CLOSE refused", opClose, fault{op: opClose, code: status.OldStateID}, 1, status.OK, false},
		{"full at WRITE", opWrite, fault{op: opWrite, code: status.NoSpace}, 1, status.NoSpace, false},
		{"mode refused", opSetattr, fault{op: opSetattr, code: status.Perm}, 1, status.Perm, false},
		{"refused", opOpen, fault{op: opOpen, code: status.Access}, 1, status.Access, false},
		{"answer and state lost", opOpen, fault{hangUp: true, late: true}, 2, status.Exist, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := startFake(t)
			f.minor = 0
			c := f.connect(time.Minute)
			data := strings.Repeat("0123456789abcdef", 5000) // 80,000 bytes
			f.set(once(tt.at, tt.fault))
			err := c.CreateFile(t.Context(), nobody, []string{"file"}, []byte(data), 0o640)
			if status.Of(err) != tt.code || (err == nil) != (tt.code == status.OK) || status.MaybeOurs(err, "OPEN") != tt.resent {
				t.Errorf("CreateFile: %v", err)
			}
			made, left := strings.Count(f.done(), "open file"), f.names["file"]
			switch {
			case err == nil && (made != 1 || string(f.files["file"]) != data):
				t.Errorf("made %d times, %d bytes", made, len(f.files["file"]))
			case err != nil && left != tt.resent:
				t.Errorf("%s: left %v", f.done(), left)
			}
			for i := range 3 {
				if err := c.CreateFile(t.Context(), nobody, []string{fmt.Sprint(i)}, []byte("x"), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			if f.met != tt.clients || len(f.state.open) != 0 {
				t.Errorf("%d client IDs, want %d; %d files open", f.met, tt.clients, len(f.state.open))
			}
		})
	}
}

// TestOpenAbandoned: a caller that leaves while a file is being opened keeps nothing open at the server.
func TestOpenAbandoned(t *testing.T) {
	for _, op := range []uint32{opOpen, opOpenConfirm, opClose} {
		f := startFake(t)
		f.minor = 0
		c := f.connect(time.Minute)
		ctx, leave := context.WithCancel(t.Context())
		f.set(func(ops []uint32) fault {
			if !slices.Contains(ops, op) || ctx.Err() != nil {
				return fault{}
			}
			leave()
			return fault{silent: true}
		})
		err := c.CreateFile(ctx, nobody, []string{"left"}, []byte("x"), 0o600)
		if leave(); err != nil && !errors.Is(err, context.Canceled) { // an answer to what follows may come before we notice that it has left
			t.Errorf("%s: %v", opNames[op], err)
		}
		if err := c.CreateFile(t.Context(), nobody, []string{"next"}, nil, 0o600); err != nil {
			t.Error(err)
		}
		if len(f.state.open) != 0 {
			t.Errorf("%s: %d files are open", opNames[op], len(f.state.open))
		}
	}
}

// TestCloseRefused: a file that cannot be closed is closed by the next registration.
func TestCloseRefused(t *testing.T) {
	f := startFake(t)
	f.minor = 0
	c := f.connect(time.Minute)
	f.set(func([]uint32) fault { return fault{op: opClose, code: status.ServerFault} })
	if err := c.CreateFile(t.Context(), nobody, []string{"file"}, []byte("x"), 0o600); err != nil || len(f.state.open) != 1 {
		t.Errorf("%v, %d files are open", err, len(f.state.open))
	}
	f.set(func([]uint32) fault { return fault{} })
	if err := c.CreateFile(t.Context(), nobody, []string{"next"}, nil, 0o600); err != nil || len(f.state.open) != 0 {
		t.Errorf("%v, %d files are open", err, len(f.state.open))
	}
}

// TestOwnersServeAgain: files made one after the other are opened by one owner, confirmed once; those made at once have an
// owner each.
func TestOwnersServeAgain(t *testing.T) {
	f := startFake(t)
	f.minor = 0
	c := f.connect(time.Minute)
	confirmed := 0
	f.set(func(ops []uint32) fault {
		for _, op := range ops {
			if op == opOpenConfirm {
				confirmed++
			}
		}
		return fault{}
	})
	for i := range 10 {
		if err := c.CreateFile(t.Context(), nobody, []string{fmt.Sprint(i)}, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.CreateFile(t.Context(), nobody, []string{fmt.Sprint(i)}, nil, 0o600); !status.Is(err, status.Exist) {
			t.Errorf("what is there already: %v", err)
		}
	}
	if len(f.state.owners) != 1 || confirmed != 1 || len(f.state.open) != 0 {
		t.Errorf("%d owners, %d confirmations, %d files open", len(f.state.owners), confirmed, len(f.state.open))
	}
	first, err := c.register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := first.owner(), first.owner(); a.name == b.name {
		t.Error("one owner for two")
	}
}

// TestRequestsAreCounted: an owner whose request is refused serves again, whether the server counts that request or not.
func TestRequestsAreCounted(t *testing.T) {
	for _, code := range []status.Code{
		status.Resource, status.Moved, status.BadXDR, status.NoFileHandle, // not counted
		status.Delay, status.Access, status.NoSpace,
	} {
		for _, tt := range []struct{ at, op uint32 }{{opOpen, opPutFH}, {opOpen, opOpen}, {opClose, opClose}} {
			f := startFake(t)
			f.minor = 0
			c := f.connect(time.Minute)
			create := func(name string) error { return c.CreateFile(t.Context(), nobody, []string{name}, nil, 0o600) }
			if err := create("first"); err != nil { // which confirms the owner: from then on its numbers matter
				t.Fatal(err)
			}
			f.set(once(tt.at, fault{op: tt.op, code: code}))
			_ = create("refused") // by some of the codes
			f.set(func([]uint32) fault { return fault{} })
			if err := create("next"); err != nil || len(f.state.open) != 0 {
				t.Errorf("%s: %v: %v, %d files are open", opNames[tt.op], code, err, len(f.state.open))
			}
			if n := len(f.state.owners); n != 1 {
				t.Errorf("%s: %v: %d owners", opNames[tt.op], code, n)
			}
		}
	}
}

// TestNothingRegistered: what makes no regular file needs no client ID.
func TestNothingRegistered(t *testing.T) {
	f := startFake(t)
	f.minor = 0
	c := f.connect(time.Minute)
	err := errors.Join(
		c.Mkdir(t.Context(), nobody, []string{"dir"}, wanted()),
		c.Remove(t.Context(), nobody, []string{"dir"}),
	)
	if _, look := c.Getattr(t.Context(), nobody, nil); err != nil || look != nil || f.met != 0 {
		t.Errorf("%v, %v, %d client IDs", err, look, f.met)
	}
}

// TestPlainLimits: what one READ and WRITE may carry is what the server says of the export.
func TestPlainLimits(t *testing.T) {
	for _, tt := range []struct {
		t            transfer
		read, chunks int
	}{
		{transfer{}, plainTransfer, plainTransfer},
		{transfer{read: 1 << 30, write: 1 << 30}, 1 << 20, 1 << 20},
		{transfer{read: 1 << 16, write: 4096}, 1 << 16, 4096},
		{transfer{read: 1, write: 1}, 512, 512},
	} {
		l := plainLimits(tt.t)
		if l.chunk() != tt.chunks || int(l.response) != tt.read+messageOverhead {
			t.Errorf("%+v: chunks of %d, %+v", tt.t, l.chunk(), l)
		}
	}
}
