package volume

import (
	"errors"
	"strings"
	"testing"
)

var testClaim = Claim{Namespace: "shop", Name: "data-db-0", Volume: "pvc-7",
	Labels: map[string]string{"app.kubernetes.io/name": "db"}, Annotations: map[string]string{"nfs.io/path": "a/b", "evil": "../../x", "dot": ".", "ours": ".nfs-csi/snapshots"}}

func TestTemplateExpand(t *testing.T) {
	for text, want := range map[string]Dir{
		"": "shop-data-db-0-pvc-7",
		"${pvc.metadata.namespace}/${pvc.metadata.name}":           "shop/data-db-0",
		"vols/${pv.metadata.name}/":                                "vols/pvc-7",
		"${.PVC.namespace}-${.PVC.name}":                           "shop-data-db-0",
		"${pvc.metadata.labels.app.kubernetes.io/name}":            "db",
		"x-${.PVC.labels.app.kubernetes.io/name}":                  "x-db",
		"${.PVC.annotations.nfs.io/path}":                          "a/b",
		"${pvc.metadata.annotations.team:-everyone}/${.PVC.name}":  "everyone/data-db-0",
		"${pvc.metadata.labels.app.kubernetes.io/name:-nothing}/d": "db/d",
		"fixed": "fixed",
	} {
		tpl, err := ParseTemplate(text)
		if err != nil {
			t.Errorf("ParseTemplate(%q): %v", text, err)
			continue
		}
		if got, err := tpl.Expand(testClaim); err != nil || got != want {
			t.Errorf("%q expands to %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestTemplateRefuses(t *testing.T) {
	for text, words := range map[string]string{
		"${pvc.metadata.namespace}/${.PVC.annotations.missing}": "the claim has no ${.PVC.annotations.missing}",
		"${.PVC.annotations.evil}":                              `".." is not allowed`,
		"a/${.PVC.annotations.evil}":                            `".." is not allowed`,
		"${.PVC.annotations.dot}":                               `"." is not allowed`,
		"${pvc.metadata.labels.none}":                           "the claim has no",
		".nfs-csi/${pv.metadata.name}":                          "reserved",
		"team/.NFS-csi/${pv.metadata.name}":                     "reserved",
		"team/${.PVC.annotations.ours}":                         "reserved",
		"a//b":                                                  "empty element",
		"/":                                                     "the share itself",
		"${pvc.metadata.uid}":                                   "${pvc.metadata.uid} is not known",
		"${.PVC.labels.}":                                       "is not known",
		"${pvc.metadata.name":                                   "without its }",
	} {
		tpl, err := ParseTemplate(text)
		if err == nil {
			_, err = tpl.Expand(testClaim)
		}
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), words) {
			t.Errorf("%q gives %v; want ErrInvalid with %q", text, err, words)
		}
	}
}

func TestPathPatternWithoutAnyValueMeansTheDefault(t *testing.T) {
	pattern := map[string]string{"server": "s", "share": "/e", "pathPattern": "${.PVC.annotations.none}"}
	c, err := ParseClass(pattern, Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := c.Template.Expand(testClaim); err != nil || d != "shop-data-db-0-pvc-7" {
		t.Errorf("expands to %q, %v; want the default name", d, err)
	}
	pattern["pathPattern"] = "${.PVC.namespace}/${.PVC.annotations.none}"
	if c, err = ParseClass(pattern, Defaults{}); err != nil {
		t.Fatal(err)
	}
	if d, err := c.Template.Expand(testClaim); !errors.Is(err, ErrInvalid) {
		t.Errorf("expands to %q, %v; want ErrInvalid: it would be the namespace's directory", d, err)
	}
}

func TestDefaultDirOfALongClaimIsTheVolume(t *testing.T) {
	d, err := Template{}.Expand(Claim{Namespace: "ns", Name: strings.Repeat("c", 250), Volume: "pvc-1"})
	if err != nil || d != "pvc-1" {
		t.Errorf("directory is %q, %v; want pvc-1", d, err)
	}
}

func TestTemplateKeys(t *testing.T) {
	tpl, err := ParseTemplate("${pvc.metadata.labels.a}/${.PVC.annotations.b}/${pvc.metadata.name}")
	if err != nil {
		t.Fatal(err)
	}
	labels, annotations := tpl.Keys()
	if len(labels) != 1 || labels[0] != "a" || len(annotations) != 1 || annotations[0] != "b" {
		t.Errorf("keys are %q and %q; want a and b", labels, annotations)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("${pvc.metadata.namespace}/${.PVC.annotations.x:-y}", "../..")
	f.Add("${pvc.metadata.labels.x}", "/")
	f.Add("a/${pvc.metadata.labels.x}", Reserved)
	f.Fuzz(func(t *testing.T, text, value string) {
		tpl, err := ParseTemplate(text)
		if err != nil {
			return
		}
		d, err := tpl.Expand(Claim{Namespace: value, Name: value, Volume: "pvc-1", Labels: map[string]string{"x": value}, Annotations: map[string]string{"x": value}})
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v is not ErrInvalid", err)
			}
			return
		}
		if again, err := ParseDir(string(d)); err != nil || again != d {
			t.Fatalf("directory %q does not parse as itself: %q, %v", d, again, err)
		}
	})
}
