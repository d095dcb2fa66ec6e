package volume

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What nfs-subdir-external-provisioner v4.0.2 and its HEAD do with a class when a volume is deleted.
func TestLegacyPolicy(t *testing.T) {
	cases := []struct {
		parameters map[string]string
		want       Policy
	}{
		{nil, ArchiveFlat},
		{map[string]string{"archiveOnDelete": "true"}, ArchiveFlat},
		{map[string]string{"archiveOnDelete": "1"}, ArchiveFlat},
		{map[string]string{"archiveOnDelete": "false"}, Delete},
		{map[string]string{"archiveOnDelete": "F"}, Delete},
		{map[string]string{"onDelete": "delete"}, Delete},
		{map[string]string{"onDelete": "retain"}, Retain},
		{map[string]string{"onDelete": "delete", "archiveOnDelete": "true"}, Delete},
		{map[string]string{"onDelete": "retain", "archiveOnDelete": "false"}, Retain},
		{map[string]string{"onDelete": "retain", "archiveOnDelete": "nonsense"}, Retain},
		// What it does not understand falls through, and its keys have a case.
		{map[string]string{"onDelete": "Delete"}, ArchiveFlat},
		{map[string]string{"onDelete": "archive"}, ArchiveFlat},
		{map[string]string{"onDelete": "archive", "archiveOnDelete": "false"}, Delete},
		{map[string]string{"ondelete": "delete"}, ArchiveFlat},
		{map[string]string{"archiveondelete": "false"}, ArchiveFlat},
	}
	for _, test := range cases {
		c, err := ParseLegacyClass(test.parameters)
		if err != nil || c.Policy != test.want {
			t.Errorf("%v: %q, %v; want %q", test.parameters, c.Policy, err, test.want)
		}
	}
}

func TestLegacyClassRefusesAndIgnores(t *testing.T) {
	for _, parameters := range []map[string]string{{"archiveOnDelete": "yes"}, {"archiveOnDelete": ""}, {"archiveOnDelete": " true"}, {"onExisting": "maybe"}} {
		if _, err := ParseLegacyClass(parameters); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", parameters, err)
		}
	}
	c, err := ParseLegacyClass(map[string]string{"pathpattern": "x", "zebra": "1", "archiveOnDelete": "true", "csi.storage.k8s.io/fstype": "nfs", "mountPermissions": "0"})
	if err != nil || !slices.Equal(c.Ignored, []string{"mountPermissions", "pathpattern", "zebra"}) {
		t.Errorf("ignored %v, %v", c.Ignored, err)
	}
	for key, want := range map[string]bool{"server": false, "SHARE": false, "subDir": false, "pathPattern": true, "onDelete": true} {
		if got := SpeaksLegacy(map[string]string{key: "x"}); got != want {
			t.Errorf("a class with %s speaks legacy: %t", key, got)
		}
	}
}

