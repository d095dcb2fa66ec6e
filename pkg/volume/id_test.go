package volume

import (
	"errors"
	"strings"
	"testing"
)

func TestParseIDForms(t *testing.T) {
	at := func(server, share string) Location { return Location{Server: server, Share: share} }
	for name, c := range map[string]struct {
		text string
		want ID
	}{
		"current":                    {"srv#exports/k8s#ns-claim-pvc-1#pvc-1#archive", ID{at("srv", "/exports/k8s"), "ns-claim-pvc-1", "pvc-1", Archive}},
		"empty policy is delete":     {"srv#exports/k8s#pvc-1##", ID{at("srv", "/exports/k8s"), "pvc-1", "", Delete}},
		"policy in any case":         {"srv#e#pvc-1##Retain", ID{at("srv", "/e"), "pvc-1", "", Retain}},
		"share is the root":          {"srv##pvc-1##", ID{at("srv", "/"), "pvc-1", "", Delete}},
		"four fields":                {"srv#e#sub#pvc-1", ID{at("srv", "/e"), "sub", "pvc-1", Delete}},
		"three fields":               {"srv#e#sub", ID{at("srv", "/e"), "sub", "", Delete}},
		"uuid in place of subDir":    {"srv#e##pvc-1#", ID{at("srv", "/e"), "pvc-1", "pvc-1", Delete}},
		"slashes, deep base":         {"srv/exports/k8s/pvc-1", ID{at("srv", "/exports/k8s"), "pvc-1", "", Delete}},
		"nested directory":           {"srv#e#a/b/c#pvc-1#", ID{at("srv", "/e"), "a/b/c", "pvc-1", Delete}},
		"IPv6 without brackets":      {"fd00::1#e#sub##", ID{at("fd00::1", "/e"), "sub", "", Delete}},
		"IPv6 with a zone":           {"fe80::1%eth0.5#e#sub##", ID{at("fe80::1%eth0.5", "/e"), "sub", "", Delete}},
		"any language":               {"srv#e#資料/données##", ID{at("srv", "/e"), "資料/données", "", Delete}},
		"slashes around are dropped": {"srv#/e/#/sub/#x#", ID{at("srv", "/e"), "sub", "x", Delete}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseID(c.text)
			if err != nil || got != c.want {
				t.Fatalf("ParseID(%q) = %+v, %v; want %+v", c.text, got, err, c.want)
			}
			again, err := ParseID(got.String())
			if err != nil || again != got {
				t.Fatalf("ParseID(%q) = %+v, %v; want %+v", got.String(), again, err, got)
			}
		})
	}
}

// The handles that must never lead to a deletion: free text of static PVs, and every way out of the share that worked
// on a predecessor (CVE-2026-3864 and what followed it).
func TestParseIDRefuses(t *testing.T) {
	for _, text := range []string{
		"", "my-static-volume", "nfs-server.default.svc.cluster.local/share##", "a#b", "srv#e###", "srv####", "srv#e#/##", "srv/x",
		"srv#e#..##", "srv#e#../other##", "srv#e#a/../../b##", "srv#e#a/..##", "srv#e#.##", "srv#e#a//b##", `srv#e#..\..\x##`, `srv#e#a\b##`,
		"srv#e#a\x00b##", "srv#e#caf\xe9##", "srv#..#a##", "srv#e/../..#a##", "srv#e##../..#", "srv#e#a#../x#", `srv#e#a#..\x#`, "srv#e#a#b#shred", "srv#e#a#b#delete#more",
		"srv#e#a\x1b[2Jb##", "srv#e#a\u009b2Jb##", "srv#e#a\u2028b##", "srv#e#a\u202eb##",
		"fe80::1%a,b=c#e#a##", "fe80::1%a/b#e#a##", "fe80::1%a\nb#e#a##", strings.Repeat("s", 254) + "#e#a##",
		"#e#a##", "srv name#e#a##", "srv;rm#e#a##", "srv:2049#e#a##", "-o#e#a##", "srv#e /\t#a##", "srv# /\n#a##",
		"srv#e#.nfs-csi##", "srv#e#.nfs-csi/trash##", "srv#e#.NFS-CSI/x##", "srv#e#team/.nfs-csi/snapshots##", "srv#e#team/.NFS-csi##", "srv#e#" + strings.Repeat("x", 256) + "##", strings.Repeat("x#", 5000),
		"srv#e#x#" + strings.Repeat("u", 769) + "#",
	} {
		if id, err := ParseID(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseID(%.60q) = %+v, %v; want ErrInvalid", text, id, err)
		}
	}
}

