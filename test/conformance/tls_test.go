//go:build !guest

package conformance

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/nfstest"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// secured is ganesha behind fronts that want certificates of one authority.
type secured struct {
	authority  *nfsserver.Authority
	nfs, mount *nfsserver.Front
	g          *nfsserver.Ganesha
}

func startSecured(t *testing.T, g *nfsserver.Ganesha, does nfsserver.FrontAct) *secured {
	s := &secured{authority: nfsserver.NewAuthority(t), g: g}
	server := &tls.Config{
		Certificates: []tls.Certificate{s.authority.Issue(time.Hour, "127.0.0.1")},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: s.authority.Pool(), NextProtos: []string{"sunrpc"},
	}
	s.nfs = nfsserver.StartFront(t, does, server, g.Dial, net.JoinHostPort(g.Host, "2049"))
	s.mount = nfsserver.StartFront(t, does, server, g.Dial, net.JoinHostPort(g.Host, "20048"))
	t.Cleanup(func() {
		if n := s.nfs.Clear() + s.mount.Clear(); n > 0 {
			t.Errorf("%d calls were made in the clear", n)
		}
	})
	return s
}

func (s *secured) config(v nfs.Version) nfs.Config {
	settings := &tls.Config{RootCAs: s.authority.Pool(), Certificates: []tls.Certificate{s.authority.Issue(time.Hour, "client")}}
	return nfs.Config{
		Server: s.nfs.Host, Port: s.nfs.Port, MountPort: s.mount.Port, Export: s.g.Export, Versions: []nfs.Version{v}, ActAsOwner: true,
		TLS: func() (*tls.Config, error) { return settings, nil },
	}
}

// TestTLS runs the contract over mutual TLS, with one connection and with several services to protect. TestTLSLost uses the
// other versions.
func TestTLS(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range []nfs.Version{nfs.V42, nfs.V3} {
		t.Run("v"+v.String(), func(t *testing.T) {
			s := startSecured(t, g, nfsserver.StartTLS)
			nfstest.Run(t, func(t *testing.T) nfstest.FS { return open(t, s.config(v)) }, nfstest.NoLinkTimes)
		})
	}
}

// TestTLSLost: what a lost connection interrupts goes on over a new one that is protected too.
func TestTLSLost(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			s := startSecured(t, g, nfsserver.StartTLS)
			f := open(t, s.config(v))
			for _, name := range []string{"a" + v.String(), "b" + v.String(), "c" + v.String()} {
				s.nfs.Cut()
				if err := f.Mkdir(t.Context(), name, 0o755, -1, -1); err != nil {
					t.Errorf("Mkdir %s: %v", name, err)
				}
			}
		})
	}
}

// TestTLSRefused: servers without TLS are real ones, but for those that somebody pretends to be.
func TestTLSRefused(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	old := nfsserver.StartGoNFS(t)
	settings := func() (*tls.Config, error) { return &tls.Config{RootCAs: nfsserver.NewAuthority(t).Pool()}, nil }
	check := func(name string, c nfs.Config, text string) {
		t.Run(name+" v"+c.Versions[0].String(), func(t *testing.T) {
			err := nfs.Probe(t.Context(), c)
			if !errors.Is(err, nfs.ErrTLS) || !errors.Is(err, nfs.ErrRefused) || errors.Is(err, nfs.ErrUnreachable) || !strings.Contains(err.Error(), text) {
				t.Errorf("got %v, want %q", err, text)
			}
		})
	}
	for _, v := range versions {
		check("ganesha", nfs.Config{Server: g.Host, Export: g.Export, Versions: []nfs.Version{v}, Dial: g.Dial, TLS: settings}, "does not offer it")
		stripped := startSecured(t, g, nfsserver.Accept).config(v)
		check("stripped on the way", stripped, "answers without STARTTLS")
	}
	check("go-nfs", nfs.Config{Server: old.Host, Port: old.Port, MountPort: old.Port, Export: "/", Versions: []nfs.Version{nfs.V3}, TLS: settings}, "does not offer it")
	// MOUNT in the clear could lead to another directory: somebody on the way answers, and we remove.
	c := startSecured(t, g, nfsserver.StartTLS).config(nfs.V3)
	c.MountPort = startSecured(t, g, nfsserver.Deny).mount.Port
	check("MOUNT without", c, "vers=4")
}
