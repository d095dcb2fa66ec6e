//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/template"
	"time"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.list"); f.Value.String() != "" {
		os.Exit(m.Run())
	}
	e, err := here()
	if err == nil {
		err = e.openViewers()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	code := m.Run()
	if !kept() {
		if err := e.sweep(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e: cleaning up:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// openViewers starts the pods that show the exports.
func (e environment) openViewers() error {
	text, err := manifests.ReadFile("testdata/viewers.yaml")
	if err != nil {
		return err
	}
	var out bytes.Buffer
	exports := []map[string]string{{"Name": "inside", "Server": e.server, "Share": e.share}}
	if e.outside != "" {
		exports = append(exports, map[string]string{"Name": "outside", "Server": e.outside, "Share": e.outShare})
	}
	err = template.Must(template.New("viewers").Parse(string(text))).Execute(&out, map[string]any{
		"Namespace": viewerNamespace, "Driver": e.driver, "Busybox": e.busybox, "Mark": ours, "Exports": exports,
	})
	if err != nil {
		return err
	}
	ctx, cancel := contextFor(podDeadline)
	defer cancel()
	if _, err := e.run(ctx, out.String(), "apply", "-f", "-"); err != nil {
		return err
	}
	_, err = e.run(ctx, "", "-n", viewerNamespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=150s")
	if err != nil {
		events, _ := e.run(context.WithoutCancel(ctx), "", "-n", viewerNamespace, "get", "events")
		err = fmt.Errorf("%w\n%s", err, events)
	}
	return err
}

// sweep removes all that the tests left: namespaces, then volumes kept by Retain, their classes and directories.
func (e environment) sweep() error {
	ctx, cancel := contextFor(3 * time.Minute)
	defer cancel()
	var trouble []error
	try := func(args ...string) string {
		out, err := e.run(ctx, "", args...)
		if err != nil {
			trouble = append(trouble, err)
		}
		return out
	}
	try("delete", "namespace", "-l", ours+"=yes", "--timeout=120s", "--ignore-not-found")
	rows := try("get", "pv", "-o", `jsonpath={range .items[*]}{.metadata.name} {.spec.claimRef.namespace}{"\n"}{end}`)
	for _, row := range strings.Split(rows, "\n") {
		if f := strings.Fields(row); len(f) == 2 && strings.HasPrefix(f[1], "e2e-") && f[1] != viewerNamespace {
			try("delete", "pv", f[0], "--wait=false")
		}
	}
	try("delete", "storageclass,volumeattributesclass", "-l", ours+"=yes", "--ignore-not-found")
	if kinds := try("api-resources", "--api-group=snapshot.storage.k8s.io", "-o", "name"); strings.Contains(kinds, "volumesnapshotclasses") {
		try("delete", "volumesnapshotclass", "-l", ours+"=yes", "--ignore-not-found")
	}
	try("delete", "pv", "-l", ours+"=yes", "--ignore-not-found", "--wait=false")
	for _, pod := range strings.Fields(try("-n", viewerNamespace, "get", "pods", "-o", "jsonpath={.items[*].metadata.name}")) {
		try("-n", viewerNamespace, "exec", pod, "--", "sh", "-c", "cd /export && rm -rf *e2e-* .nfs-csi/volumes/* .nfs-csi/directories/*")
	}
	try("delete", "namespace", viewerNamespace, "--timeout=60s")
	try("delete", "pv", "-l", ours+"=viewer", "--ignore-not-found")
	return errors.Join(trouble...)
}
