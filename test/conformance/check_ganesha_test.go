//go:build !guest

package conformance

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/check"
	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// TestCheckGanesha looks at every kind of export that ganesha has here.
func TestCheckGanesha(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	all := []string{"ok reach 127.0.0.1:2049", "ok portmap NFS 3 on 2049", "ok versions the server has 4.2, 4.1, 4.0, 3", "ok exports " + g.Squashed,
		"ok ports any port (insecure)", "ok locks", "ok latency", "ok space", "ok inodes", "ok tls does not offer it"}
	for _, tt := range []struct {
		name, export string
		readOnly     bool
		result       check.Status
		want         []string
	}{
		{"root", g.Export, false, check.OK, slices.Concat(all, []string{"ok export version 4.2 opens it, and user 0", "ok write user 0", "ok squash no_root_squash",
			"ok chown", "ok clock agrees", "ok copies", "ok grace"})},
		{"root_squash", g.Squashed, false, check.Warn, slices.Concat(all, []string{"ok export user 1000", "ok write user 1000",
			"warn squash root_squash: the driver works as user 1000"})},
		{"all_squash", g.Nameless, false, check.Warn, slices.Concat(all, []string{"warn squash all_squash: whatever anybody makes belongs to user 1000"})},
		{"read-only", g.ReadOnly, false, check.Fail, []string{"fail export may write there", "fail export export it read-write", "ok space"}},
		{"read-only, to look", g.ReadOnly, true, check.Warn, []string{"warn export may write there", "ok space"}},
		{"for another client", g.Refused, false, check.Fail, []string{"fail export", "ok versions"}},
		{"pseudo root", "/", false, check.Fail, []string{"warn exports / is not among", "fail export pseudo root only", "ok space the server does not say"}},
		{"no export", "/nowhere/at/all", false, check.Fail, []string{"warn exports /nowhere/at/all is not among", "fail export does not exist on the server"}},
		{"root, to look", g.Export, true, check.OK, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := check.Run(t.Context(), check.Config{
				NFS: nfs.Config{Server: g.Host, Export: tt.export, Dial: g.Dial}, Timeout: checkTimeout, ReadOnly: tt.readOnly, TLS: noAuthorities,
			})
			if r.Result != tt.result {
				t.Errorf("result %s, want %s", r.Result, tt.result)
			}
			wantLines(t, r, tt.want...)
			if wrote := slices.ContainsFunc(r.Lines, func(l check.Line) bool { return l.Check == "write" }); wrote && tt.readOnly {
				t.Error("it wrote")
			}
			if strings.HasPrefix(tt.export, filepath.Dir(g.Export)) {
				wantNothing(t, tt.export)
			}
		})
	}
}

// TestCheckDirectories: whose the directory is and who may enter it matters where root is squashed, and only there.
func TestCheckDirectories(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for name, tt := range map[string]struct {
		above string
		uid   int
		mode  os.FileMode
		want  []string
	}{
		"squashed root's":  {g.Squashed, 0, 0o755, []string{"fail export with root_squash, let the directory belong to a user who is not root"}},
		"squashed, closed": {g.Squashed, nfsserver.SquashUID, 0o700, []string{"ok write user 1000", "warn squash may not enter the directory", "warn squash chmod o+x"}},
		"squashed, open":   {g.Squashed, nfsserver.SquashUID, 0o711, []string{"ok write user 1000", "warn squash whom the volumes will belong to"}},
		"closed":           {g.Export, 0, 0o700, []string{"ok write user 0", "ok squash no_root_squash", "ok chown"}},
	} {
		dir := filepath.Join(tt.above, name)
		if err := errors.Join(os.Mkdir(dir, tt.mode), os.Chown(dir, tt.uid, tt.uid)); err != nil {
			t.Fatal(err)
		}
		for _, v := range []nfs.Version{nfs.V42, nfs.V3} {
			config := nfs.Config{Server: g.Host, Export: dir, Dial: g.Dial, Versions: []nfs.Version{v}}
			wantLines(t, check.Run(t.Context(), check.Config{NFS: config, Timeout: checkTimeout}), tt.want...)
			wantNothing(t, dir)
		}
	}
	// What the warning says of nodes: they look the volume's directory up from above, as root.
	volume := filepath.Join(g.Squashed, "squashed, closed", "volume")
	if err := errors.Join(os.Mkdir(volume, 0o777), os.Chmod(volume, 0o777)); err != nil {
		t.Fatal(err)
	}
	if f, err := nfs.Open(t.Context(), nfs.Config{Server: g.Host, Export: volume, Dial: g.Dial, Versions: []nfs.Version{nfs.V42}}); !errors.Is(err, nfs.ErrRefused) {
		t.Errorf("nodes are let in: %v, %v", f, err)
	}
}

