package nfs4

import (
	"testing"
	"time"

	oracle "github.com/buildbarn/go-xdr/pkg/protocols/nfsv4"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
)

// TestCopyArgumentsOracle has an implementation generated from the RFC read what copying a tree sends.
func TestCopyArgumentsOracle(t *testing.T) {
	b := newCompound(2)
	f := &file.Copy{From: "from", To: "to", Written: true}
	b.clone(f)
	b.copyRange(f, 7, 8)
	b.seek(9, seekHole)
	b.writeSome(file.Segment{Offset: 10, Data: []byte("data")})
	b.finish(f, []file.Set{{UID: -1, GID: 5, OwnerName: "someone@here", Atime: time.Unix(11, 12), Mtime: time.Unix(13, 14)}})
	args := readByOracle(t, b).Argarray
	clone := args[4].(*oracle.NfsArgop4_OP_CLONE).Opclone
	if clone != (oracle.Clone4args{}) {
		t.Errorf("CLONE %+v", clone)
	}
	ranged := args[8].(*oracle.NfsArgop4_OP_COPY).Opcopy
	if ranged.CaSrcOffset != 7 || ranged.CaDstOffset != 7 || ranged.CaCount != 8 || !ranged.CaSynchronous || len(ranged.CaSourceServer) != 0 {
		t.Errorf("COPY %+v", ranged)
	}
	if seek := args[9].(*oracle.NfsArgop4_OP_SEEK).Opseek; seek.SaOffset != 9 || seek.SaWhat != oracle.NFS4_CONTENT_HOLE {
		t.Errorf("SEEK %+v", seek)
	}
	if write := args[10].(*oracle.NfsArgop4_OP_WRITE).Opwrite; write.Offset != 10 || write.Stable != oracle.UNSTABLE4 || string(write.Data) != "data" {
		t.Errorf("WRITE %+v", write)
	}
	if commit := args[12].(*oracle.NfsArgop4_OP_COMMIT).Opcommit; commit != (oracle.Commit4args{}) {
		t.Errorf("COMMIT %+v", commit)
	}
	set := args[13].(*oracle.NfsArgop4_OP_SETATTR).Opsetattr.ObjAttributes
	want := fattr(1<<attrOwner|1<<attrOwnerGroup|1<<attrSetAtime|1<<attrSetMtime, "someone@here", "5",
		setToClientTime, uint64(11), 12, setToClientTime, uint64(13), 14)
	if string(set.AttrVals) != string(want.AttrVals) || set.Attrmask[1] != want.Attrmask[1] {
		t.Errorf("SETATTR %x, want %x", set.AttrVals, want.AttrVals)
	}
}
