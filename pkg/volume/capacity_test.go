package volume

import (
	"errors"
	"strings"
	"testing"
)

func TestParseReserve(t *testing.T) {
	for text, want := range map[string]Reserve{
		"": {}, "0": {}, "0%": {}, "5%": {Percent: 5}, "100%": {Percent: 100}, "1024": {Bytes: 1024}, " 50Gi ": {Bytes: 50 << 30}, "1.5Ki": {Bytes: 1536},
		"2k": {Bytes: 2000}, "3M": {Bytes: 3e6}, "1G": {Bytes: 1e9}, "1T": {Bytes: 1e12}, "1P": {Bytes: 1e15}, "1E": {Bytes: 1e18}, "7Ei": {Bytes: 7 << 60},
		"0.5": {Bytes: 1}, ".5k": {Bytes: 500},
	} {
		got, err := ParseReserve(text)
		if err != nil || got != want {
			t.Errorf("reserve %q is read as %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := ParseReserve(got.String()); err != nil || again != got {
			t.Errorf("reserve %q prints as %q, which is read as %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"-1", "+1", "101%", "1.5%", "%", "-5%", "Gi", ".", "1.2.3", "8Ei", "9223372036854775808", "1e3", "0x10", "1/3", "5m", "5 Gi",
		"1gi", "NaN", "Inf", strings.Repeat("9", 100)} {
		if r, err := ParseReserve(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("reserve %q is read as %+v, %v; want ErrInvalid", text, r, err)
		}
	}
}

func TestSpaceMinusReserve(t *testing.T) {
	for _, c := range []struct {
		reserve Reserve
		want    uint64
	}{{Reserve{}, 500}, {Reserve{Bytes: 100}, 400}, {Reserve{Percent: 5}, 450}, {Reserve{Bytes: 600}, 0}, {Reserve{Percent: 100}, 0}} {
		if got := (Space{Total: 1000, Available: 500}).Minus(c.reserve); got.Available != c.want || got.Total != 1000 {
			t.Errorf("space minus %v is %+v; want %d available", c.reserve, got, c.want)
		}
	}
	const huge = 1 << 63
	if got := (Reserve{Percent: 100}).Of(huge + 99); got != huge+99 {
		t.Errorf("all of a huge export is %d", got)
	}
}

func FuzzParseReserve(f *testing.F) {
	for _, s := range []string{"5%", "50Gi", "1.5M", "", "1e9", "0.0000000001Ki"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReserve(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v is not ErrInvalid", err)
			}
			return
		}
		if again, err := ParseReserve(r.String()); err != nil || again != r || r.Percent > 100 {
			t.Fatalf("%q is %+v, prints as %q and is then %+v, %v", s, r, r, again, err)
		}
	})
}
