package volume

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"
)

func TestParseClass(t *testing.T) {
	c, err := ParseClass(map[string]string{
		"SERVER": "srv", "Share": "exports/k8s/", "subdir": "${pvc.metadata.name}", "onDelete": "Archive", "archiveOnDelete": "true",
		"mountPermissions": "2775", "uid": "1000", "gid": "0", "onExisting": "adopt",
		"archiveRetention": "720h", "capacityCheck": "Strict", "capacityReserve": "5%",
		"csi.storage.k8s.io/pvc/name": "c", "csi.storage.k8s.io/pvc/namespace": "ns", "csi.storage.k8s.io/pv/name": "pvc-1",
		"csi.storage.k8s.io/pvc/labels/a.b/C": "l", "csi.storage.k8s.io/pvc/annotations/x": "y",
		"csi.storage.k8s.io/provisioner-secret-name": "s", "csi.storage.k8s.io/fstype": "nfs",
	}, Defaults{Server: "other", Share: "/other", Policy: Retain, Mode: 0o700})
	if err != nil {
		t.Fatal(err)
	}
	if c.String() != "srv:/exports/k8s" || c.Policy != Archive || c.Mode != 0o775|fs.ModeSetgid || c.UID != 1000 || c.GID != 0 || !c.Adopt {
		t.Errorf("class is %+v", c)
	}
	if !c.ModeGiven || c.ArchiveRetention != 720*time.Hour || !c.StrictCapacity || c.Reserve != (Reserve{Percent: 5}) {
		t.Errorf("class is %+v", c)
	}
	if c.Claim.Name != "c" || c.Claim.Namespace != "ns" || c.Claim.Volume != "pvc-1" || c.Claim.Labels["a.b/C"] != "l" || c.Claim.Annotations["x"] != "y" {
		t.Errorf("claim is %+v", c.Claim)
	}
}

func TestParseClassDefaults(t *testing.T) {
	c, err := ParseClass(nil, Defaults{Server: "srv", Share: "/e"})
	if err != nil || c.String() != "srv:/e" || c.Policy != Delete || c.Mode != 0o777 || c.UID != -1 || c.GID != -1 || c.Adopt {
		t.Errorf("class is %+v, %v", c, err)
	}
	if c.ModeGiven || c.ArchiveRetention != 0 || c.StrictCapacity || c.Reserve != (Reserve{}) {
		t.Errorf("class is %+v", c)
	}
	c, err = ParseClass(map[string]string{"mountPermissions": "0"}, Defaults{Server: "srv", Share: "/e", Policy: Retain, Mode: 0o750})
	if err != nil || c.Policy != Retain || c.Mode != 0o750 || c.ModeGiven {
		t.Errorf("with the install's defaults class is %+v, %v", c, err)
	}
	if c, err = ParseClass(map[string]string{"archiveOnDelete": "false"}, Defaults{Server: "s", Share: "/", Policy: Archive}); err != nil || c.Policy != Delete {
		t.Errorf("archiveOnDelete false gives %q, %v; want delete", c.Policy, err)
	}
}

func TestParseClassReportsAllMistakes(t *testing.T) {
	_, err := ParseClass(map[string]string{
		"sever": "typo", "share": "/a/../b", "subDir": "${nonsense}", "onDelete": "shred", "mountPermissions": "rwx", "uid": "-1", "gid": "root", "onExisting": "take",
		"archiveRetention": "30", "capacityCheck": "maybe", "capacityReserve": "half",
	}, Defaults{Server: "srv"})
	if !errors.Is(err, ErrInvalid) {
		t.Fatalf("error is %v, want ErrInvalid", err)
	}
	for _, words := range []string{`"sever" is not known`, `".." is not allowed`, "${nonsense} is not known", `onDelete is "shred"`, `mode "rwx"`, `uid is "-1"`, `gid is "root"`, `onExisting is "take"`,
		`archiveRetention is "30"`, `capacityCheck is "maybe"`, `capacityReserve is "half"`} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("error %q does not say %q", err, words)
		}
	}
}

func TestParseClassRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		parameters map[string]string
		words      string
	}{
		"nothing":          {nil, "server and share are missing"},
		"no share":         {map[string]string{"server": "s"}, "share is missing"},
		"no server":        {map[string]string{"share": "/e"}, "server is missing"},
		"contradiction":    {map[string]string{"server": "s", "share": "/", "onDelete": "delete", "archiveOnDelete": "true"}, "contradict"},
		"two templates":    {map[string]string{"server": "s", "share": "/", "subDir": "a", "pathPattern": "b"}, "say the same thing"},
		"twice":            {map[string]string{"server": "s", "share": "/", "onDelete": "delete", "ondelete": "retain"}, "given twice"},
		"archive is maybe": {map[string]string{"server": "s", "share": "/", "archiveOnDelete": "maybe"}, `archiveOnDelete is "maybe"`},
		"long value":       {map[string]string{"server": "s", "share": "/", "subDir": strings.Repeat("x", 1025)}, `parameter "subDir" is 1025 bytes long`},
		"long name":        {map[string]string{"server": "s", "share": "/", strings.Repeat("x", 257): ""}, "the name of a parameter is 257 bytes long"},
		"zone and options": {map[string]string{"server": "fe80::1%eth0,port=1", "share": "/"}, "neither a host name nor an address"},
		"port in server":   {map[string]string{"server": "s:2049", "share": "/"}, "port="},
	} {
		if _, err := ParseClass(c.parameters, Defaults{}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error is %v; want ErrInvalid with %q", name, err, c.words)
		}
	}
}

func TestModeRoundTrip(t *testing.T) {
	for _, s := range []string{"0777", "0000", "4755", "2770", "1777", "7777", "0640"} {
		m, err := ParseMode(s)
		if err != nil || FormatMode(m) != s {
			t.Errorf("mode %s becomes %s, %v", s, FormatMode(m), err)
		}
	}
	for _, s := range []string{"8", "10000", "-1", "0x1ff", "0777 "} {
		if m, err := ParseMode(s); err == nil {
			t.Errorf("mode %q is read as %s", s, FormatMode(m))
		}
	}
}

func FuzzParseClass(f *testing.F) {
	f.Add("srv", "/e", "a", "delete", "0777")
	f.Add("fd00::1", "", "${.PVC.name}", "RETAIN", "")
	f.Fuzz(func(t *testing.T, server, share, subDir, onDelete, mode string) {
		c, err := ParseClass(map[string]string{"server": server, "share": share, "subDir": subDir, "onDelete": onDelete, "mountPermissions": mode}, Defaults{})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v is not ErrInvalid", err)
			}
			return
		}
		if again, err := ParseLocation(c.Server, c.Share); err != nil || again != c.Location {
			t.Fatalf("location %v does not parse as itself: %v, %v", c.Location, again, err)
		}
	})
}

// csi-driver-nfs calls directories as their PersistentVolumes; an install may go on with that.
func TestDefaultTemplate(t *testing.T) {
	template, err := ParseTemplate("${pv.metadata.name}")
	if err != nil {
		t.Fatal(err)
	}
	defaults := Defaults{Server: "srv", Share: "/e", Template: template}
	claim := map[string]string{ParamClaimName: "c", ParamClaimNamespace: "ns", ParamVolumeName: "pvc-1"}
	for parameters, want := range map[[2]string]string{
		{"", ""}:                                "srv#e#pvc-1##",
		{"subdir", ""}:                          "srv#e#pvc-1##",
		{"SubDir", "${pvc.metadata.namespace}"}: "srv#e#ns#pvc-1#",
	} {
		p := map[string]string{}
		for k, v := range claim {
			p[k] = v
		}
		if parameters[0] != "" {
			p[parameters[0]] = parameters[1]
		}
		class, err := ParseClass(p, defaults)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := (Request{Name: "pvc-1", Class: class}).ID(); err != nil || id.String() != want {
			t.Errorf("%q: %v, %v; want %s", parameters, id, err, want)
		}
	}
}
