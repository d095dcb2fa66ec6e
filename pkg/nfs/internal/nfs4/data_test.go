package nfs4

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	oracle "github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// TestCopyArgumentsOracle has an implementation generated from the RFC read what copying a tree sends.
func TestCopyArgumentsOracle(t *testing.T) {
	b := newCompound(2)
	f := &file.Copy{From: "from", To: "to", Written: true}
	b.between(f)
	b.clone()
	b.copyRange(f, 7, 8)
	b.seek(9, seekHole)
	b.writeSome(file.Segment{Offset: 10, Data: []byte("data")})
	b.finish(f, []file.Set{{UID: -1, GID: 5, OwnerName: "someone@here", Atime: time.Unix(11, 12), Mtime: time.Unix(13, 14)}})
	args := readByOracle(t, b).Argarray
	clone := args[4].(*oracle.NfsArgop4_OP_CLONE).Opclone
	if clone != (oracle.Clone4args{}) {
		t.Errorf("CLONE %+v", clone)
	}
	ranged := args[9].(*oracle.NfsArgop4_OP_COPY).Opcopy
	if ranged.CaSrcOffset != 7 || ranged.CaDstOffset != 7 || ranged.CaCount != 8 || !ranged.CaSynchronous || len(ranged.CaSourceServer) != 0 {
		t.Errorf("COPY %+v", ranged)
	}
	if seek := args[10].(*oracle.NfsArgop4_OP_SEEK).Opseek; seek.SaOffset != 9 || seek.SaWhat != oracle.NFS4_CONTENT_HOLE {
		t.Errorf("SEEK %+v", seek)
	}
	if write := args[11].(*oracle.NfsArgop4_OP_WRITE).Opwrite; write.Offset != 10 || write.Stable != oracle.UNSTABLE4 || string(write.Data) != "data" {
		t.Errorf("WRITE %+v", write)
	}
	if commit := args[13].(*oracle.NfsArgop4_OP_COMMIT).Opcommit; commit != (oracle.Commit4args{}) {
		t.Errorf("COMMIT %+v", commit)
	}
	set := args[14].(*oracle.NfsArgop4_OP_SETATTR).Opsetattr.ObjAttributes
	want := fattr(1<<attrOwner|1<<attrOwnerGroup|1<<attrSetAtime|1<<attrSetMtime, "someone@here", "5",
		setToClientTime, uint64(11), 12, setToClientTime, uint64(13), 14)
	if string(set.AttrVals) != string(want.AttrVals) || set.Attrmask[1] != want.Attrmask[1] {
		t.Errorf("SETATTR %x, want %x", set.AttrVals, want.AttrVals)
	}
}

// TestMakeByClone makes files that share the content of others, in one call each, whatever happens once.
func TestMakeByClone(t *testing.T) {
	for _, wrong := range []struct {
		at   uint32
		what fault
		code status.Code
	}{
		{opRemove, fault{}, status.OK}, {opOpen, fault{hangUp: true}, status.OK}, {opOpen, fault{forget: true}, status.OK},
		{opOpen, fault{hangUp: true, late: true}, status.OK}, {opOpen, fault{op: opClone, code: status.Delay}, status.OK},
		{opOpen, fault{op: opClose, code: status.Delay}, status.OK}, {opOpen, fault{op: opClone, code: status.NotSupp}, status.NotSupp},
		{opOpen, fault{op: opOpen, code: status.Exist}, status.Exist}, {opOpen, fault{op: opClone, code: status.NoSpace}, status.NoSpace},
	} {
		t.Run(fmt.Sprintf("%s %+v", opNames[wrong.at], wrong.what), func(t *testing.T) {
			f := startFake(t)
			f.minor, f.maxOps = 2, cloneOps
			f.answers = map[uint32]func(w *work) status.Code{opClone: func(w *work) status.Code {
				w.d.Fixed(2*len(stateID{}) + 3*8)
				w.files[w.fh] = bytes.Clone(w.files[w.saved])
				return w.r.op(opClone, status.OK)
			}}
			c := f.connect(time.Minute)
			if l, err := c.Limits(t.Context()); err != nil || !l.Clone {
				t.Fatalf("%+v, %v", l, err)
			}
			files := copies(f, 5)
			for _, file := range files {
				file.Clone, file.Attr.Size = true, 1<<40
			}
			f.set(once(wrong.at, wrong.what))
			done, err := c.MakeFiles(t.Context(), nobody, "dir", files)
			if status.Of(err) != wrong.code || err == nil && done != len(files) || err != nil && done != 0 {
				t.Fatalf("%d done, %v", done, err)
			}
			if err != nil && (files[0].Begun == (wrong.what.op == opOpen) || files[0].Attr.Size != 1<<40) {
				t.Errorf("begun: %v, %d bytes, after %v", files[0].Begun, files[0].Attr.Size, err)
			}
			for _, file := range files[:done] {
				if got, want := f.files[handleOf(file.Name)], f.files[string(file.From)]; !bytes.Equal(got, want) || file.Attr.Size != uint64(len(want)) || file.Written {
					t.Errorf("%.8s: %d bytes of %d, told of %d", file.Name, len(got), len(want), file.Attr.Size)
				}
			}
		})
	}
}

// TestLimitsWithoutClone: version 4.1 has no CLONE, and a session of few operations no room for it.
func TestLimitsWithoutClone(t *testing.T) {
	for minor, ops := range map[uint32]uint32{1: 64, 2: cloneOps - 1} {
		f := startFake(t)
		f.minor, f.maxOps = minor, ops
		if l, err := f.connect(time.Minute).Limits(t.Context()); err != nil || l.Clone {
			t.Errorf("4.%d with %d operations: %+v, %v", minor, ops, l, err)
		}
	}
}
