package nfs4

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// TestCreateFile makes a file in a session while something goes wrong once. In the end it is there as a whole or not at all.
func TestCreateFile(t *testing.T) {
	const oneWrite, threeWrites = 1000, 150_000
	for _, tt := range []struct {
		name  string
		size  int
		at    uint32
		fault fault
		code  status.Code
		left  int // files that stay open until the lease ends
	}{
		{"empty", 0, opRemove, fault{}, status.OK, 0},
		{"one WRITE", oneWrite, opRemove, fault{}, status.OK, 0},
		{"many", threeWrites, opRemove, fault{}, status.OK, 0},
		{"answer lost", oneWrite, opOpen, fault{hangUp: true}, status.OK, 0},
		{"grace", oneWrite, opOpen, fault{op: opOpen, code: status.Grace}, status.OK, 0},
		{"delay at SETATTR", oneWrite, opSetattr, fault{op: opSetattr, code: status.Delay}, status.OK, 0},
		{"delay at SETATTR, empty", 0, opSetattr, fault{op: opSetattr, code: status.Delay}, status.OK, 0},
		{"delay at WRITE", oneWrite, opWrite, fault{op: opWrite, code: status.Delay}, status.OK, 0},
		{"delay at CLOSE", threeWrites, opClose, fault{op: opClose, code: status.Delay}, status.OK, 0},
		{"CLOSE refused", threeWrites, opClose, fault{op: opClose, code: status.OldStateID}, status.OK, 0},
		{"restart before CLOSE", threeWrites, opClose, fault{forget: true}, status.OK, 0},
		{"state revoked", threeWrites, opClose, fault{op: opWrite, code: status.AdminRevoked}, status.OK, 1},
		{"full", oneWrite, opWrite, fault{op: opWrite, code: status.NoSpace}, status.NoSpace, 0},
		{"full at the end", threeWrites, opClose, fault{op: opWrite, code: status.NoSpace}, status.NoSpace, 0},
		{"quota", threeWrites, opClose, fault{op: opWrite, code: status.Quota}, status.Quota, 0},
		{"mode refused", oneWrite, opSetattr, fault{op: opSetattr, code: status.Perm}, status.Perm, 0},
		{"refused", oneWrite, opOpen, fault{op: opOpen, code: status.Access}, status.Access, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := startFake(t)
			c := f.connect(time.Minute)
			data := bytes.Repeat([]byte("0123456789"), tt.size/10)
			f.set(once(tt.at, tt.fault))
			err := c.CreateFile(t.Context(), nobody, []string{"file"}, data, 0o640)
			if status.Of(err) != tt.code || (err == nil) != (tt.code == status.OK) {
				t.Errorf("CreateFile: %v", err)
			}
			if f.names["file"] != (err == nil) || strings.Count(f.done(), "open") > 1 {
				t.Errorf("%v, done: %s", err, f.done())
			}
			if err == nil && !bytes.Equal(f.files["file"], data) {
				t.Errorf("%d bytes of %d", len(f.files["file"]), len(data))
			}
			if len(f.state.open) != tt.left {
				t.Errorf("%d files are open, want %d", len(f.state.open), tt.left)
			}
		})
	}
}

// TestReadFile reads what comes in pieces, and refuses what is too long or no file.
func TestReadFile(t *testing.T) {
	for minor := range uint32(2) {
		f := startFake(t)
		f.minor = minor
		c := f.connect(time.Minute)
		f.names["dir"] = true
		for _, size := range []int{0, 1, 1000, 200_000} {
			name := fmt.Sprint(size)
			data := bytes.Repeat([]byte("x"), size)
			f.names[name], f.files[name] = true, data
			for limit, code := range map[int]status.Code{size: status.OK, size + 1: status.OK, size - 1: status.FBig} {
				got, err := c.ReadFile(t.Context(), nobody, []string{name}, int64(limit))
				if status.Of(err) != code || err == nil && !bytes.Equal(got, data) {
					t.Errorf("4.%d: %d bytes with limit %d: %d bytes, %v", minor, size, limit, len(got), err)
				}
			}
		}
		if _, err := c.ReadFile(t.Context(), nobody, []string{"dir"}, 10); !status.Is(err, status.IsDir) {
			t.Errorf("a directory: %v", err)
		}
		if _, err := c.ReadFile(t.Context(), nobody, []string{"none"}, 10); !status.Is(err, status.NoEnt) {
			t.Errorf("nothing: %v", err)
		}
	}
}
