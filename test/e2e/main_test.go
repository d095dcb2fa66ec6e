//go:build e2e

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
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
	if err := errors.Join(printVerdicts(os.Stdout), e.noneDenied()); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
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
	exports := []map[string]string{{"Name": "inside", "Server": e.server, "Share": e.share}}
	if e.outside != "" {
		exports = append(exports, map[string]string{"Name": "outside", "Server": e.outside, "Share": e.outShare})
	}
	text, err := filled("viewers.yaml", map[string]any{
		"Namespace": viewerNamespace, "Driver": e.driver, "Busybox": e.busybox, "Mark": ours, "Exports": exports,
	})
	if err != nil {
		return err
	}
	return e.start(text, viewerNamespace, "wait", "--for=condition=Ready", "pod", "--all")
}

// start applies a manifest and waits, by a kubectl command, until what it has in a namespace is there.
func (e environment) start(manifest, namespace string, wait ...string) error {
	ctx, cancel := contextFor(podDeadline)
	defer cancel()
	if _, err := e.run(ctx, manifest, "apply", "-f", "-"); err != nil {
		return err
	}
	_, err := e.run(ctx, "", append(append([]string{"-n", namespace}, wait...), "--timeout=150s")...)
	if err != nil {
		events, _ := e.run(context.WithoutCancel(ctx), "", "-n", namespace, "get", "events")
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
