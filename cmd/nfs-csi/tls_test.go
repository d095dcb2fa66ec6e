package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// secureServer is a server that wants certificates of its authority, and the mount options that lead to it.
func secureServer(t *testing.T, does nfsserver.FrontAct, authority *nfsserver.Authority, auth tls.ClientAuthType) []string {
	f := nfsserver.FrontOf(t, does, &tls.Config{
		Certificates: []tls.Certificate{authority.Issue(time.Hour, "127.0.0.1", "nas.example.com")}, ClientAuth: auth, ClientCAs: authority.Pool(),
	}, nfsserver.StartGoNFS(t))
	t.Cleanup(func() {
		if f.Clear() > 0 {
			t.Errorf("%d calls were made in the clear", f.Clear())
		}
	})
	return []string{"vers=3", fmt.Sprintf("port=%d,mountport=%d", f.Port, f.Port)}
}

// TestTLS makes a directory on a server by what files and mount options say.
func TestTLS(t *testing.T) {
	authority, other := nfsserver.NewAuthority(t), nfsserver.NewAuthority(t)
	dir := t.TempDir()
	ca := authority.WritePool(dir)
	cert, key := authority.WritePair(dir, authority.Issue(time.Hour, "controller"))
	both := tlsFiles{ca: ca, cert: cert, key: key}
	for _, test := range []struct {
		name   string
		does   nfsserver.FrontAct
		auth   tls.ClientAuthType
		files  tlsFiles
		option string
		want   string // in an error that is ErrRefused; "" for none
	}{
		{"tls", nfsserver.StartTLS, tls.NoClientCert, tlsFiles{ca: ca}, "xprtsec=tls", ""},
		{"mtls", nfsserver.StartTLS, tls.RequireAndVerifyClientCert, both, "xprtsec=mtls", ""},
		{"tls where mtls is needed", nfsserver.StartTLS, tls.RequireAndVerifyClientCert, both, "xprtsec=tls", "xprtsec=mtls"},
		{"authority not told", nfsserver.StartTLS, tls.NoClientCert, tlsFiles{}, "xprtsec=tls", "--tls-ca"},
		{"other authority", nfsserver.StartTLS, tls.NoClientCert, tlsFiles{ca: other.WritePool(t.TempDir())}, "xprtsec=tls", "--tls-ca"},
		{"stripped by somebody", nfsserver.Accept, tls.NoClientCert, both, "xprtsec=mtls", "does not offer it"},
		{"server without", nfsserver.Deny, tls.NoClientCert, both, "xprtsec=tls", "remove xprtsec"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testClient()
			c.tls = test.files
			options := append(secureServer(t, test.does, authority, test.auth), test.option)
			fs, closer, err := c.open(t.Context(), volume.Location{Server: "127.0.0.1", Share: "/"}, options)
			if err == nil {
				defer closer.Close()
				err = fs.Mkdir(t.Context(), "made", 0o755, -1, -1)
			}
			if (err == nil) != (test.want == "") || err != nil && (classify(err) != volume.ErrRefused || !errors.Is(err, nfs.ErrTLS) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestTLSFilesAreReadAgain: certificates are renewed while the process runs.
func TestTLSFilesAreReadAgain(t *testing.T) {
	old, renewed := nfsserver.NewAuthority(t), nfsserver.NewAuthority(t)
	dir := t.TempDir()
	c := testClient()
	c.tls = tlsFiles{ca: old.WritePool(dir)}
	options := append(secureServer(t, nfsserver.StartTLS, renewed, tls.NoClientCert), "xprtsec=tls")
	config, err := c.config("127.0.0.1", "/", options)
	if err != nil {
		t.Fatal(err)
	}
	if err := nfs.Probe(t.Context(), config); !errors.Is(err, nfs.ErrTLS) {
		t.Fatalf("before: %v", err)
	}
	renewed.WritePool(dir)
	if err := nfs.Probe(t.Context(), config); err != nil {
		t.Errorf("after: %v", err)
	}
}

// TestPreflightWithTLS judges what it was told how to judge, and leaves the rest to the kernel.
func TestPreflightWithTLS(t *testing.T) {
	authority := nfsserver.NewAuthority(t)
	options := append(secureServer(t, nfsserver.StartTLS, authority, tls.NoClientCert), "xprtsec=tls")
	for want, files := range map[error]tlsFiles{nil: {ca: authority.WritePool(t.TempDir())}, volume.ErrRefused: {ca: nfsserver.NewAuthority(t).WritePool(t.TempDir())}} {
		c := testClient()
		c.tls = files
		if err := c.preflight(t.Context(), "127.0.0.1", "/", options); !errors.Is(err, want) {
			t.Errorf("error %v, not %v", err, want)
		}
	}
	if err := testClient().preflight(t.Context(), "127.0.0.1", "/", options); err != nil {
		t.Errorf("without files: %v", err)
	}
	c := testClient()
	c.tls = tlsFiles{ca: authority.WritePool(t.TempDir())}
	for server, want := range map[string]error{"nas.example.com": nil, "other.example.com": volume.ErrRefused} { // the certificate is for the name
		if err := c.preflight(t.Context(), server, "/", append(options, "addr=127.0.0.1")); !errors.Is(err, want) {
			t.Errorf("%s: error %v, not %v", server, err, want)
		}
	}
}

func TestTLSFilesAreChecked(t *testing.T) {
	authority, dir := nfsserver.NewAuthority(t), t.TempDir()
	ca := authority.WritePool(dir)
	cert, key := authority.WritePair(dir, authority.Issue(time.Hour, "controller"))
	_, stranger := authority.WritePair(t.TempDir(), authority.Issue(time.Hour, "controller"))
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ ca, cert, key, want string }{
		{"", "", "", ""},
		{ca, "", "", ""},
		{ca, cert, key, ""},
		{"", cert, "", "go together"},
		{"", "", key, "go together"},
		{empty, "", "", "no certificate"},
		{"/does/not/exist", "", "", "--tls-ca"},
		{ca, cert, stranger, "--tls-cert"},
		{ca, empty, key, "--tls-cert"},
	} {
		files := tlsFiles{ca: test.ca, cert: test.cert, key: test.key}
		if err := files.check(); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	for _, role := range [][]string{{"controller", "--csi-only"}, {"node", "--node-id=n"}} {
		if err := run(t.Context(), append(role, "--tls-ca="+empty), strings.NewReader(""), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "--tls-ca") {
			t.Errorf("%v started: %v", role, err)
		}
	}
}

func TestTLSFilesFromTheEnvironment(t *testing.T) {
	t.Setenv("NFS_TLS_CA", "/ca")
	t.Setenv("NFS_TLS_CERT", "/cert")
	t.Setenv("NFS_TLS_KEY", "/key")
	for _, c := range []string{"tls-ca", "tls-cert", "tls-key"} {
		if got, want := nodeCommand().Flag(c).Value.String(), "/"+strings.TrimPrefix(c, "tls-"); got != want {
			t.Errorf("--%s is %q", c, got)
		}
	}
}