func noAuthorities() (*tls.Config, error) { return &tls.Config{}, nil }

// TestCheckVersions: a server of version 4 alone has no port mapper and no list of exports; mount options choose versions.
func TestCheckVersions(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	onlyFour := func(ctx context.Context, network, address string) (net.Conn, error) {
		if !strings.HasSuffix(address, ":2049") {
			return nil, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
		}
		return g.Dial(ctx, network, address)
	}
	r := check.Run(t.Context(), check.Config{NFS: nfs.Config{Server: g.Host, Export: g.Export, Dial: onlyFour}, Timeout: checkTimeout})
	wantLines(t, r, "ok portmap no port mapper", "ok versions the server has 4.2, 4.1, 4.0, not 3", "ok exports "+g.Export, "ok write")

	r = check.Run(t.Context(), check.Config{NFS: nfs.Config{Server: g.Host, Export: g.Export, Dial: g.Dial, Versions: []nfs.Version{nfs.V3}}, Timeout: checkTimeout})
	wantLines(t, r, "ok export version 3 opens it", "warn locks the server's port mapper does not know it either", "ok write")

	r = check.Run(t.Context(), check.Config{NFS: nfs.Config{Server: g.Host, Port: 2049, MountPort: 20048, Export: g.Export, Dial: g.Dial, Versions: []nfs.Version{nfs.V3}}, Timeout: checkTimeout})
	wantLines(t, r, "warn locks nolock")
	for _, l := range r.Lines {
		if strings.Contains(l.Text, "port mapper") {
			t.Errorf("nobody asked the port mapper: %+v", l)
		}
	}
}

// TestCheckTLS: offered and trusted, offered and not trusted, and a server that wants our certificate.
func TestCheckTLS(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	s := startSecured(t, g, nfsserver.StartTLS)
	config := s.config(nfs.V42)
	r := check.Run(t.Context(), check.Config{NFS: config, Timeout: checkTimeout, TLS: config.TLS})
	wantLines(t, r, "warn tls valid until", "ok export version 4.2", "ok write")

	config.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: s.authority.Pool()}, nil }
	r = check.Run(t.Context(), check.Config{NFS: config, Timeout: checkTimeout, TLS: config.TLS})
	wantLines(t, r, "fail export refuses our certificate, or wants one", "warn tls wants a certificate of ours")

	lone := nfsserver.StartFront(t, nfsserver.StartTLS, &tls.Config{
		Certificates: []tls.Certificate{s.authority.Issue(1000*time.Hour, "127.0.0.1")}, NextProtos: []string{"sunrpc"},
	}, g.Dial, net.JoinHostPort(g.Host, "2049"))
	open := nfs.Config{Server: lone.Host, Port: lone.Port, Export: g.Export}
	r = check.Run(t.Context(), check.Config{NFS: open, Timeout: checkTimeout, TLS: noAuthorities})
	wantLines(t, r, "warn tls with a certificate that is not trusted", "ok write")
	r = check.Run(t.Context(), check.Config{NFS: open, Timeout: checkTimeout, TLS: config.TLS})
	wantLines(t, r, "ok tls its certificate is trusted")
}
