package nfs3

import (
	"errors"
	"reflect"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

func TestServices(t *testing.T) {
	p := startPrograms(t)
	p.lists = []uint32{1, program, 3, protocolTCP, 2049, 1, mountProgram, 3, 17, 20048, 0}
	got, err := Services(t.Context(), p.config())
	want := []Service{{Program: program, Version: 3, Protocol: protocolTCP, Port: 2049}, {Program: mountProgram, Version: 3, Protocol: 17, Port: 20048}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	p.mapper = false
	if _, err := Services(t.Context(), p.config()); err == nil {
		t.Error("no error without a port mapper")
	}
}

func TestExports(t *testing.T) {
	p := startPrograms(t)
	p.ports[program], p.ports[mountProgram] = 2049, 20048
	const a, b = 0x2f610000, 0x2a000000 // "/a", "*"
	p.lists = []uint32{1, 2, a, 0, 1, 2, a, 1, 1, b, 1, 2, a, 0, 0}
	got, err := Exports(t.Context(), p.config())
	want := []Export{{Path: "/a"}, {Path: "/a", Clients: []string{"*", "/a"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	p.lists = []uint32{1, 7}
	if _, err := Exports(t.Context(), p.config()); !errors.Is(err, xdr.ErrMalformed) {
		t.Errorf("a cut reply gave %v", err)
	}
}
