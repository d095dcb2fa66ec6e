package nfs

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

func TestOpenChecksItsConfig(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"no server": {Config{Export: "/e"}, "no server"},
		"zone":      {Config{Server: "fe80::1%eth0", Export: "/e"}, "zone"},
		"network":   {Config{Server: "s", Export: "/e", Network: "udp"}, "tcp6"},
		"export":    {Config{Server: "s", Export: "e"}, "absolute"},
		"version":   {Config{Server: "s", Export: "/e", Versions: []Version{7}}, "version"},
	} {
		test.config.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialled") }
		if _, err := Open(t.Context(), test.config); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpenDials: what is dialled, for which settings.
func TestOpenDials(t *testing.T) {
	trusting := func() (*tls.Config, error) { return &tls.Config{}, nil }
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"version 4":              {Config{Server: "2001:db8::1", Versions: []Version{V42}}, "tcp [2001:db8::1]:2049"},
		"version 4, port":        {Config{Server: "192.0.2.1", Port: 1234, Network: "tcp4", Versions: []Version{V40}}, "tcp4 192.0.2.1:1234"},
		"version 3":              {Config{Server: "192.0.2.1", Versions: []Version{V3}}, "tcp 192.0.2.1:111, tcp 192.0.2.1:2049"},
		"version 3, port":        {Config{Server: "192.0.2.1", Port: 1234, Versions: []Version{V3}}, "tcp 192.0.2.1:111, tcp 192.0.2.1:1234"},
		"version 3, both ports":  {Config{Server: "192.0.2.1", Port: 1234, MountPort: 5, Versions: []Version{V3}}, "tcp 192.0.2.1:1234"},
		"version 3, mount port":  {Config{Server: "192.0.2.1", MountPort: 5, Versions: []Version{V3}}, "tcp 192.0.2.1:111, tcp 192.0.2.1:2049"},
		"version 3, TLS":         {Config{Server: "192.0.2.1", TLS: trusting, Versions: []Version{V3}}, "tcp 192.0.2.1:2049"}, // no word in the clear
		"versions in their turn": {Config{Server: "192.0.2.1"}, "tcp 192.0.2.1:2049"},                                         // who is not there has no version
	} {
		var dialled []string
		test.config.Export = "/e"
		test.config.Dial = func(_ context.Context, network, address string) (net.Conn, error) {
			dialled = append(dialled, network+" "+address)
			return nil, syscall.ECONNREFUSED
		}
		if _, err := Open(t.Context(), test.config); !errors.Is(err, ErrUnreachable) || strings.Join(dialled, ", ") != test.want {
			t.Errorf("%s: dialled %v, want %s: %v", name, dialled, test.want, err)
		}
	}
}

// TestOpenWithoutTheVersion asks servers that have another one: those of RFC 5531 say which, and some that know version 3
// only answer every call as if it were one.
func TestOpenWithoutTheVersion(t *testing.T) {
	for name, answer := range map[string][]byte{
		"mismatch":    {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 9},
		"no program":  {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
		"RPC version": {0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 9},
	} {
		for _, v := range []Version{V3, V40, V41, V42} {
			c := Config{Server: "192.0.2.1", Port: 1, MountPort: 2, Export: "/e", Versions: []Version{v}}
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				go parrot(far, answer)
				return near, nil
			}
			if _, err := Open(t.Context(), c); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "none of the versions") {
				t.Errorf("%s, version %v: %v", name, v, err)
			}
		}
	}
}

// parrot answers every call with the same words, until the caller leaves.
func parrot(nc net.Conn, words []byte) {
	defer nc.Close()
	for {
		var head [8]byte // mark and xid
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			return
		}
		rest := int64(binary.BigEndian.Uint32(head[:])&^(1<<31)) - 4
		if _, err := io.CopyN(io.Discard, nc, rest); err != nil {
			return
		}
		answer := binary.BigEndian.AppendUint32(nil, 1<<31|uint32(4+len(words)))
		if _, err := nc.Write(slices.Concat(answer, head[4:], words)); err != nil {
			return
		}
	}
}

// doorkeeper says who may write, after squashing whom it squashes.
type doorkeeper struct {
	client
	squash  func(uid uint32) uint32
	writers []uint32
	err     error
}

func (d *doorkeeper) Access(_ context.Context, cred *rpc.Credential, want uint32) (uint32, error) {
	for _, w := range d.writers {
		if w == d.squash(cred.UID) {
			return want, d.err
		}
	}
	return 0, d.err
}

