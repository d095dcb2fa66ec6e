package rpc

import (
	"bytes"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// BenchmarkReadRecord reads the reply of a READ of 1 MiB, and that of a REMOVE.
func BenchmarkReadRecord(b *testing.B) {
	for name, size := range map[string]int{"1MiB": 1<<20 + 128, "small": 200} {
		b.Run(name, func(b *testing.B) {
			var e xdr.Encoder
			e.Uint32(lastFragment | uint32(size))
			record := append(e.B, make([]byte, size)...)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if got, err := readRecord(bytes.NewReader(record), MaxRecord); err != nil || len(got) != size {
					b.Fatalf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
}
