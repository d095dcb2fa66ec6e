//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// skew is how far the clocks of the control plane, which dates the making of a pod, and of a node, which dates its being ready, may be
// apart, and what rounding to seconds adds.
const skew = 2 * time.Second

// Three pods start in order, each with a directory of its own.
func TestSmokeOrderedStatefulSet(t *testing.T) {
	n := newNamespace(t, "sts")
	n.apply("test-sts.yaml", nil)
	n.rolledOut("sts/test-sts")
	var before time.Time
	dirs := map[string]string{}
	for i := range 3 {
		name := fmt.Sprintf("test-sts-%d", i)
		created, ready := n.lifeOf(name)
		if created.Before(before.Add(-skew)) {
			t.Errorf("pod %s was made at %s, before the one before it was ready at %s", name, created, before)
		}
		before = ready
		v := n.bound("data-" + name)
		if v.Capacity != "20Mi" {
			t.Errorf("the volume of %s has %s", name, v.Capacity)
		}
		dirs[v.Dir] = name
	}
	if len(dirs) != 3 {
		t.Errorf("three pods have the directories %v", dirs)
	}
	n.eventually("every pod has written to its own directory", claimDeadline, func() error { return n.owners(dirs, "owner") })
}

// owners is an error unless file, in each directory of the export, holds the directory's value.
func (n namespace) owners(dirs map[string]string, file string) error {
	var script strings.Builder
	for dir, want := range dirs {
		fmt.Fprintf(&script, "grep -Hxq %q %q/%s || echo not in %[2]q; ", want, dir, file)
	}
	if out := n.export().sh(script.String()); out != "" {
		return errors.New(out)
	}
	return nil
}

// lifeOf is when a pod was made and when it became ready, in whole seconds as Kubernetes has it.
func (n namespace) lifeOf(pod string) (created, ready time.Time) {
	n.t.Helper()
	out := n.in("get", "pod", pod, "-o", `jsonpath={.metadata.creationTimestamp} {.status.conditions[?(@.type=="Ready")].lastTransitionTime}`)
	f := strings.Fields(out)
	var err error
	if len(f) == 2 {
		if created, err = time.Parse(time.RFC3339, f[0]); err == nil {
			ready, err = time.Parse(time.RFC3339, f[1])
		}
	}
	if len(f) != 2 || err != nil {
		n.t.Fatalf("pod %s: %q: %v", pod, out, err)
	}
	return created, ready
}

// What a pod wrote is there after the pod, and after the whole StatefulSet, was deleted.
func TestSmokeStatefulSetKeepsData(t *testing.T) {
	n := newNamespace(t, "web")
	two := map[string]any{"Replicas": 2}
	n.apply("web.yaml", two)
	n.rolledOut("sts/web")
	n.sh("web-0", "echo hello > /usr/share/nginx/html/1.txt")
	n.writeIndex(0, 1)
	before := n.uid("web-0")
	n.in("delete", "pod", "web-0")
	n.ready("web-0")
	if n.uid("web-0") == before {
		t.Error("web-0 was not replaced")
	}
	if got := strings.TrimSpace(n.sh("web-0", "cat /usr/share/nginx/html/1.txt")); got != "hello" {
		t.Errorf("after the pod was replaced, 1.txt holds %q", got)
	}
	n.in("delete", "sts", "web")
	n.gone("pods", "-l", "app=nginx")
	n.apply("web.yaml", two)
	n.rolledOut("sts/web")
	n.readIndex(0, 1)
}

func (n namespace) uid(pod string) string {
	n.t.Helper()
	return n.in("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
}

// writeIndex gives pods of web an index file that says whose it is.
func (n namespace) writeIndex(pods ...int) {
	n.t.Helper()
	for _, i := range pods {
		n.sh(fmt.Sprintf("web-%d", i), "hostname > /usr/share/nginx/html/index.html")
	}
}

// readIndex checks, over HTTP on the pod itself, that pods of web have their own index files.
func (n namespace) readIndex(pods ...int) {
	n.t.Helper()
	for _, i := range pods {
		name := fmt.Sprintf("web-%d", i)
		answer := n.sh(name, `printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc -w 5 127.0.0.1 80`)
		if got := answer[strings.LastIndex(strings.TrimSpace(answer), "\n")+1:]; strings.TrimSpace(got) != name {
			n.t.Errorf("pod %s serves the index file of %q", name, strings.TrimSpace(got))
		}
	}
}

// Scaling from 2 to 4 to 1 to 3: claims stay, and every pod finds its data again.
func TestScaleStatefulSet(t *testing.T) {
	n := newNamespace(t, "scale")
	n.apply("web.yaml", map[string]any{"Replicas": 2})
	n.rolledOut("sts/web")
	n.in("scale", "sts/web", "--replicas=4")
	n.rolledOut("sts/web")
	n.writeIndex(0, 1, 2, 3)
	volumes := n.in("get", "pvc", "-o", "custom-columns=C:.metadata.name,V:.spec.volumeName")
	n.in("scale", "sts/web", "--replicas=1")
	for _, pod := range []string{"web-3", "web-2", "web-1"} {
		n.gone("pod", pod)
	}
	n.in("scale", "sts/web", "--replicas=3")
	n.rolledOut("sts/web")
	n.readIndex(0, 1, 2)
	if now := n.in("get", "pvc", "-o", "custom-columns=C:.metadata.name,V:.spec.volumeName"); now != volumes {
		t.Errorf("claims were\n%sand are\n%s", volumes, now)
	}
	v := n.volumeOf("www-web-3")
	if got := strings.TrimSpace(n.export().sh("cat " + v.Dir + "/index.html")); got != "web-3" {
		t.Errorf("the data of web-3, which is scaled away, is %q", got)
	}
}

// Three pods that wait for each other start only because all are started at once; each finds the others by name.
func TestParallelStatefulSet(t *testing.T) {
	n := newNamespace(t, "mongo")
	n.apply("mongo.yaml", nil)
	n.rolledOut("sts/mongo")
	dirs := map[string]string{}
	for i := range 3 {
		name := fmt.Sprintf("mongo-%d", i)
		dirs[n.bound("mongo-persistent-storage-"+name).Dir] = name
	}
	if err := n.owners(dirs, "db/member"); err != nil || len(dirs) != 3 {
		t.Errorf("three pods have the directories %v: %v", dirs, err)
	}
	// The name stays when the address does not.
	peer := "mongo-0.mongo." + n.name + ".svc.cluster.local"
	n.in("delete", "pod", "mongo-0")
	n.ready("mongo-0")
	address := strings.TrimSpace(n.in("get", "pod", "mongo-0", "-o", "jsonpath={.status.podIP}"))
	n.eventually("mongo-1 resolves "+peer, goneDeadline, func() error {
		out, err := n.tryIn("exec", "mongo-1", "--", "nslookup", peer)
		if err == nil && !strings.Contains(out, address) {
			err = fmt.Errorf("it is at %s, and nslookup says %s", address, out)
		}
		return err
	})
}
