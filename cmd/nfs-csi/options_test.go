package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestParseRoute(t *testing.T) {
	v4 := []nfs.Version{nfs.V42, nfs.V41, nfs.V40}
	only := func(v nfs.Version) []nfs.Version { return []nfs.Version{v} }
	for options, want := range map[string]route{
		"":                                 {},
		"hard,soft,timeo=600,retrans=2,ro": {},
		"rsize=1048576,wsize=1048576,_netdev,noatime,actimeo=0,nolock": {},
		"nfsvers=4.1":              {versions: only(nfs.V41)},
		"vers=3":                   {versions: only(nfs.V3)},
		"vers=4":                   {versions: v4},
		"vers=4.0":                 {versions: only(nfs.V40)},
		"v4":                       {versions: v4},
		"v4.2":                     {versions: only(nfs.V42)},
		"vers=4,minorversion=1":    {versions: only(nfs.V41), minor: "1"},
		"minorversion=0":           {versions: only(nfs.V40), minor: "0"},
		"vers=3, port=1234 ":       {versions: only(nfs.V3), port: 1234},
		"mountport=65535":          {mountPort: 65535},
		"vers=3,nfsvers=4.2":       {versions: only(nfs.V42)},
		"port=1,port=2":            {port: 2},
		"proto=tcp":                {network: "tcp4"},
		"proto=tcp6":               {network: "tcp6"},
		"proto=tcp6,tcp":           {network: "tcp4"},
		"proto=tcp6,proto=rdma":    {kernel: "proto=rdma"},
		"rdma":                     {kernel: "proto=rdma"},
		"udp":                      {kernel: "proto=udp"},
		"addr=2001:DB8::1":         {address: "2001:db8::1"},
		"resvport":                 {ports: nfs.LowPort},
		"resvport,noresvport":      {ports: nfs.AnyPort},
		"nconnect=16":              {},
		"sec=sys":                  {security: "sys"},
		"sec=krb5p":                {security: "krb5p"},
		"xprtsec=none":             {transport: "none"},
		"xprtsec=tls":              {transport: "tls"},
		"xprtsec=tls,xprtsec=mtls": {transport: "mtls"},
	} {
		if got, err := parseRoute([]string{options}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v", options, got, err, want)
		}
	}
}

func TestParseRouteRefuses(t *testing.T) {
	for option, want := range map[string]string{
		"vers=5": "4.2", "nfsvers=": "4.2", "vers=4,minorversion=3": "0, 1 or 2", "vers=3,minorversion=1": "contradicts",
		"port=x": "65535", "port=0": "65535", "port": "65535", "mountport=65536": "65535", "proto=sctp": "tcp6",
		"nconnect=0": "16", "nconnect=17": "16", "nconnect": "16", "xprtsec=ssl": "mtls", "addr=nas": "IP address", "xprtsec": "mtls",
	} {
		if _, err := parseRoute([]string{option}); !errors.Is(err, volume.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", option, err, want)
		}
	}
	_, err := parseRoute([]string{"vers=5,port=x", "nconnect=99"})
	for _, option := range []string{`"vers"`, `"port"`, `"nconnect"`} {
		if err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("%s is not reported in %v", option, err)
		}
	}
}

// Values may be sensitive.
func TestParseRouteQuotesNoValue(t *testing.T) {
	for key := range routeOptions {
		if _, err := parseRoute([]string{key + "=hunter2"}); err != nil && (strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), key)) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := testClient().config("server", "/share", []string{"sec=hunter2"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("sec: %v", err)
	}
}

func TestByKerberos(t *testing.T) {
	for security, want := range map[string]bool{"": false, "sys": false, "krb5": true, "krb5i": true, "krb5:sys": false, "none": true} {
		if got := (&route{security: security}).byKerberos(); got != want {
			t.Errorf("sec=%s: %v", security, got)
		}
	}
}

// FuzzParseRoute: whatever a class says, it is an answer or an error.
func FuzzParseRoute(f *testing.F) {
	f.Add("vers=4,minorversion=1,proto=tcp,port=2049,xprtsec=mtls,sec=sys")
	f.Fuzz(func(t *testing.T, options string) {
		r, err := parseRoute([]string{options})
		if (err != nil) != errors.Is(err, volume.ErrInvalid) || r.port < 0 || r.port > 65535 || r.mountPort < 0 || r.mountPort > 65535 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Nodes mount in more ways than the controller can go.
func TestWaysThatTheControllerFollows(t *testing.T) {
	c := inCluster{controllerOptions: &controllerOptions{}, log: quietLog()}
	for mountOptions, want := range map[string]bool{
		"": true, "nfsvers=4.1,hard": true, "sec=sys": true, "sec=krb5:sys": true, "xprtsec=tls": true, "proto=rdma": true,
		"sec=krb5p": false, "xprtsec=mtls": false, "vers=2": false,
	} {
		if got := c.follows([]string{mountOptions}); got != want {
			t.Errorf("%q: %v", mountOptions, got)
		}
	}
	c.tls = tlsFiles{cert: "tls.crt", key: "tls.key"}
	if !c.follows([]string{"xprtsec=mtls"}) {
		t.Error("with a certificate it cannot show it")
	}
}
