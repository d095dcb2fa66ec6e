// Package nfs is an NFS client in user space that makes, reads, moves and removes directories on an export.
//
// It needs no mount and no privilege, obeys contexts, and speaks the words of io/fs. One FS is one connection that any
// number of goroutines share and that is made again when it is lost; what was under way then is finished exactly once
// where the protocol can promise it (a 4.1 session that survived), and otherwise settled by looking.
//
// # Which directory an export is
//
// With version 4 a server shows its exports below a pseudo root, and may answer for the directory underneath when a client
// may not use the export that belongs there. Creating volumes in that directory would put them beside the export. Open
// therefore asks the server (ACCESS) whether anybody may write to the directory, we or its owner: a pseudo root never
// lets anybody. A directory that nobody may write to matches ErrRefused when Config.ActAsOwner is set, as for making
// volumes; without ActAsOwner it passes, because it may be a read-only export, or a directory whose owner has taken his own
// right to write, that is to be mounted. A path that LOOKUP does not find matches fs.ErrNotExist: servers also hide exports
// that do not admit the client.
//
// One case cannot be told apart by the protocol: a writable root export (fsid=0) that has another export, not admitting
// us, mounted below it on the same path.
package nfs

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
)

// Version is a version of the protocol.
type Version int

// The versions this client speaks.
const (
	V3  Version = 30
	V40 Version = 40
	V41 Version = 41
	V42 Version = 42
)

func (v Version) String() string {
	if v == V3 {
		return "3"
	}
	return fmt.Sprintf("%d.%d", int(v)/10, int(v)%10)
}

// ParseVersion reads "3", "4.0", "4.1", "4.2", and "4", which is 4.2.
func ParseVersion(s string) (Version, error) {
	switch s {
	case "3":
		return V3, nil
	case "4.0":
		return V40, nil
	case "4.1":
		return V41, nil
	case "4.2", "4":
		return V42, nil
	}
	return 0, fmt.Errorf("NFS version %q is not one of 3, 4.0, 4.1, 4.2: %w", s, fs.ErrInvalid)
}

// Credential is whom calls are made as (AUTH_SYS). The zero value is root.
type Credential struct {
	UID, GID uint32
	Groups   []uint32 // at most 16 reach the server
}

func (c Credential) rpc() rpc.Credential {
	return rpc.Credential{UID: c.UID, GID: c.GID, Groups: c.Groups}
}

// SourcePorts says from which ports of this machine servers are called.
type SourcePorts = rpc.SourcePorts

// The values of SourcePorts. Servers take a port below 1024 for a sign of root, and most exports admit no other ("secure").
const (
	LowPortIfAllowed = rpc.LowIfAllowed // below 1024 where this process may have one
	LowPort          = rpc.LowOnly      // below 1024, as mount option resvport says
	AnyPort          = rpc.AnyPort      // noresvport
)

// Config says which export to open, and how.
type Config struct {
	// Server is a host name or an address, IPv6 without brackets and without a zone, which means something on one machine
	// only. Of a name's addresses the first that answers is used, and another one when that does no longer.
	Server string
	Export string // absolute path, e.g. "/exports/k8s"

	Address string // of the server, called instead of those that Server has; certificates and errors are for Server all the same

	Versions []Version // tried in this order; empty: 4.2, 4.1, 4.0, 3
	// Port and MountPort are those of NFS and of MOUNT, which only version 3 uses. 0: 2049, and what the port mapper says for
	// version 3, or else 2049 for NFS and the same port or 20048 for MOUNT. With both given no port mapper is asked.
	Port, MountPort int
	Network         string      // "tcp4" or "tcp6": addresses of that kind only
	SourcePorts     SourcePorts // low ones where they are allowed, unless set

	// TLS returns the settings of the next connection, which RPC-with-TLS (RFC 9289) then protects: TLS 1.3 with ALPN
	// "sunrpc" on the usual port, the server's certificate verified for Server unless ServerName is set, and ours shown
	// where one is given. It is asked for each connection, so that certificates can be replaced, and by several goroutines.
	// What the server cannot protect fails with ErrTLS, and nothing is ever sent in the clear: with version 3 the port
	// mapper, which has no TLS anywhere, is not asked, and MOUNT must have TLS too. nil: everything is in the clear.
	TLS func() (*tls.Config, error)

	Credential Credential // root unless set
	// ActAsOwner makes everything happen as the owner of the export's root directory where Credential may not write
	// there, as on an export that squashes root. Where the owner may not either, Open fails with ErrRefused.
	ActAsOwner bool

	// CompareCopies has CopyTree read every file and its copy once more, and compare them: three times the traffic, four where
	// the server would have shared the content. What others change meanwhile is left out of it.
	CompareCopies bool

	// DialTimeout bounds one attempt to connect (default 5 s). CallTimeout is how long a connection that owes us answers
	// may be silent before it is given up and the calls are sent again on a new one (default 10 s). Contexts always win.
	DialTimeout, CallTimeout time.Duration

	Dial    func(ctx context.Context, network, address string) (net.Conn, error)            // replaces the network, in tests
	Lookup  func(ctx context.Context, network, host string) (found []netip.Addr, err error) // replaces DNS, in tests
	Log     *slog.Logger                                                                    // nil: nothing is logged
	Observe func(op string, d time.Duration, err error)                                     // called after every method, may be nil
}

const (
	defaultDialTimeout = 5 * time.Second
	defaultCallTimeout = 10 * time.Second
	defaultPort        = 2049
	nfsProgram         = 100003
)

func (c Config) withDefaults() Config {
	if len(c.Versions) == 0 {
		c.Versions = []Version{V42, V41, V40, V3}
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = defaultCallTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = func(string, time.Duration, error) {}
	}
	return c
}

// check finds what no server can be reached by.
func (c Config) check() error {
	switch {
	case c.Server == "":
		return fmt.Errorf("no server given: %w", fs.ErrInvalid)
	case strings.Contains(c.Server, "%"):
		return fmt.Errorf("address %q has a zone, which means something on one machine only (give the server another address): %w", c.Server, fs.ErrInvalid)
	case c.Network != "" && c.Network != "tcp4" && c.Network != "tcp6":
		return fmt.Errorf("network %q is not tcp4 or tcp6: %w", c.Network, fs.ErrInvalid)
	}
	return nil
}

// dialer leads to a server's port for version 4.
func (c Config) dialer() *rpc.Dialer {
	port := c.Port
	if port == 0 {
		port = defaultPort
	}
	return &rpc.Dialer{
		Host: c.Server, Address: c.Address, Port: port, Timeout: c.DialTimeout, Network: c.Network, Source: c.SourcePorts,
		TLS: c.TLS, Program: nfsProgram, Version: 4, Memory: new(rpc.Memory), Dial: c.Dial, Lookup: c.Lookup,
	}
}
