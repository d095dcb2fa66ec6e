package mount

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestExplain(t *testing.T) {
	s := Source{Server: "nas", Path: "/vol", Options: []string{"hard", "fsc,sec=hunter2"}}
	remote := []string{"NFS4: Couldn't follow remote path"}
	for _, tc := range []struct {
		f     failure
		kind  error // nil: none of the sentinels
		words string
	}{
		{failure{Doing: doingConnect, Errno: unix.ENOENT, Log: remote}, volume.ErrNotFound, "server nas has no directory /vol"},
		{failure{Doing: doingConnect, Errno: unix.EACCES}, volume.ErrRefused, "server nas does not let this node mount /vol"},
		{failure{Doing: doingConnect, Errno: unix.EPERM, Log: remote}, volume.ErrRefused, "option insecure"},
		{failure{Doing: doingConnect, Errno: unix.ECONNREFUSED}, volume.ErrUnavailable, "nothing at nas accepts NFS connections"},
		{failure{Doing: doingConnect, Errno: unix.ETIMEDOUT}, volume.ErrUnavailable, "server nas does not answer"},
		{failure{Doing: doingConnect, Errno: unix.EPROTONOSUPPORT}, volume.ErrUnsupported, "nfsvers="},
		{failure{Doing: doingConnect, Errno: unix.ESTALE}, volume.ErrUnavailable, "export it again"},
		{failure{Doing: doingConnect, Errno: unix.ENOTDIR}, volume.ErrInvalid, "/vol on server nas is not a directory"},
		{failure{Doing: doingConnect, Errno: unix.EINVAL, Log: remote}, volume.ErrInvalid, "mount options hard,fsc,sec, or a value of theirs, for nas:/vol"},
		{failure{Doing: doingConnect, Errno: unix.ENOMEM}, nil, "mounting nas:/vol"},
		{failure{Doing: doingOption, Errno: unix.EINVAL, Option: "bogus", Log: []string{"nfs: Unknown parameter 'bogus'"}}, volume.ErrInvalid, `mount option "bogus" is not known`},
		{failure{Doing: doingOption, Errno: unix.EINVAL, Option: "timeo", Log: []string{"nfs: Bad value for 'timeo'"}}, volume.ErrInvalid, `mount option "timeo" has a value`},
		{failure{Doing: doingOption, Errno: unix.EINVAL, Option: "vers"}, volume.ErrUnsupported, "none of the NFS versions"},
		{failure{Doing: "opening the NFS client", Errno: unix.ENODEV}, nil, "no NFS client"},
		{failure{Doing: "making the mount", Errno: unix.EPERM}, nil, "privileged"},
		{failure{Doing: "placing the mount", Errno: unix.EACCES}, nil, "mounting nas:/vol"},
	} {
		err := explain(&tc.f, s)
		if !errors.Is(err, tc.f.Errno) || !strings.Contains(err.Error(), tc.words) || strings.Contains(err.Error(), "SERVER") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v, want %q", tc.f.Error(), err, tc.words)
		}
		if kind := kindOf(err); kind != tc.kind { //nolint:errorlint // the sentinels themselves
			t.Errorf("%v: kind %v, want %v", err, kind, tc.kind)
		}
	}
}

func TestExplainKerberos(t *testing.T) {
	f := &failure{Doing: doingConnect, Errno: unix.EINVAL}
	wantError(t, explain(f, Source{Server: "nas", Path: "/vol", Options: []string{"hard,sec=krb5p"}}), volume.ErrInvalid, "run rpc.gssd on this node")
}

func kindOf(err error) error {
	for _, kind := range []error{volume.ErrInvalid, volume.ErrNotFound, volume.ErrRefused, volume.ErrUnavailable, volume.ErrUnsupported, volume.ErrBusy} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}

// Every errno in the table becomes a sentence with a next step, and keeps its kind.
func TestMeaningsAreComplete(t *testing.T) {
	for errno, meaning := range meanings {
		err := explain(&failure{Doing: doingConnect, Errno: errno}, Source{Server: "nas", Path: "/vol"})
		if kind := kindOf(err); kind != meaning.kind { //nolint:errorlint // the sentinels themselves
			t.Errorf("%v: kind %v, want %v", errno, kind, meaning.kind)
		}
		if len(meaning.words) < 20 {
			t.Errorf("%v: %q says too little", errno, meaning.words)
		}
	}
}

func TestFailureSurvivesThePipe(t *testing.T) {
	want := failure{Doing: doingConnect, Errno: unix.EACCES, Option: "a", Log: []string{"NFS: no"}, Version: "4.1", Address: "::1"}
	data, err := json.Marshal(answer{&want})
	if err != nil {
		t.Fatal(err)
	}
	var got answer
	if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(*got.Failure, want) {
		t.Errorf("%+v, want %+v, %v", got.Failure, want, err)
	}
	if text := got.Failure.Error(); text != "mounting: NFS: no: permission denied: NFS 4.1 at ::1" {
		t.Errorf("it reads %q", text)
	}
}

func TestFailedKeepsForeignErrors(t *testing.T) {
	f := failed("working", errors.New("something else"), nil)
	if f.Errno != 0 || f.Unwrap() != nil || f.Error() != "working: something else" {
		t.Errorf("%+v: %v", f, f)
	}
}
