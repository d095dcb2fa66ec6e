package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

func TestConfigFromMountOptions(t *testing.T) {
	c, err := testClient().config("server", "/share", []string{"vers=4.1,port=1234", "mountport=5", "proto=tcp6", "noresvport", "hard"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Versions, []nfs.Version{nfs.V41}) || c.Port != 1234 || c.MountPort != 5 || c.Network != "tcp6" || c.SourcePorts != nfs.AnyPort ||
		c.Server != "server" || c.Export != "/share" || !c.ActAsOwner || c.TLS != nil {
		t.Errorf("%+v", c)
	}
	if c, err := testClient().config("server", "/share", []string{"proto=rdma,port=20049"}); err != nil || c.Port != 0 {
		t.Errorf("the port of RDMA is taken for one of TCP: %d, %v", c.Port, err)
	}
	for _, secure := range []string{"xprtsec=tls", "xprtsec=none,xprtsec=tls"} {
		if c, err := testClient().config("server", "/share", []string{secure}); err != nil || c.TLS == nil {
			t.Errorf("%s: no TLS, %v", secure, err)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	cases := map[string]struct{ server, options, want string }{
		"version":                {"server", "vers=5", "4.2"},
		"Kerberos":               {"server", "sec=krb5p", "sec=sys"},
		"no certificate of ours": {"server", "xprtsec=mtls", "--tls-cert"},
		"zone":                   {"fe80::1%eth0", "", "another address"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := testClient().config(test.server, "/share", []string{test.options})
			if !errors.Is(err, volume.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}

// What leads to a server in another way has another name, what is the kernel's alone has not.
func TestRouteName(t *testing.T) {
	plain := routeName(nil)
	for _, same := range [][]string{{}, {"hard", "noatime"}, {"sec=sys"}, {"nconnect=4,timeo=600"}} {
		if got := routeName(same); got != plain {
			t.Errorf("%q: %s", same, got)
		}
	}
	names := map[string][]string{plain: nil}
	for _, other := range [][]string{{"vers=3"}, {"vers=4.1"}, {"port=2050"}, {"xprtsec=tls"}, {"xprtsec=mtls"}, {"sec=krb5p"}, {"noresvport"}, {"vers=9"}, {"addr=192.0.2.1"}} {
		name := routeName(other)
		if before, taken := names[name]; taken {
			t.Errorf("%q and %q are both %s", other, before, name)
		}
		names[name] = other
	}
}

func TestClassify(t *testing.T) {
	for err, want := range map[error]error{nfs.ErrUnreachable: volume.ErrUnavailable, nfs.ErrGrace: volume.ErrUnavailable, nfs.ErrRefused: volume.ErrRefused, fs.ErrExist: nil} {
		if got := classify(fmt.Errorf("around: %w", err)); got != want {
			t.Errorf("%v is %v", err, got)
		}
	}
}

func TestPreflight(t *testing.T) {
	server := nfsserver.StartGoNFS(t)
	here := options(server)
	cases := map[string]struct {
		path    string
		options []string
		want    error
	}{
		"there":                  {"/", here, nil},
		"nobody there":           {"/", []string{"vers=3,port=1,mountport=1"}, volume.ErrUnavailable},
		"there, kerberos":        {"/", []string{fmt.Sprintf("vers=4.2,port=%d,sec=krb5p", server.Port)}, nil},
		"nobody there, kerberos": {"/", []string{"vers=4.2,port=1,sec=krb5p"}, volume.ErrUnavailable},
		"nobody there, TLS":      {"/", []string{"vers=4.2,port=1,xprtsec=tls"}, volume.ErrUnavailable},
		"nobody there, RDMA":     {"/", []string{"vers=4.2,port=1,proto=rdma"}, nil},
		"nobody there, mTLS":     {"/", []string{"vers=4.2,port=1,xprtsec=mtls"}, volume.ErrUnavailable},
		"nobody there, sys":      {"/", []string{"vers=4.2,port=1,sec=sys,proto=tcp"}, volume.ErrUnavailable},
		"bad option":             {"/", []string{"port=x"}, volume.ErrInvalid},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if err := testClient().preflight(t.Context(), server.Host, test.path, test.options); !errors.Is(err, test.want) {
				t.Errorf("error %v, not %v", err, test.want)
			}
		})
	}
}

// TestPreflightFollowsAddr: the machine that is asked is the one that is mounted from.
func TestPreflightFollowsAddr(t *testing.T) {
	server := nfsserver.StartGoNFS(t)
	there, elsewhere := append(options(server), "addr="+server.Host), append(options(server), "addr=127.0.0.9")
	kerberos := func(addr string) []string {
		return []string{fmt.Sprintf("port=%d,sec=krb5", server.Port), "addr=" + addr}
	}
	for _, test := range []struct {
		server  string
		options []string
		want    error
	}{
		{"nas.invalid", there, nil}, {server.Host, elsewhere, volume.ErrUnavailable},
		{"nas.invalid", kerberos(server.Host), nil}, {server.Host, kerberos("127.0.0.9"), volume.ErrUnavailable},
	} {
		if err := testClient().preflight(t.Context(), test.server, "/", test.options); !errors.Is(err, test.want) {
			t.Errorf("%s %q: error %v, not %v", test.server, test.options, err, test.want)
		}
	}
}

// TestPreflightLeavesZones: an address with a zone is the kernel's business.
func TestPreflightLeavesZones(t *testing.T) {
	if err := testClient().preflight(t.Context(), "fe80::1%lo", "/", []string{"vers=4.2,port=1"}); err != nil {
		t.Error(err)
	}
}

func TestPreflightKind(t *testing.T) {
	cases := map[error]error{
		fs.ErrNotExist: volume.ErrNotFound, fs.ErrPermission: volume.ErrRefused, nfs.ErrRefused: volume.ErrRefused,
		nfs.ErrUnreachable: volume.ErrUnavailable, context.DeadlineExceeded: volume.ErrUnavailable, errors.New("other"): nil,
	}
	for err, want := range cases {
		if got := preflightKind(fmt.Errorf("around: %w", err)); got != want {
			t.Errorf("%v is %v", err, got)
		}
	}
	if preflightKind(nil) != nil {
		t.Error("success is an error")
	}
}

func TestPreflightEndsWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if err := testClient().preflight(ctx, "127.0.0.1", "/", []string{"port=1"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended with %v", err)
	}
}

func probeOnce(ctx context.Context, c nfs.Config, _ []string) error { return nfs.Probe(ctx, c) }

func testClient() client {
	return client{log: quietLog(), metrics: newMetrics(), probe: probeOnce}
}
