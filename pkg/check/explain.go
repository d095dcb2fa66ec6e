package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// fixes is what to do about errors of reaching a server, of opening an export and of writing to it. The first match counts.
var fixes = [...]struct {
	cause error
	fix   string
}{
	{nfs.ErrSourcePort, "run this with ports below 1024 allowed (sysctl net.ipv4.ip_unprivileged_port_start=512, or as root), or without mount option resvport"},
	{nfs.ErrTLS, "the server needs RPC-with-TLS and a certificate that --tls-ca has signed (chart: tls.secretName), or remove mount option xprtsec"},
	{nfs.ErrVersion, "name a version that the server has: mount option vers="},
	{nfs.ErrGrace, "wait for its end, 90 s by default, and try again"},
	{syscall.EROFS, "export the directory with rw"},
	{syscall.ENOSPC, "make room on the server"},
	{syscall.EDQUOT, "raise the quota on the server"},
	{nfs.ErrRefused, "export the directory to this client's address with rw and sec=sys, such as: /path CLIENT(rw,no_root_squash,no_subtree_check)"},
	{fs.ErrPermission, "let the directory on the server belong to the user that the server makes of us, or export it with no_root_squash"},
	{fs.ErrNotExist, "name an exported directory (see exports), and export it to this client's address: servers hide exports from those they do not admit"},
	{syscall.ENOTDIR, "name a directory"},
	{syscall.ECONNREFUSED, "start the NFS server, or name its port: mount option port="},
	{syscall.EHOSTUNREACH, noRoute},
	{syscall.ENETUNREACH, noRoute},
	{nfs.ErrUnreachable, "look at the server's load and log, and at the network"},
	{context.DeadlineExceeded, "look at the server's load and log, and at the network"},
}

const noRoute = "check the address and the routes to it"

func fixOf(err error) string {
	for _, f := range fixes {
		if errors.Is(err, f.cause) {
			return f.fix
		}
	}
	return "look into the server's log"
}

// short is an error without what the line says anyway.
func (c *checker) short(err error) string {
	text := err.Error()
	for _, prefix := range []string{"opening " + c.NFS.Server + ":" + c.NFS.Export + ": ", "server refuses us: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return strings.Replace(text, context.DeadlineExceeded.Error(), fmt.Sprintf("no answer within %v", c.Timeout), 1)
}
