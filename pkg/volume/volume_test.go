package volume

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRecordRoundTrip(t *testing.T) {
	r := Record{Version: RecordVersion, Name: "pvc-1", Dir: "ns/c", CapacityBytes: 1 << 30, Policy: Archive, Created: time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC), Claim: "ns/c",
		HandlePolicy: Retain, Source: "srv#e#pvc-0##", Copy: "pvc-1+x", ArchiveRetention: 720 * time.Hour, Retained: true}
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRecord(b)
	if err != nil || got != r {
		t.Fatalf("record becomes %+v, %v; want %+v", got, err, r)
	}
	id := got.ID(Location{"srv", "/e"})
	if again, err := ParseID(id.String()); err != nil || again != id || id.Name() != "pvc-1" || id.Policy != Retain {
		t.Errorf("its ID %q parses as %+v, %v", id, again, err)
	}
	for cut := range b[:len(b)-2] {
		if _, err := ParseRecord(b[:cut]); !errors.Is(err, ErrInvalid) {
			t.Fatalf("the first %d bytes give %v; want ErrInvalid", cut, err)
		}
	}
}

func TestParseRecordRefuses(t *testing.T) {
	for _, s := range []string{
		`{}`, `[]`, `null`,
		`{"version":1,"name":"n","directory":"../x","capacityBytes":1,"onDelete":"delete"}`,
		`{"version":1,"name":"n","directory":"/x","capacityBytes":1,"onDelete":"delete"}`,
		`{"version":2,"name":"n","directory":"x","capacityBytes":1,"onDelete":"delete"}`,
		`{"version":1,"name":"","directory":"x","capacityBytes":1,"onDelete":"delete"}`,
		`{"version":1,"name":"n","directory":"x","capacityBytes":-1,"onDelete":"delete"}`,
		`{"version":1,"name":"n","directory":"x","capacityBytes":1,"onDelete":"shred"}`,
		`{"version":1,"name":"n","directory":"x","capacityBytes":1,"onDelete":"delete","handleOnDelete":"shred"}`,
		`{"version":1,"name":"n","directory":"x","capacityBytes":1,"onDelete":"delete","archiveRetention":"soon"}`,
		`{"version":1,"name":"n","directory":"x","capacityBytes":1,"onDelete":"delete","archiveRetention":"-1h"}`,
		`{"version":1,"name":"n","directory":"x","capacityBytes":1,"onDelete":"delete","copy":"../x"}`,
		`{"version":1,"name":"n","directory":"x","capacityBytes":1,"onDelete":"delete","copy":".."}`,
		`{"version":1,"name":"n#retain","directory":"x","capacityBytes":1,"onDelete":"delete"}`,
		`{"version":1,"name":"../n","directory":"x","capacityBytes":1,"onDelete":"delete"}`,
	} {
		if r, err := ParseRecord([]byte(s)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s is read as %+v, %v; want ErrInvalid", s, r, err)
		}
	}
}

func TestKey(t *testing.T) {
	for text, want := range map[string]string{"pvc-1": "pvc-1", "ns/claim": "ns%2Fclaim", ".hidden": "%2Ehidden", "a%2Fb": "a%252Fb", "é": "%C3%A9"} {
		if got := Key(text); got != want {
			t.Errorf("Key(%q) = %q; want %q", text, got, want)
		}
	}
	long := strings.Repeat("a/", 300)
	if k := Key(long); len(k) > maxKey || k == Key(long+"b") || strings.ContainsAny(k, "/") {
		t.Errorf("key of a long text is %q", k)
	}
	if k := Key(""); k == "" {
		t.Error("the empty text has no key")
	}
}

func TestCleanName(t *testing.T) {
	if got := CleanName("pvc-0a1b"); got != "pvc-0a1b" {
		t.Errorf("a PV's name becomes %q", got)
	}
	seen := map[string]string{}
	for _, s := range []string{"a b", "a#b", "a/b", "..", ".", "", ".x", "ab", strings.Repeat("x", 300), strings.Repeat("x", 301)} {
		got := CleanName(s)
		if old, taken := seen[got]; taken {
			t.Errorf("%q and %q both become %q", old, s, got)
		}
		seen[got] = s
		if _, err := ParseDir(got); err != nil || len(got) > maxKey {
			t.Errorf("%.20q becomes %q, which is no directory name: %v", s, got, err)
		}
	}
}

func TestRequestWithAnOddName(t *testing.T) {
	r := Request{Name: "odd name#1", Class: Class{Location: Location{"srv", "/e"}, Policy: Delete}}
	id, err := r.ID()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseID(id.String()); err != nil || again != id {
		t.Errorf("ID %q parses as %+v, %v; want %+v", id, again, err, id)
	}
}

