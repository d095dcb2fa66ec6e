package rpc

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
)

// framed is a record in one fragment.
func framed(record []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, lastFragment|uint32(len(record))), record...)
}

// FuzzRecord: whatever comes, a record is no longer than what came, nor takes much more memory, but for what one record may
// take, and a record that is written comes back.
func FuzzRecord(f *testing.F) {
	f.Add(framed([]byte("record")))
	f.Add([]byte{0, 0, 0, 1, 'x', 0x80, 0, 0, 1, 'y'})
	f.Add([]byte{0x80, 0x1f, 0xff, 0xff})
	f.Add(append([]byte{0x80, 0x1f, 0xff, 0xff}, make([]byte, 70_000)...))
	f.Add(append(bytes.Repeat([]byte{0, 0, 0, 1, 'x'}, 20_000), framed([]byte("end"))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		record, err := readRecord(bytes.NewReader(b), MaxRecord)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(8*len(b)+MaxRecord+512<<10) {
			t.Errorf("%d bytes of memory for %d that came", took, len(b))
		}
		if err != nil {
			return
		}
		if len(record) > len(b) {
			t.Errorf("%d bytes of %d", len(record), len(b))
		}
		again, err := readRecord(bytes.NewReader(framed(record)), MaxRecord)
		if err != nil || !bytes.Equal(again, record) {
			t.Errorf("%x came back as %x, %v", record, again, err)
		}
	})
}

// FuzzReply: no reply makes the header's decoder panic, pass on more than came, or both a result and an error.
func FuzzReply(f *testing.F) {
	for _, words := range [][]uint32{
		{7, msgReply, 0, 0, 0, 0, 1, 2},
		{7, msgReply, 0, 0, 0, ProgramMismatch, 2, 3},
		{7, msgReply, 0, authSys, 4, 0xdead, SystemError},
		{7, msgReply, 1, 0, 2, 2},
		{7, msgReply, 1, 1, 5},
		{7, msgCall, 2, 100003, 4, 0},
	} {
		var b []byte
		for _, w := range words {
			b = binary.BigEndian.AppendUint32(b, w)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		xid, reply, ok := parseReply(b)
		if !ok {
			return
		}
		if reply.Err != nil && reply.Body != nil {
			t.Errorf("a result beside %v", reply.Err)
		}
		if len(reply.Body) > len(b) || xid != binary.BigEndian.Uint32(b) {
			t.Errorf("call %d: %d bytes of %d", xid, len(reply.Body), len(b))
		}
		if reply.Err != nil && reply.Err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
