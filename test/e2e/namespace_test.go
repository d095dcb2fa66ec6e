//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"
)

//go:embed testdata
var manifests embed.FS

// ours marks the namespaces and cluster-wide objects of the tests.
const ours = "nfs-csi.test/e2e"

// namespace is where one scenario lives.
type namespace struct {
	cluster
	name string
}

// newNamespace makes a namespace for a test that runs beside others.
func newNamespace(t *testing.T, purpose string) namespace {
	t.Helper()
	t.Parallel()
	return makeNamespace(t, purpose)
}

// makeNamespace makes a namespace that goes with the test. A failed test says first what the cluster knows about it.
func makeNamespace(t *testing.T, purpose string) namespace {
	t.Helper()
	var salt [2]byte
	_, _ = rand.Read(salt[:])
	n := namespace{connect(t), "e2e-" + purpose + "-" + hex.EncodeToString(salt[:])}
	n.must("create", "namespace", n.name)
	n.must("label", "namespace", n.name, ours+"=yes")
	t.Cleanup(func() {
		if t.Failed() {
			n.dump()
		}
		if !kept() {
			_, err := n.try("delete", "namespace", n.name, "--wait=false")
			if err != nil {
				t.Error(err)
			}
		}
	})
	return n
}

// class is the name of a StorageClass that only this test uses.
func (n namespace) class(suffix string) string { return n.name + "-" + suffix }

// values are what the manifests in testdata leave open: names, images and the export.
func (n namespace) values(extra map[string]any) map[string]any {
	v := map[string]any{
		"Namespace": n.name, "Driver": n.driver, "Busybox": n.busybox, "MariaDB": n.mariadb, "NFSImage": n.nfs,
		"Server": n.server, "Share": n.share, "OutsideServer": n.outside, "OutsideShare": n.outShare, "Mark": ours,
		"Node": "", // any
	}
	for k, x := range extra {
		v[k] = x
	}
	return v
}

// manifest is a file of testdata with its names filled in.
func (n namespace) manifest(file string, extra map[string]any) string {
	n.t.Helper()
	text, err := filled(file, n.values(extra))
	if err != nil {
		n.t.Fatal(err)
	}
	return text
}

// filled is a file of testdata with values in it.
func filled(file string, values map[string]any) (string, error) {
	text, err := manifests.ReadFile("testdata/" + file)
	if err != nil {
		return "", err
	}
	t, err := template.New(file).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, values); err != nil {
		return "", err
	}
	return out.String(), nil
}

// apply is kubectl apply of a file of testdata.
func (n namespace) apply(file string, extra map[string]any) {
	n.t.Helper()
	n.applyText(n.manifest(file, extra))
}

func (n namespace) applyText(yaml string) {
	n.t.Helper()
	if _, err := n.pipe(yaml, "apply", "-n", n.name, "-f", "-"); err != nil {
		n.t.Fatalf("%v\n%s", err, yaml)
	}
}

// in is kubectl in this namespace.
func (n namespace) in(args ...string) string {
	n.t.Helper()
	return n.must(append([]string{"-n", n.name}, args...)...)
}

func (n namespace) tryIn(args ...string) (string, error) {
	return n.try(append([]string{"-n", n.name}, args...)...)
}

// sh runs a shell script in a pod ("pod/x", "deployment/y") and returns what it prints.
func (n namespace) sh(pod, script string) string {
	n.t.Helper()
	return n.in("exec", pod, "--", "sh", "-c", script)
}

// rolledOut waits for a Deployment or StatefulSet.
func (n namespace) rolledOut(what string) {
	n.t.Helper()
	n.waits(podDeadline, "rollout", "status", what)
}

// ready waits for a pod, which its controller may yet have to make.
func (n namespace) ready(pod string) {
	n.t.Helper()
	n.waits(podDeadline, "wait", "--for=create", "pod/"+pod)
	n.waits(podDeadline, "wait", "--for=condition=Ready", "pod/"+pod)
}

// waits runs a kubectl command that has a --timeout of its own.
func (n namespace) waits(deadline time.Duration, args ...string) {
	n.t.Helper()
	args = append(args, fmt.Sprintf("--timeout=%.0fs", deadline.Seconds()))
	ctx, cancel := contextFor(deadline + 10*time.Second)
	defer cancel()
	if out, err := n.run(ctx, "", append([]string{"-n", n.name}, args...)...); err != nil {
		n.t.Fatalf("%v\n%s", err, out)
	}
}

// gone waits until an object of the namespace is no more.
func (n namespace) gone(args ...string) {
	n.t.Helper()
	n.eventually(strings.Join(args, " ")+" goes away", goneDeadline, n.absent(append([]string{"-n", n.name}, args...)...))
}

// bound waits for a claim and returns its volume.
func (n namespace) bound(claim string) volume {
	n.t.Helper()
	n.eventually("claim "+claim+" becomes Bound", claimDeadline, func() error {
		out, err := n.tryIn("get", "pvc", claim, "-o", "jsonpath={.status.phase}")
		if err == nil && out != "Bound" {
			err = fmt.Errorf("it is %s; events: %s", out, n.events(claim))
		}
		return err
	})
	return n.volumeOf(claim)
}

type event struct {
	Type, Reason, Message string
	Regarding             struct{ Name string } `json:"involvedObject"`
}

// events are those about one object of the namespace, a line each.
func (n namespace) events(object string) string { return n.eventsIn(n.name, object) }

// eventsIn are those about one object; of what lies in no namespace they are in "default".
func (c cluster) eventsIn(namespace, object string) string {
	var list struct{ Items []event }
	if err := c.get(&list, "-n", namespace, "events", "--field-selector", "involvedObject.name="+object); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range list.Items {
		fmt.Fprintf(&b, "%s %s: %s\n", e.Type, e.Reason, e.Message)
	}
	return b.String()
}

// warned waits for a Warning about object with this text.
func (n namespace) warned(object, pattern string, deadline time.Duration) {
	n.t.Helper()
	n.eventually("a Warning about "+object, deadline, n.said(object, pattern))
}

// said is a check for a Warning about an object of the namespace.
func (n namespace) said(object, pattern string) func() error {
	want := regexp.MustCompile(`(?i)Warning \w+: .*` + pattern)
	return func() error {
		if got := n.events(object); !want.MatchString(got) {
			return fmt.Errorf("no event matches %q; there are:\n%s", pattern, got)
		}
		return nil
	}
}

// dump says what the cluster knows about a failed test.
func (n namespace) dump() {
	for _, args := range [][]string{
		{"-n", n.name, "get", "pods,pvc,sts,deploy,jobs", "-o", "wide"},
		{"-n", n.name, "get", "events", "--sort-by=.lastTimestamp", "-o", "custom-columns=AGE:.lastTimestamp,ON:.involvedObject.name,WHY:.reason,WHAT:.message"},
		{"-n", n.system, "get", "pods", "-o", "wide"},
		{"-n", n.system, "logs", "-l", "app.kubernetes.io/component=controller", "--tail=40", "--prefix"},
		{"-n", n.system, "logs", "-l", "app.kubernetes.io/component=node", "--tail=25", "--prefix"},
	} {
		out, err := n.try(args...)
		if err != nil {
			out += err.Error()
		}
		n.t.Logf("$ kubectl %s\n%s", strings.Join(args, " "), tail(out, 60))
	}
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
