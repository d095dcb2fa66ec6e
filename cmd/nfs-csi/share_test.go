package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

func TestConfigFromMountOptions(t *testing.T) {
	v4 := []nfs.Version{nfs.V42, nfs.V41}
	cases := map[string]struct {
		options         []string
		versions        []nfs.Version
		port, mountPort int
	}{
		"none":            {nil, nil, 0, 0},
		"kernel's":        {[]string{"hard", "nconnect=4", "noatime"}, nil, 0, 0},
		"version":         {[]string{"nfsvers=4.1"}, []nfs.Version{nfs.V41}, 0, 0},
		"major":           {[]string{"vers=4"}, v4, 0, 0},
		"not ours":        {[]string{"vers=4.0"}, v4, 0, 0},
		"short":           {[]string{"v4.2"}, []nfs.Version{nfs.V42}, 0, 0},
		"joined":          {[]string{"vers=3, port=1234", "mountport=5"}, []nfs.Version{nfs.V3}, 1234, 5},
		"the last counts": {[]string{"vers=3", "nfsvers=4.2,port=1", "port=2"}, []nfs.Version{nfs.V42}, 2, 0},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c, err := testClient().config("server", "/share", test.options)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(c.Versions, test.versions) || c.Port != test.port || c.MountPort != test.mountPort || c.Server != "server" || c.Export != "/share" {
				t.Errorf("versions %v, port %d, mountport %d", c.Versions, c.Port, c.MountPort)
			}
		})
	}
	for _, bad := range []string{"vers=5", "nfsvers=", "port=x", "mountport=65536"} {
		if _, err := testClient().config("server", "/share", []string{bad}); !errors.Is(err, volume.ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
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
		"nobody there, kerberos": {"/", []string{"vers=4.2,port=1,sec=krb5p"}, nil},
		"nobody there, TLS":      {"/", []string{"vers=4.2,port=1,xprtsec=tls"}, nil},
		"nobody there, RDMA":     {"/", []string{"vers=4.2,port=1,proto=rdma"}, nil},
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
