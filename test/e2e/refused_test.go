//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// refusal is a class, or a claim, that cannot be served, and what the claim's Event must say about it.
type refusal struct {
	name        string
	parameters  map[string]string
	annotations map[string]string
	selector    string
	says        string // a regular expression, any case
	within      time.Duration
}

// mistakes need no server of their own.
var mistakes = []refusal{
	{name: "unknown", parameters: map[string]string{"onDelet": "retain"}, says: `"onDelet" is not known`},
	{name: "contradiction", parameters: map[string]string{"onDelete": "delete", "archiveOnDelete": "true"}, says: "contradict"},
	{name: "policy", parameters: map[string]string{"onDelete": "destroy"}, says: "must be delete, retain or archive"},
	{name: "missing", parameters: map[string]string{"server": "", "share": ""}, says: "server and share are missing"},
	{name: "no-share", parameters: map[string]string{"share": ""}, says: "share is missing"},
	{name: "mode", parameters: map[string]string{"mountPermissions": "rwx"}, says: "not an octal number"},
	{name: "escape", parameters: map[string]string{"subDir": "../../etc"}, says: `"\.\." is not allowed`},
	{name: "escape-by-claim", parameters: map[string]string{"subDir": "${pvc.metadata.annotations.team}"},
		annotations: map[string]string{"team": "../../etc"}, says: `"\.\." is not allowed`},
	{name: "annotation", parameters: map[string]string{"subDir": "${pvc.metadata.annotations.team}/x"}, says: "annotations.team"},
	{name: "reserved", parameters: map[string]string{"subDir": ".nfs-csi/volumes"}, says: "reserved"},
	{name: "selector", selector: "mine", says: "selector"},
	{name: "path", parameters: map[string]string{"share": "/no/such/export"}, says: "/no/such/export"},
}

func TestSmokeMistakes(t *testing.T) {
	n := newNamespace(t, "mistakes")
	n.refuses(mistakes)
	var names []string
	for _, r := range mistakes {
		names = append(names, r.name)
	}
	n.nothingOf(names...)
}

// refuses makes all claims, then waits for the Event of each.
func (n namespace) refuses(all []refusal) {
	n.t.Helper()
	for _, r := range all {
		n.applyClaim(claim{Claim: r.name, Class: n.makeClass(r.name, r.parameters), Annotations: r.annotations, Selector: r.selector})
	}
	for _, r := range all {
		if r.within == 0 {
			r.within = claimDeadline
		}
		n.warned(r.name, r.says, r.within)
		if out := n.in("get", "pvc", r.name, "-o", "jsonpath={.status.phase}"); out != "Pending" {
			n.t.Errorf("claim %s is %s", r.name, out)
		}
	}
}

// nothingOf is for claims that were refused: nothing on the export has the name that the volume of one would have.
func (n namespace) nothingOf(claims ...string) {
	n.t.Helper()
	uids := strings.Fields(n.in("get", "pvc", "-o", `jsonpath={range .items[*]}{.metadata.name}={.metadata.uid}{"\n"}{end}`))
	there := n.export().list()
	for _, row := range uids {
		name, uid, _ := strings.Cut(row, "=")
		if left := there.about(uid); slices.Contains(claims, name) && len(left) > 0 {
			n.t.Errorf("claim %s was refused, and on the export there is %v", name, left)
		}
	}
}

// A second claim whose template gives a directory that is taken: by a volume, by its parents, by somebody's files.
func TestTakenDirectory(t *testing.T) {
	n := newNamespace(t, "taken")
	dir := n.name + "-dir"
	fixed := n.makeClass("first", map[string]string{"subDir": dir})
	n.applyClaim(claim{Claim: "first", Class: fixed})
	n.bound("first")
	n.export().sh("echo mine > " + dir + "/file; mkdir -p " + n.name + "-files && echo mine > " + n.name + "-files/file")
	n.applyClaim(claim{Claim: "second", Class: fixed})
	n.warned("second", dir, claimDeadline)
	n.refuses([]refusal{
		{name: "below", parameters: map[string]string{"subDir": dir + "/below"}, says: dir},
		{name: "files", parameters: map[string]string{"subDir": n.name + "-files"}, says: n.name + "-files"},
	})
	n.nothingOf("second", "below", "files")
	n.in("delete", "pvc", "second", "below", "files")
	if got := strings.Fields(n.export().sh("cat " + dir + "/file " + n.name + "-files/file; ls " + dir)); fmt.Sprint(got) != "[mine mine file]" {
		t.Errorf("the taken directories hold %v", got)
	}
}

// An export that is full, one that refuses us, and a server that accepts connections and never answers.
func TestBadServers(t *testing.T) {
	n := newNamespace(t, "servers")
	n.apply("bad-servers.yaml", nil)
	n.ready("bad-server")
	n.ready("silent")
	bad, silent := n.address("bad-server"), n.address("silent")
	n.refuses([]refusal{
		{name: "full", parameters: map[string]string{"server": bad, "share": "/full"}, says: "no space left"},
		{name: "closed", parameters: map[string]string{"server": bad, "share": "/closed"}, says: "(refuse|not exported|does not exist|permission)"},
		{name: "dead", parameters: map[string]string{"server": silent, "share": "/x"}, says: "not available|unreachable|no answer|timed out|deadline", within: 90 * time.Second},
	})
	n.eventually("nothing is on the exports but while a claim is tried again", goneDeadline, func() error {
		left, err := n.tryIn("exec", "bad-server", "--", "find", "/full", "/closed", "-name", "*pvc*")
		if err == nil && left != "" {
			err = fmt.Errorf("there is %s", left)
		}
		return err
	})
	n.mountFails("silent-volume", silent, "/x", "not available|unreachable|no answer|timed out|deadline|did not answer")
	n.mountFails("no-path", n.server, strings.TrimRight(n.share, "/")+"/no/such/directory", "no/such/directory")
}

func (n namespace) address(pod string) string {
	n.t.Helper()
	return strings.TrimSpace(n.in("get", "pod", pod, "-o", "jsonpath={.status.podIP}"))
}

// mountFails starts a pod with a static volume that cannot be mounted, and wants its Event; then the pod must go away.
func (n namespace) mountFails(name, server, share, says string) {
	n.t.Helper()
	n.apply("static.yaml", map[string]any{"Volume": n.class(name), "Claim": name, "Mode": "ReadWriteMany", "PVServer": server, "PVShare": share,
		"Handle": n.name + "/" + name, "Dir": "", "MountOptions": nil})
	n.applyPod(pod{Pod: name, Claim: name})
	n.warned(name, "("+says+")", 2*time.Minute)
	n.in("delete", "pod", name)
	n.gone("pod", name)
}
