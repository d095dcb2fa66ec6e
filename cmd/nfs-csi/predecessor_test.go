package main

import (
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// predecessorFlags are all flags of csi-driver-nfs, and those of its sidecars that people set.
var predecessorFlags = strings.Fields(`endpoint nodeid drivername mount-permissions working-mount-dir default-ondelete-policy
	vol-stats-cache-expire-in-minutes remove-archived-volume-path use-tar-command-in-snapshot enable-snapshot-compression v logtostderr alsologtostderr
	stderrthreshold log_dir log_file vmodule extra-create-metadata timeout retry-interval-start retry-interval-max leader-election
	leader-election-namespace csi-address worker-threads kubeconfig feature-gates
	handle-volume-inuse-error probe-timeout http-endpoint kubelet-registration-path`)

// flagValues parses args as run does and answers the value of every flag that is shown.
func flagValues(t *testing.T, command string, args ...string) (map[string]string, error) {
	t.Helper()
	c := map[string]func() *cobra.Command{"controller": controllerCommand, "node": nodeCommand}[command]()
	c.SetOut(io.Discard)
	if err := c.ParseFlags(doubleDashes(args)); err != nil {
		return nil, err
	}
	values := map[string]string{}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			values[f.Name] = f.Value.String()
		}
	})
	return values, nil
}

var flagRow = regexp.MustCompile("(?m)^\\| `(controller|node) (--?[a-z_-]+.*?)` \\| (.+) \\|$")

// Every row of the guide is true, with two dashes and with one.
func TestFlagsOfCSIDriverNFS(t *testing.T) {
	text, err := os.ReadFile("../../docs/migrate-from-csi-driver-nfs.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "<!-- flags: each row is tried by cmd/nfs-csi -->")
	rows := flagRow.FindAllStringSubmatch(table, -1)
	if lines := strings.Count(table, "\n| `"); lines != len(rows) || lines == 0 {
		t.Fatalf("%d rows are read of %d", len(rows), lines)
	}
	var known []string
	for _, m := range rows {
		command, flag, verdict := m[1], strings.TrimLeft(m[2], "-"), m[3]
		name, _, _ := strings.Cut(flag, "=")
		known = append(known, name)
		for _, dashes := range []string{"-", "--"} {
			t.Run(command+" "+dashes+flag, func(t *testing.T) { tryFlag(t, command, dashes+flag, verdict) })
		}
	}
	for _, name := range predecessorFlags {
		if !slices.Contains(known, name) {
			t.Errorf("the guide has no row for --%s", name)
		}
	}
}

func tryFlag(t *testing.T, command, flag, verdict string) {
	plain, err := flagValues(t, command)
	if err != nil {
		t.Fatal(err)
	}
	got, err := flagValues(t, command, flag)
	kind, rest, _ := strings.Cut(verdict, " ")
	if kind == "refused:" {
		if err == nil || !strings.Contains(err.Error(), strings.Trim(rest, "`")) {
			t.Errorf("the error is %v, without %s", err, rest)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	want := plain
	switch {
	case strings.HasPrefix(verdict, "same"):
		name, value, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
		want = maps.Clone(plain)
		want[name] = value
	case kind == "becomes":
		rest, _, _ = strings.Cut(strings.TrimPrefix(rest, "`"), "`")
		if want, err = flagValues(t, command, rest); err != nil || maps.Equal(want, plain) {
			t.Fatalf("%s has no effect, %v", rest, err)
		}
	case !strings.HasPrefix(verdict, "no effect"):
		t.Fatalf("what does %q mean?", verdict)
	}
	if !maps.Equal(got, want) {
		t.Errorf("the flags are %v\nwant %v", got, want)
	}
}

// Only flags of the predecessor may have one dash, and values are left as they are.
func TestOneDash(t *testing.T) {
	args := []string{"node", "-nodeid=a", "--drivername=-nodeid", "-v", "5", "-nodeid", "-", "--", "-x", "-driver-name=a", "nodeid"}
	want := []string{"node", "--nodeid=a", "--drivername=-nodeid", "-v", "5", "--nodeid", "-", "--", "-x", "-driver-name=a", "nodeid"}
	if got := doubleDashes(args); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// What is for those who come from elsewhere is not in the help of the others.
func TestOldFlagsAreNotShown(t *testing.T) {
	for _, c := range []*cobra.Command{controllerCommand(), nodeCommand()} {
		for name := range oldFlags {
			if f := c.Flags().Lookup(name); f != nil && f.Hidden && strings.Contains(c.Flags().FlagUsages(), "--"+name+" ") {
				t.Errorf("%s shows --%s", c.Name(), name)
			}
		}
	}
}
