package volume

import "testing"

func TestFormatBytes(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 1023: "1023", 1024: "1Ki", 1536: "1.5Ki", 20 << 30: "20Gi", 1 << 20: "1Mi", 99<<20 + 1: "99Mi", 1<<64 - 1: "16Ei", 1023 << 10: "1023Ki",
	} {
		if got := FormatBytes(n); got != want {
			t.Errorf("FormatBytes(%d) is %q, want %q", n, got, want)
		}
	}
}
