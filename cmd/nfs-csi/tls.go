package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// tlsFiles are the PEM files for servers that are reached with xprtsec=tls or mtls. They are read for each connection, so
// that whoever renews them (cert-manager, a Secret's volume) need not restart anything.
type tlsFiles struct {
	ca        string // authorities that servers may be signed by; "": the machine's
	cert, key string // ours, for mtls
}

func (t *tlsFiles) add(f *pflag.FlagSet) {
	f.StringVar(&t.ca, "tls-ca", os.Getenv("NFS_TLS_CA"), "PEM file of the authorities that may sign NFS servers, for mount options xprtsec=tls and mtls (environment: NFS_TLS_CA; default: the machine's)")
	f.StringVar(&t.cert, "tls-cert", os.Getenv("NFS_TLS_CERT"), "PEM file of the certificate shown to NFS servers, for mount option xprtsec=mtls (environment: NFS_TLS_CERT)")
	f.StringVar(&t.key, "tls-key", os.Getenv("NFS_TLS_KEY"), "PEM file of its key (environment: NFS_TLS_KEY)")
}

// check finds files that cannot be used, while somebody looks.
func (t *tlsFiles) check() error {
	if (t.cert == "") != (t.key == "") {
		return errors.New("--tls-cert and --tls-key go together: give both or none")
	}
	_, err := t.settings(t.cert != "")
	return err
}

// given: somebody has told this process whom to trust, or who it is.
func (t *tlsFiles) given() bool { return t.ca != "" || t.cert != "" }

// source is [nfs.Config].TLS; mutual: our certificate is shown.
func (t *tlsFiles) source(mutual bool) (func() (*tls.Config, error), error) {
	if mutual && t.cert == "" {
		return nil, fmt.Errorf("%w: mount option xprtsec=mtls needs a certificate of this process: start it with --tls-cert and --tls-key, or use xprtsec=tls", volume.ErrInvalid)
	}
	return func() (*tls.Config, error) { return t.settings(mutual) }, nil
}

func (t *tlsFiles) settings(mutual bool) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS13}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("reading --tls-ca: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--tls-ca: %s holds no certificate in PEM form", t.ca)
		}
	}
	if mutual {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("reading --tls-cert and --tls-key: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return settings, nil
}
