package jobs

import "testing"

func TestProgressInWords(t *testing.T) {
	p := newProgress("clone")
	for _, tt := range []struct {
		want string
		do   func()
	}{
		{"looking at the share", func() {}},
		{"copying", func() { p.Now("copying") }},
		{"copying: 999 B, 7 files so far", func() { p.Copied(7, 999) }},
		{"copying: 1.2 GiB, 12,034 files so far", func() { p.Copied(12034, 1288490189) }},
		{"copying: 43 % (1.2 GiB of 2.9 GiB, 12,034 of 26,000 files)", func() { p.Total(26000, 3113851289) }},
		{"copying: 100 % (4.0 GiB of 2.9 GiB, 27,000 of 26,000 files)", func() { p.Copied(27000, 4<<30) }},
		{"moving the copy into place", func() { p.Now("moving the copy into place") }},
		{"moving the copy into place: 100 % (0 B of 0 B, 1 of 1 files)", func() { p.Total(1, 0); p.Copied(1, 0) }},
	} {
		tt.do()
		if got := p.String(); got != tt.want {
			t.Errorf("progress is %q, want %q", got, tt.want)
		}
	}
}

func TestSizesInWords(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 5 << 40: "5.0 TiB", 1 << 62: "4096.0 PiB"} {
		if got := size(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
