package file

import (
	"io/fs"
	"testing"
)

func TestModes(t *testing.T) {
	for bits, mode := range map[uint32]fs.FileMode{
		0: 0, 0o755: 0o755, 0o1777: 0o777 | fs.ModeSticky, 0o2770: 0o770 | fs.ModeSetgid, 0o4711: 0o711 | fs.ModeSetuid,
		0o7777: 0o777 | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky,
	} {
		for _, kind := range []fs.FileMode{0, fs.ModeDir, fs.ModeSymlink} {
			a := Attr{Type: kind, Mode: bits}
			if got := a.FileMode(); got != mode|kind {
				t.Errorf("%o is %v, want %v", bits, got, mode|kind)
			}
			if a.IsDir() != (kind == fs.ModeDir) {
				t.Errorf("%v: is a directory %v", kind, a.IsDir())
			}
			if got := Bits(mode | kind); got != bits {
				t.Errorf("%v is %o, want %o", mode|kind, got, bits)
			}
		}
	}
}

func TestSetNothing(t *testing.T) {
	mode := uint32(0)
	for set, want := range map[Set]bool{
		{UID: -1, GID: -1}: true, {UID: 0, GID: -1}: false, {UID: -1, GID: 0}: false, {Mode: &mode, UID: -1, GID: -1}: false,
	} {
		if set.Nothing() != want {
			t.Errorf("%+v: %v", set, !want)
		}
	}
}

func TestCourse(t *testing.T) {
	for _, tt := range []struct{ before, circle int }{{0, 1}, {0, 5}, {1, 1}, {3, 1}, {2, 7}, {100, 1}, {100, 33}} {
		var c Course
		steps := 1
		for place := 1; !c.Circles(Cookie{Value: uint64(place)}) && steps < 1000; steps++ {
			if place++; place >= tt.before+tt.circle {
				place = tt.before
			}
		}
		if first := tt.before + tt.circle; steps < first || steps > 4*first {
			t.Errorf("a circle of %d after %d is found after %d steps", tt.circle, tt.before, steps)
		}
	}
	var c Course
	for place := range uint64(1000) {
		if c.Circles(Cookie{Value: place + 1}) {
			t.Fatalf("place %d is no circle", place)
		}
	}
}