func TestContextRoundTrip(t *testing.T) {
	id := ID{Location: Location{"fd00::1", "/e"}, Dir: "a/b", Policy: Delete}
	m, err := ParseContext(id.Context())
	if err != nil || m.Location != id.Location || m.Path != "/e/a/b" {
		t.Errorf("mountpoint is %+v, %v", m, err)
	}
}

func TestParseContextOfOthers(t *testing.T) {
	const claim, namespace, pv = ParamClaimName, ParamClaimNamespace, ParamVolumeName
	with := func(more ...string) map[string]string {
		m := map[string]string{"server": "s", "share": "/e"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	for name, c := range map[string]struct {
		attributes map[string]string
		path       string
		options    int
		root       *Root
	}{
		"static, the share itself": {attributes: with(), path: "/e"},
		"any case, unknown passed": {attributes: map[string]string{"Server": "s", "SHARE": "/", "subDir": "x", "storage.kubernetes.io/csiProvisionerIdentity": "y"}, path: "/x"},
		"options":                  {attributes: with("mountOptions", "nolock,vers=3"), path: "/e", options: 2},
		"a comma in quotes":        {attributes: with("mountOptions", `hard, context="system_u:object_r:nfs_t:s0:c1,c2"`), path: "/e", options: 2},
		"options in lower case":    {attributes: with("mountoptions", "nolock"), path: "/e", options: 1},
		"slashes":                  {attributes: with("subDir", "/a//b/"), path: "/e/a/b"},
		"template": {attributes: with("subdir", "${pvc.metadata.namespace}/${pvc.metadata.name}-${pv.metadata.name}", namespace, "ns", claim, "c", pv, "pvc-1"),
			path: "/e/ns/c-pvc-1"},
		// What is not known there is part of the name, since the directory was made so.
		"unknown variable":   {attributes: with("subdir", "${some.thing}/x", claim, "c"), path: "/e/${some.thing}/x"},
		"variable not given": {attributes: with("subDir", "${pvc.metadata.name}"), path: "/e/${pvc.metadata.name}"},
		"not a variable":     {attributes: with("subDir", "a${b"), path: "/e/a${b"},
		"mode":               {attributes: with("mountPermissions", "0750"), path: "/e", root: &Root{Mode: 0o750, UID: -1, GID: -1}},
		"no mode":            {attributes: with("mountPermissions", "0", "uid", "", "GID", ""), path: "/e"},
		"owner":              {attributes: with("UID", "1000", "gid", "0"), path: "/e", root: &Root{UID: 1000, GID: 0}},
		// Its owner was set when it was made.
		"owner of a dynamic volume": {attributes: with("uid", "1000", "storage.kubernetes.io/csiProvisionerIdentity", "y"), path: "/e"},
	} {
		m, err := ParseContext(c.attributes)
		if err != nil || m.Path != c.path || len(m.Options) != c.options || !reflect.DeepEqual(m.Root, c.root) {
			t.Errorf("%s: mountpoint is %+v with root %+v, %v; want path %s, %d options and root %+v", name, m, m.Root, err, c.path, c.options, c.root)
		}
	}
	for _, bad := range []map[string]string{nil, {"server": "s"}, {"share": "/e"}, with("subdir", "../x"), with("subdir", "a/.."), with("subdir", `a\..\b`), with("subdir", "team/.nfs-csi/snapshots/s"),
		{"server": "s", "share": "/../x"}, with("subdir", "${pvc.metadata.name}", claim, "../x"), with("mountPermissions", "rwx"), with("uid", "root"), with("gid", "-1")} {
		if m, err := ParseContext(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v is read as %+v, %v; want ErrInvalid", bad, m, err)
		}
	}
}

func TestParents(t *testing.T) {
	if p := Dir("a/b/c").Parents(); len(p) != 2 || p[0] != "a" || p[1] != "a/b" {
		t.Errorf("parents of a/b/c are %q", p)
	}
	if p := Dir("a").Parents(); len(p) != 0 {
		t.Errorf("parents of a are %q", p)
	}
	if a := Dir("a/b").Archived(); a != "archived-a/b" {
		t.Errorf("a/b is archived as %q", a)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"n","directory":"x","capacityBytes":1,"onDelete":"delete"}`))
	f.Add([]byte(`{"version":1,"name":"n","directory":"x","onDelete":"delete","handleOnDelete":"retain","archiveRetention":"1h","source":"s#e#v##","copy":"c"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		id := r.ID(Location{"srv", "/e"})
		if back, err := ParseID(id.String()); err != nil || back != id {
			t.Fatalf("record %s has the ID %q, which parses as %+v, %v", b, id, back, err)
		}
		again, err := r.Marshal()
		if err != nil {
			return // a year past 9999 cannot be printed again
		}
		if back, err := ParseRecord(again); err != nil || back.Dir != r.Dir || back.Name != r.Name || back.Policy != r.Policy || back.ArchiveRetention != r.ArchiveRetention {
			t.Fatalf("record %s becomes %+v, %v", b, back, err)
		}
	})
}