func TestLegacyDir(t *testing.T) {
	claim := Claim{Namespace: "shop", Name: "data", Volume: "pvc-1",
		Labels: map[string]string{"tier": "db", "app.kubernetes.io/name": "pg"},
		Annotations: map[string]string{"nfs.io/storage-path": "a/b", "dot": ".", "up": "../x", "brace": "${.PVC.name}", "other": "finance",
			"ours": ".nfs-csi/snapshots"}}
	cases := []struct {
		pattern string
		want    Dir
		adopt   bool
	}{
		{"", "shop-data-pvc-1", true},
		{"${.PVC.labels.none}", "shop-data-pvc-1", true},
		{"${.PVC.nonsense}${.PVC.labels.}", "shop-data-pvc-1", true},
		{"${.PVC.namespace}/${.PVC.name}", "shop/data", true},
		{"${.PVC.namespace}/${.PVC.annotations.nfs.io/storage-path}", "shop/a/b", true},
		{"/volumes/${.PVC.namespace}/${.PVC.labels.app.kubernetes.io/name}/", "volumes/shop/pg", true},
		{"volumes//./${.PVC.namespace}//x", "volumes/shop/x", true},
		{"${.PVC.namespace}/x${.PVC.labels.tier}y", "shop/xdby", true},
		// Only what the namespace keeps apart may be there already.
		{"${.PVC.name}", "data", false},
		{"${.PVC.namespace}-${.PVC.name}", "shop-data", false},
		{"x${.PVC.namespace}/${.PVC.name}", "xshop/data", false},
		{"${.PVC.annotations.other}/${.PVC.namespace}/y", "finance/shop/y", false},
		{"${.PVC.namespace}", "shop", false},
		{"fixed", "fixed", false},
		// A value that is not there, or is nothing as a path, leaves the directory above.
		{"${.PVC.namespace}/${.PVC.annotations.none}", "shop", false},
		{"${.PVC.namespace}/${.PVC.annotations.dot}", "shop", false},
		{"x${.PVC.name", "x${.PVC.name", false},
	}
	for _, test := range cases {
		c, err := ParseLegacyClass(map[string]string{"pathPattern": test.pattern})
		if err != nil {
			t.Fatal(err)
		}
		d, adopt, err := c.Dir(claim)
		if strings.Contains(string(test.want), "${") {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", test.pattern, err)
			}
			continue
		}
		if err != nil || d != test.want || adopt != test.adopt {
			t.Errorf("%q: %q, adopt %t, %v; want %q, %t", test.pattern, d, adopt, err, test.want, test.adopt)
		}
	}
	for _, escape := range []string{"/", "//", ".", "..", "../${.PVC.name}", "a/${.PVC.annotations.up}", "${.PVC.annotations.up}", "${.PVC.labels.none}/",
		".nfs-csi/volumes", "${.PVC.namespace}/${.PVC.annotations.ours}", "${.PVC.annotations.brace}", "${pvc.metadata.name}", "a#b", "a\nb", strings.Repeat("x", 256)} {
		c, err := ParseLegacyClass(map[string]string{"pathPattern": escape, "onExisting": "adopt"})
		if err != nil {
			t.Fatal(err)
		}
		if d, _, err := c.Dir(claim); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %q, %v", escape, d, err)
		}
	}
}

func TestLegacyClassMayAdopt(t *testing.T) {
	c, err := ParseLegacyClass(map[string]string{"pathPattern": "${.PVC.name}", "onExisting": "adopt"})
	if err != nil {
		t.Fatal(err)
	}
	if _, adopt, err := c.Dir(Claim{Namespace: "n", Name: "c", Volume: "v"}); err != nil || !adopt {
		t.Errorf("adopt %t, %v", adopt, err)
	}
	if labels, annotations := c.Keys(); len(labels)+len(annotations) > 0 {
		t.Errorf("keys %v %v", labels, annotations)
	}
	c, _ = ParseLegacyClass(map[string]string{"pathPattern": "${.PVC.labels.a.b/c}${.PVC.annotations.x}"})
	if labels, annotations := c.Keys(); !slices.Equal(labels, []string{"a.b/c"}) || !slices.Equal(annotations, []string{"x"}) {
		t.Errorf("keys %v %v", labels, annotations)
	}
}

