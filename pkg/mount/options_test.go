package mount

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// wantError fails unless err matches kind and says words.
func wantError(t *testing.T, err, kind error, words string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatalf("no error, want %v: %s", kind, words)
	case !errors.Is(err, kind):
		t.Errorf("%v does not match %v", err, kind)
	case !strings.Contains(err.Error(), words):
		t.Errorf("%v does not say %q", err, words)
	}
}

func TestParseOptions(t *testing.T) {
	flag := func(key string) parameter { return parameter{Key: key, Flag: true} }
	for _, tc := range []struct {
		given []string
		want  options // versions nil: the default
	}{
		{nil, options{}},
		{[]string{"", " , ", ","}, options{}},
		{[]string{"hard", "timeo=600,retrans=2"}, options{parameters: []parameter{flag("hard"), {Key: "timeo", Value: "600"}, {Key: "retrans", Value: "2"}}}},
		{[]string{"noatime,nodev,nosuid,noexec,nodiratime,ro"}, options{attributes: unix.MOUNT_ATTR_NOATIME | unix.MOUNT_ATTR_NODEV |
			unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NODIRATIME | unix.MOUNT_ATTR_RDONLY}},
		{[]string{"ro,rw,suid"}, options{}},
		{[]string{"noatime,strictatime"}, options{attributes: unix.MOUNT_ATTR_STRICTATIME}},
		{[]string{"strictatime,noatime,relatime"}, options{}},
		{[]string{"_netdev,defaults,auto,nofail,user,x-systemd.automount,X-mount.mkdir,comment=a,retry=5,bg,intr"}, options{}},
		{[]string{"sync,dirsync"}, options{parameters: []parameter{flag("sync"), flag("dirsync")}}},
		{[]string{"vers=3"}, options{versions: []string{"3"}}},
		{[]string{"nfsvers=4"}, options{versions: []string{"4.2", "4.1", "4.0"}}},
		{[]string{"v4.1"}, options{versions: []string{"4.1"}}},
		{[]string{"minorversion=1", "vers=4"}, options{versions: []string{"4.1"}}},
		{[]string{"minorversion=0"}, options{versions: []string{"4.0"}}},
		{[]string{"vers=4.1,minorversion=1"}, options{versions: []string{"4.1"}}},
		{[]string{"port=2050"}, options{port: 2050, parameters: []parameter{{Key: "port", Value: "2050"}}}},
		{[]string{"proto=tcp6"}, options{network: "tcp6", parameters: []parameter{{Key: "proto", Value: "tcp6"}}}},
		{[]string{"rdma"}, options{network: "none", parameters: []parameter{flag("rdma")}}},
		{[]string{"addr=2001:DB8::1"}, options{address: "2001:db8::1"}},
		{[]string{`context="system_u:object_r:t:s0:c1,c2",nolock`}, options{locking: true,
			parameters: []parameter{{Key: "context", Value: "system_u:object_r:t:s0:c1,c2"}, flag("nolock")}}},
		{[]string{"new", "newer=1"}, options{parameters: []parameter{flag("new"), {Key: "newer", Value: "1"}}}}, // the admin's additions
	} {
		got, err := parseOptions(tc.given, []string{"addr", "new", "newer"})
		if err != nil {
			t.Errorf("%q: %v", tc.given, err)
			continue
		}
		if tc.want.versions == nil {
			tc.want.versions = defaultVersions
		}
		got.given = nil
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: %+v, want %+v", tc.given, got, tc.want)
		}
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for given, words := range map[string]string{
		"vers=2":                        `"vers": the NFS version must be 3, 4, 4.0, 4.1 or 4.2`,
		"nfsvers=":                      "the NFS version must be",
		"minorversion=3":                `minorversion: the minor version must be 0, 1 or 2`,
		"vers=3,minorversion=1":         "contradicts version 3",
		"vers=4.2,minorversion=1":       "contradicts version 4.2",
		"port=0":                        "a port is a number",
		"port=nfs":                      "a port is a number",
		"proto=sctp":                    "it must be tcp",
		"addr=192.0.2.9":                "--allow-mount-option=addr",
		"mountaddr=192.0.2.9":           `"mountaddr": it is not among those that may be given`,
		"hard,mounthost=other":          "--allow-mount-option=mounthost",
		"bogus":                         "--allow-mount-option=bogus",
		"nosuid,suid":                   `"suid" contradicts "nosuid", which cannot be undone`,
		"dev,nodev":                     `"dev" contradicts "nodev"`,
		"exec,hard,noexec":              `"exec" contradicts "noexec"`,
		"ro=yes":                        `"ro": it takes no value`,
		"=1":                            "it has no name",
		"bind":                          `"bind": it is no option of an NFS mount`,
		"remount,rw":                    `"remount"`,
		"source=other:/":                `"source"`,
		`context="a`:                    "a quote is not closed",
		"hard\nsoft":                    "control characters",
		"x=" + strings.Repeat("v", 256): "longer than 255 bytes",
	} {
		_, err := parseOptions([]string{given}, []string{"x"})
		wantError(t, err, volume.ErrInvalid, words)
	}
}