// A handle that is whole but for its directory is told from free text: somebody may believe that it is deleted.
func TestParseIDOfTheShareItself(t *testing.T) {
	for text, want := range map[string]bool{
		"srv#e###": true, "srv#e##": true, "srv#e#/#/#": true, "srv####archive": true,
		"my-static-volume": false, "nfs-server.default.svc.cluster.local/share##": false, "srv#..###": false, "srv#e#..##": false, "": false,
	} {
		if _, err := ParseID(text); errors.Is(err, ErrShareItself) != want {
			t.Errorf("ParseID(%q): %v; the share itself: %t", text, err, want)
		}
	}
}

func TestLocation(t *testing.T) {
	for _, c := range []struct{ server, share, want, path string }{
		{"srv", "/", "srv:/", "/d"},
		{"srv", "exports/k8s/", "srv:/exports/k8s", "/exports/k8s/d"},
		{"[fd00::1]", "/e", "[fd00::1]:/e", "/e/d"},
		{" 10.0.0.1 ", " /e ", "10.0.0.1:/e", "/e/d"},
	} {
		l, err := ParseLocation(c.server, c.share)
		if err != nil || l.String() != c.want || l.Path("d") != c.path {
			t.Errorf("ParseLocation(%q, %q) = %v, %v, path %q; want %q, path %q", c.server, c.share, l, err, l.Path("d"), c.want, c.path)
		}
	}
}

func TestNameIsTheLockAndRecordKey(t *testing.T) {
	created := Request{Name: "pvc-1", Class: Class{Location: Location{"srv", "/e"}, Policy: Delete, Claim: Claim{Namespace: "ns", Name: "c"}}}
	id, err := created.ID()
	if err != nil {
		t.Fatal(err)
	}
	if id.Dir != "ns-c-pvc-1" || id.Name() != "pvc-1" {
		t.Errorf("ID is %+v with name %q; want directory ns-c-pvc-1 and name pvc-1", id, id.Name())
	}
	created.Class.Claim = Claim{}
	if id, err = created.ID(); err != nil || id.UUID != "" || id.Dir != "pvc-1" || id.Name() != "pvc-1" {
		t.Errorf("without a claim ID is %+v, %v; want directory and name pvc-1, no uuid", id, err)
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"srv#exports/k8s#a/b#pvc-1#archive", "srv/e/d", "fd00::1#e#s", "srv#e##u#", "##", "srv#e#..##", "srv#e#a/.nfs-csi/b##", "srv#e#a#.nfs-csi#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v is not ErrInvalid", err)
			}
			return
		}
		for _, handle := range []string{id.String(), id.Explicit()} {
			if again, err := ParseID(handle); err != nil || again != id {
				t.Fatalf("ParseID(%q) = %+v, %v; want %+v", handle, again, err, id)
			}
		}
		if again, err := ParseLocation(id.Server, id.Share); err != nil || again != id.Location {
			t.Fatalf("the location of %q is %+v in a class, %v", s, again, err)
		}
		if again, err := ParseExport(id.Location.String()); err != nil || again != id.Location {
			t.Fatalf("the export %q of %q is %+v, %v", id.Location, s, again, err)
		}
		if !SaysPolicy(id.Explicit()) {
			t.Fatalf("%q says no policy", id.Explicit())
		}
		for _, e := range strings.Split(string(id.Dir), "/") {
			if e == "" || e == "." || e == ".." || strings.EqualFold(e, Reserved) {
				t.Fatalf("directory %q of %q is not strictly below the share, or in what is ours", id.Dir, s)
			}
		}
	})
}