func TestIdentify(t *testing.T) {
	const nobody, owner = 65534, 1000
	nothing := func(uid uint32) uint32 { return uid }
	root := func(uid uint32) uint32 {
		if uid == 0 {
			return nobody
		}
		return uid
	}
	all := func(uint32) uint32 { return nobody }
	refused := &status.Error{Version: 4, Op: "ACCESS", Code: status.Perm}
	for _, tt := range []struct {
		name     string
		keeper   doorkeeper
		dir      file.Attr
		asOwner  bool
		writable bool
		as       uint32
		err      error
	}{
		{"root may", doorkeeper{squash: nothing, writers: []uint32{0, owner}}, file.Attr{UID: owner}, true, true, 0, nil},
		{"root is squashed", doorkeeper{squash: root, writers: []uint32{owner}}, file.Attr{UID: owner}, true, true, owner, nil},
		{"root is squashed, nobody asked", doorkeeper{squash: root, writers: []uint32{owner}}, file.Attr{UID: owner}, false, true, 0, nil},
		{"open to all", doorkeeper{squash: root, writers: []uint32{owner, nobody}}, file.Attr{UID: owner}, true, true, 0, nil},
		{"all are squashed", doorkeeper{squash: all, writers: []uint32{nobody}}, file.Attr{UID: nobody}, true, true, 0, nil},
		{"all are squashed, root's directory", doorkeeper{squash: all, writers: []uint32{0}}, file.Attr{UID: 0}, true, false, 0, nil},
		{"all are squashed, a user's directory", doorkeeper{squash: all, writers: []uint32{owner}}, file.Attr{UID: owner}, true, false, 0, nil},
		{"owner without a number", doorkeeper{squash: root, writers: []uint32{owner}}, file.Attr{UID: owner, OwnerNamed: true}, true, false, 0, nil},
		{"refused", doorkeeper{squash: nothing, err: refused}, file.Attr{}, true, false, 0, ErrRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &opening{FS: &FS{client: &tt.keeper}, config: Config{ActAsOwner: tt.asOwner}, dialer: &rpc.Dialer{}}
			writable, err := o.identify(t.Context(), &tt.dir)
			if writable != tt.writable || o.cred.UID != tt.as || !errors.Is(err, tt.err) {
				t.Errorf("writable %v as %d, %v", writable, o.cred.UID, err)
			}
			refusal := o.mustWrite(writable)
			if want := !tt.writable && tt.asOwner; errors.Is(refusal, ErrRefused) != want || want && !strings.Contains(refusal.Error(), "all_squash") {
				t.Errorf("refusal %v", refusal)
			}
		})
	}
}

// here is a connection from a port that a test chooses.
type here struct {
	net.Conn
	port int
}

func (h here) LocalAddr() net.Addr { return &net.TCPAddr{Port: h.port} }

// TestRefusalNamesThePort: who is refused is told what their source port may have to do with it.
func TestRefusalNamesThePort(t *testing.T) {
	for _, tt := range []struct {
		port  int
		ports SourcePorts
		want  string
	}{
		{40000, LowPortIfAllowed, "net.ipv4.ip_unprivileged_port_start"},
		{40000, AnyPort, "noresvport"},
		{700, LowPortIfAllowed, "controller.hostNetwork"},
	} {
		c := Config{Server: "192.0.2.1", DialTimeout: time.Minute, SourcePorts: tt.ports}
		c.Dial = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			far.Close()
			return here{near, tt.port}, nil
		}
		o := &opening{FS: &FS{}, config: c, dialer: c.dialer()}
		nc, err := o.dialer.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		err = o.explainWalk(&status.Error{Version: 3, Op: "MNT", Code: status.Access})
		if text := fmt.Sprint(err); !errors.Is(err, ErrRefused) || !strings.Contains(text, tt.want) || !strings.Contains(text, "'insecure'") ||
			!strings.Contains(text, fmt.Sprint("port ", tt.port)) {
			t.Errorf("from port %d: %v, want %q", tt.port, err, tt.want)
		}
	}
}

// TestHindrances: what is to be mended here, or at both ends, is no refusal of the server's, and yet final.
func TestHindrances(t *testing.T) {
	for _, kind := range []error{ErrTLS, ErrSourcePort} {
		err := classify(fmt.Errorf("opening: %w", kind))
		if !errors.Is(err, ErrRefused) || !errors.Is(err, kind) || errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "refuses us") {
			t.Errorf("%v", err)
		}
	}
	if err := classify(fmt.Errorf("calling: %w", rpc.ErrLost)); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a lost connection: %v", err)
	}
}