func TestParseOptionsNamesAllMistakes(t *testing.T) {
	_, err := parseOptions([]string{"vers=5", "hard", "port=x,bind"}, nil)
	for _, words := range []string{`"vers"`, `"port"`, `"bind"`} {
		wantError(t, err, volume.ErrInvalid, words)
	}
}

// Values may be sensitive.
func TestParseOptionsQuotesNoValue(t *testing.T) {
	for _, given := range []string{
		"vers=hunter2", "minorversion=hunter2", "port=hunter2", "proto=hunter2", "addr=hunter2", "mountaddr=hunter2", "ro=hunter2", "=hunter2", "source=hunter2",
		`context="hunter2`, "context=hunter2\n", "context=" + strings.Repeat("hunter2", maxOption), "vers=3,minorversion=1,x-note=hunter2",
	} {
		if _, err := parseOptions([]string{given}, []string{"addr"}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", given, err)
		}
	}
}

func TestPreflightGetsEachOptionAlone(t *testing.T) {
	o, err := parseOptions([]string{"vers=4.1,noatime", "_netdev", `context="a,b"`}, nil)
	if want := []string{"vers=4.1", "noatime", "_netdev", "context=a,b"}; err != nil || !slices.Equal(o.given, want) {
		t.Errorf("%q, want %q, %v", o.given, want, err)
	}
}

func TestParametersFor(t *testing.T) {
	for _, tc := range []struct {
		given, version, want string
	}{
		{"hard", "4.2", "hard,vers=4.2,addr=192.0.2.1,sec=sys"},
		{"", "3", "vers=3,addr=192.0.2.1,sec=sys,nolock"},
		{"sec=krb5", "4.1", "sec=krb5,vers=4.1,addr=192.0.2.1"},
		{"lock", "3", "lock,vers=3,addr=192.0.2.1,sec=sys"},
		{"local_lock=flock", "3", "local_lock=flock,vers=3,addr=192.0.2.1,sec=sys"},
	} {
		o, err := parseOptions([]string{tc.given}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range o.parametersFor(tc.version, "192.0.2.1") {
			got = append(got, p.String())
		}
		if strings.Join(got, ",") != tc.want {
			t.Errorf("%q with version %s: %q, want %q", tc.given, tc.version, got, tc.want)
		}
	}
}

func TestAllowsAddressesOfTheProtocol(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for given, want := range map[string][2]bool{
		"": {true, true}, "proto=tcp": {true, false}, "tcp": {true, false}, "proto=tcp6": {false, true}, "proto=rdma": {true, true},
	} {
		o, err := parseOptions([]string{given}, []string{"addr"})
		if got := [2]bool{o.allows(v4), o.allows(v6)}; err != nil || got != want {
			t.Errorf("%q: %v, want %v, %v", given, got, want, err)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	for _, seed := range []string{
		"", "hard,timeo=600", `context="a,b",ro`, "vers=4,minorversion=1", "vers=3,nolock", "addr=::1%eth0", "port=99999", "source=x:/y", "\x00", "a=b=c,,=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		o, err := parseOptions([]string{given}, []string{"addr"})
		if err != nil {
			if !errors.Is(err, volume.ErrInvalid) {
				t.Fatalf("%q: %v does not match ErrInvalid", given, err)
			}
			return
		}
		checkOptions(t, o)
	})
}

// checkOptions fails unless o is what a mount may be made of, whatever it came from.
func checkOptions(t *testing.T, o options) {
	t.Helper()
	if len(o.versions) == 0 {
		t.Fatal("no version is left")
	}
	for _, v := range o.versions {
		if !slices.Contains(defaultVersions, v) {
			t.Fatalf("version %q", v)
		}
	}
	for _, p := range o.parameters {
		switch {
		case p.Key == "" || p.Key == "source" || p.Key == "addr" || p.Key == "vers" || p.Key == "ro":
			t.Fatalf("parameter %v is not the user's to say", p)
		case strings.ContainsAny(p.String(), "\x00\n") || len(p.Key) > maxOption || len(p.Value) > maxOption:
			t.Fatalf("parameter %q", p)
		}
	}
	if both := uint64(unix.MOUNT_ATTR_NOATIME | unix.MOUNT_ATTR_STRICTATIME); o.attributes&both == both {
		t.Fatalf("attributes %#x contradict each other", o.attributes)
	}
}
