//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// environment is the cluster that the tests run against, as the variables of the process name it.
type environment struct {
	kubectl  string // the command, KUBECONFIG is its own
	driver   string // name of the CSI driver
	system   string // namespace of the release
	busybox  string // image with a shell
	mariadb  string // image with MariaDB from Debian
	nfs      string // image of the in-cluster NFS server
	server   string // of the export in the cluster, as a StorageClass names it
	share    string
	outside  string // address of the NFS server that is no part of the cluster
	outShare string
	program  string // nfs-csi beside the tests, for what administrators run
	nodes    []string
}

// kept says to leave everything as it is after the tests.
func kept() bool { return os.Getenv("E2E_KEEP") != "" }

// here is the cluster, asked for once.
var here = sync.OnceValues(func() (environment, error) {
	e := environment{
		kubectl:  variable("KUBECTL", "kubectl"),
		driver:   variable("E2E_DRIVER", "nfs-csi.github.io"),
		system:   variable("E2E_NAMESPACE", "nfs-csi"),
		busybox:  variable("E2E_BUSYBOX", "nfs-csi.test/busybox:1"),
		mariadb:  variable("E2E_MARIADB", "nfs-csi.test/mariadb:1"),
		nfs:      variable("E2E_NFS_IMAGE", "nfs-csi.test/nfs-server:1"),
		server:   os.Getenv("E2E_SERVER"),
		share:    variable("E2E_SHARE", "/"),
		outside:  os.Getenv("E2E_OUTSIDE_SERVER"),
		program:  os.Getenv("E2E_PROGRAM"),
		outShare: variable("E2E_OUTSIDE_SHARE", "/"),
	}
	if e.server == "" {
		return e, fmt.Errorf("E2E_SERVER is not set: start the tests with test/e2e/run")
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandDeadline)
	defer cancel()
	out, err := e.run(ctx, "", "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")
	e.nodes = strings.Fields(out)
	return e, err
})

func variable(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// Deadlines. The nodes are emulated machines: a pod takes some seconds there.
const (
	commandDeadline = 2 * time.Minute
	claimDeadline   = time.Minute
	podDeadline     = 4 * time.Minute
	goneDeadline    = 2 * time.Minute
	pollInterval    = 500 * time.Millisecond
)
