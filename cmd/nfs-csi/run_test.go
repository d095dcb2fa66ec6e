package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"version"}, strings.NewReader(""), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "nfs-csi devel go1.") {
		t.Errorf("printed %q", out.String())
	}
}

func TestHelpNamesTheCommands(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, strings.NewReader(""), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"controller", "node", "version"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("%q is missing in\n%s", word, out.String())
		}
	}
	if strings.Contains(out.String(), "mount-helper") {
		t.Error("the helper is shown")
	}
}

func TestBadArguments(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("POD_NAMESPACE", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	cases := map[string]struct {
		args []string
		want []string
	}{
		"command":       {[]string{"bogus"}, []string{`there is no command "bogus": see nfs-csi --help`}},
		"flag":          {[]string{"controller", "--bogus"}, []string{"unknown flag: --bogus", "nfs-csi controller --help"}},
		"argument":      {[]string{"node", "here"}, []string{`node takes no arguments, not "here"`}},
		"no node":       {[]string{"node"}, []string{"--node-id is missing"}},
		"log format":    {[]string{"node", "--node-id=n", "--log-format=xml"}, []string{`"xml"`, "text or json"}},
		"node endpoint": {[]string{"node", "--node-id=n", "--endpoint=/a.sock"}, []string{"unix:///path"}},
		"driver name":   {[]string{"node", "--node-id=n", "--driver-name=a b"}, []string{`driver name "a b"`}},
		"no cluster":    {[]string{"controller", "--leader-election=false"}, []string{"--kubeconfig", "--csi-only"}},
		"all at once": {[]string{"controller", "--default-on-delete=burn", "--mount-permissions=rwx", "--nfs-server=a/b", "--nfs-share=/s", "--workers=0", "--default-subdir=${x}", "--secret=mine"},
			[]string{`"burn"`, "--default-subdir", "${x} is not known", "--secret", "NAMESPACE/NAME", `"rwx"`, `"a/b"`, "--workers", "--leader-election-namespace"}},
		"old names": {[]string{"controller", "--csi-only", "--volume-source=fc", "--provisioner-name=a/b=server", "--provisioner-name="},
			[]string{`--volume-source is "fc"`, `--provisioner-name a/b=server`, "SERVER:/PATH", "--provisioner-name is empty"}},
		"kubeconfig": {[]string{"controller", "--leader-election=false", "--kubeconfig=/does/not/exist"}, []string{"/does/not/exist"}},
		"address":    {[]string{"controller", "--csi-only", "--metrics-address=nowhere:x"}, []string{"--metrics-address"}},
		"endpoint":   {[]string{"controller", "--csi-only", "--metrics-address=", "--endpoint=http://a"}, []string{`"http://a"`}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), test.args, strings.NewReader(""), io.Discard, io.Discard)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range test.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestMountHelperSaysHowItEnded(t *testing.T) {
	err := run(t.Context(), []string{"mount-helper"}, strings.NewReader("this is no request"), io.Discard, io.Discard)
	var code exitCode
	if !errors.As(err, &code) || code == 0 {
		t.Errorf("ended with %v", err)
	}
}

func TestDefaultsFromTheEnvironment(t *testing.T) {
	t.Setenv("NFS_SERVER", "old.example.com")
	t.Setenv("NFS_PATH", "/exports")
	t.Setenv("PROVISIONER_NAME", "cluster.local/old")
	c := controllerCommand()
	if got := c.Flag("nfs-server").Value.String() + c.Flag("nfs-share").Value.String(); got != "old.example.com/exports" {
		t.Errorf("defaults are %q", got)
	}
	o := controllerOptions{server: "old.example.com", share: "/exports", mode: "0770", workers: 1, csiOnly: true, resizer: auto, snapshotter: off, volumeSource: sourceCSI}
	says, err := o.check()
	if d := says.defaults; err != nil || d.Mode != 0o770 || d.Policy != volume.Delete {
		t.Errorf("%+v, %v", d, err)
	}
	o.provisionerNames = append(c.Flags().Lookup("provisioner-name").Value.(pflag.SliceValue).GetSlice(), "second=[fd00::1]:/two", "second", "")
	says, err = o.check()
	if legacy := says.legacy; err == nil || !slices.Equal(legacy.Names, []string{"cluster.local/old", "second"}) || legacy.Default.String() != "old.example.com:/exports" ||
		legacy.Exports["second"].String() != "[fd00::1]:/two" || legacy.InTree {
		t.Errorf("%+v, %v", legacy, err)
	}
	if l := locations(says.defaults); len(l) != 1 || l[0].String() != "old.example.com:/exports" {
		t.Errorf("locations %v", l)
	}
}

// Every row of the guide about environment variables is true: what is the same is the default of its flag.
func TestEnvironmentOfNFSSubdir(t *testing.T) {
	text, err := os.ReadFile("../../docs/migrate-from-nfs-subdir.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "<!-- environment: each row is tried by cmd/nfs-csi -->")
	table, _, _ := strings.Cut(after, "<!-- end of environment -->")
	rows := regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (same, as|replaced by) `--([a-z-]+)` \\|$").FindAllStringSubmatch(table, -1)
	if len(rows) != 5 || len(rows) != strings.Count(table, "\n| `") {
		t.Fatalf("%d rows are read", len(rows))
	}
	for _, r := range rows {
		t.Setenv(r[1], "given-by-"+r[1])
	}
	flags := controllerCommand().Flags()
	for _, r := range rows {
		f := flags.Lookup(r[3])
		if f == nil || (r[2] == "same, as") != strings.Contains(f.DefValue, "given-by-"+r[1]) {
			t.Errorf("%s: the flag is %+v", r[0], f)
		}
	}
}
