package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// soon is when a certificate that ends is worth a word.
const soon = 14 * 24 * time.Hour

// shake is what one handshake showed.
type shake struct {
	mu       sync.Mutex
	seen     bool
	until    time.Time // of the server's certificate
	distrust error     // why it is not trusted
}

// encryption asks for TLS, and looks at the server's certificate. The handshake is let pass whoever the server is, so that
// "has none" and "is not trusted" are two answers; nothing is told to a server that is not trusted but how a version begins.
func (c *checker) encryption(ctx context.Context) bool {
	if c.TLS == nil {
		return true
	}
	var s shake
	config := c.NFS
	config.ActAsOwner = false
	config.TLS = func() (*tls.Config, error) { return s.watch(c.TLS, c.NFS.Server) }
	if c.fs != nil {
		config.Versions = []nfs.Version{c.fs.Version()}
	}
	f, err := nfs.Open(ctx, config)
	if err == nil {
		f.Close()
	}
	c.found(s.line(err, c))
	return true
}

// watch is settings that let every certificate pass and remember what there is to say of it.
func (s *shake) watch(settings func() (*tls.Config, error), server string) (*tls.Config, error) {
	config, err := settings()
	if err != nil {
		return nil, err
	}
	name := config.ServerName
	if name == "" {
		name = server
	}
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen, s.until = true, state.PeerCertificates[0].NotAfter
		above := x509.NewCertPool()
		for _, certificate := range state.PeerCertificates[1:] {
			above.AddCert(certificate)
		}
		_, s.distrust = state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: name, Roots: config.RootCAs, Intermediates: above})
		return nil
	}
	return config, nil
}

func (s *shake) line(err error, c *checker) Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := Line{Check: "tls", Status: OK, Data: map[string]any{"offered": s.seen, "verified": s.seen && s.distrust == nil}}
	switch {
	case !s.seen && c.NFS.TLS != nil:
		l.Status, l.Text, l.Fix = Fail, c.short(err), fixOf(err)
	case !s.seen && errors.Is(err, nfs.ErrTLS):
		l.Text = "the server does not offer it: what is read and written can be seen on the way"
	case !s.seen:
		l.Text = "whether the server offers it is not clear"
	case s.distrust != nil:
		l.Status, l.Text = Warn, "the server offers it, with a certificate that is not trusted: "+s.distrust.Error()
		l.Fix = "name the authority that signed it with --tls-ca (chart: tls.secretName), and use one of the names in it as the server"
	case errors.Is(err, nfs.ErrTLS):
		l.Status, l.Text, l.Fix = Warn, "the server offers it, and wants a certificate of ours", "give it one that it trusts: --tls-cert and --tls-key (chart: tls.mutual), with mount option xprtsec=mtls"
	case time.Until(s.until) < soon:
		l.Status, l.Text, l.Fix = Warn, fmt.Sprintf("the server's certificate is valid until %s only", s.until.UTC().Format(time.RFC3339)), "renew it"
	default:
		l.Text = fmt.Sprintf("the server offers it, and its certificate is trusted and valid until %s", s.until.UTC().Format(time.DateOnly))
	}
	return l
}