func TestBelowAndIn(t *testing.T) {
	l := Location{Server: "s", Share: "/exports/k8s"}
	for path, want := range map[string]Dir{"/exports/k8s/a": "a", "/exports/k8s/a/b/": "a/b", "/exports/k8s//a/./b": "a/b"} {
		if d, err := l.Below(path); err != nil || d != want {
			t.Errorf("%s: %q, %v", path, d, err)
		}
	}
	for _, path := range []string{"", "/", "/exports", "/exports/k8s", "/exports/k8s/", "/exports/k8sx/a", "/exports/k8s/../a", "/exports/k8s/a/..", "exports/k8s/a",
		"/exports/k8s/.nfs-csi/trash", "/exports/k8s/team/.nfs-csi/trash", "/exports/k8s/./"} {
		if d, err := l.Below(path); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %q, %v", path, d, err)
		}
	}
	if d, err := (Location{Server: "s", Share: "/"}).Below("/a"); err != nil || d != "a" {
		t.Errorf("%q, %v", d, err)
	}
	for _, pair := range [][2]Dir{{"a/b", "a"}, {"a/b/c", "a"}, {"a/b/c", "a/b"}} {
		if !pair[0].In(pair[1]) || pair[1].In(pair[0]) {
			t.Errorf("%q is not in %q", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]Dir{{"a", "a"}, {"ab", "a"}, {"a/b", "a/c"}, {"a-b", "a"}} {
		if pair[0].In(pair[1]) {
			t.Errorf("%q is in %q", pair[0], pair[1])
		}
	}
}

// Whatever a pattern and a claim say, the directory is strictly below the share.
func FuzzLegacyDir(f *testing.F) {
	f.Add("${.PVC.namespace}/${.PVC.annotations.a}", "../../etc")
	f.Add("${.PVC.labels.a", "}")
	f.Add("${.PVC.namespace}/${.PVC.annotations.a}", ".NFS-csi/volumes")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		c, err := ParseLegacyClass(map[string]string{"pathPattern": pattern})
		if len(pattern) > maxParameter {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("a pattern of %d bytes: %v", len(pattern), err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{"a": value}
		d, _, err := c.Dir(Claim{Namespace: "n", Name: value, Volume: "pvc-1", Labels: values, Annotations: values})
		if err != nil {
			return
		}
		if parsed, err := ParseDir(string(d)); err != nil || parsed != d || strings.Contains(string(d), "${") {
			t.Errorf("%q, %q gives %q: %v", pattern, value, d, err)
		}
	})
}

func TestParseExport(t *testing.T) {
	for text, want := range map[string]Location{"s:/e": {"s", "/e"}, "s:/": {"s", "/"}, "[fd00::1]:/a/b/": {"fd00::1", "/a/b"}, "10.0.0.1:/x": {"10.0.0.1", "/x"}} {
		l, err := ParseExport(text)
		if err != nil || l != want {
			t.Errorf("%s: %v, %v", text, l, err)
		}
		if again, err := ParseExport(l.String()); err != nil || again != l {
			t.Errorf("%s: printed and read again it is %v, %v", text, again, err)
		}
	}
	for _, text := range []string{"", "s", "s:e", "/e", ":/e", "s:/a/../b", "a b:/e"} {
		if l, err := ParseExport(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
}

// Every row of the guide is true.
func TestLegacyGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/migrate-from-nfs-subdir.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "<!-- parameters: each row is tried by pkg/volume -->")
	table, _, _ := strings.Cut(after, "<!-- end of parameters -->")
	rows := regexp.MustCompile("(?m)^\\| `([a-zA-Z]+): (.*)` \\| (.+) \\|$").FindAllStringSubmatch(table, -1)
	if len(rows) < 15 || len(rows) != strings.Count(table, "\n| `") {
		t.Fatalf("%d rows are read", len(rows))
	}
	claim := Claim{Namespace: "shop", Name: "data", Volume: "pvc-1", Labels: map[string]string{"tier": "db"}}
	for _, r := range rows {
		c, err := ParseLegacyClass(map[string]string{r[1]: r[2]})
		got := string(c.Policy)
		if err == nil && r[1] == ParamPathPattern {
			var d Dir
			d, _, err = c.Dir(claim)
			got = string(d)
		}
		words, refused := strings.CutPrefix(r[3], "refused: ")
		words = strings.Trim(words, "`")
		if refused && (err == nil || !strings.Contains(err.Error(), words)) || !refused && (err != nil || got != words) {
			t.Errorf("%s: got %q, %v", r[0], got, err)
		}
	}
}
