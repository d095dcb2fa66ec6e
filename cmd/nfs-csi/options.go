package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// route is what mount options say about the way to a server. All others, such as hard and timeo, are the kernel's.
type route struct {
	versions        []nfs.Version // none: any
	minor           string        // minorversion=
	port, mountPort int
	network         string // of the addresses: "tcp4", "tcp6" or "" for both
	address         string // called instead of those that the server's name has
	kernel          string // an option that only the kernel's client can follow, "" for none
	ports           nfs.SourcePorts
	security        string // sec=, "" where it is not given
	transport       string // xprtsec=
}

// routeOptions are the options that are understood, each with what it does to a route. Of two that contradict each other the
// last counts, as with mount(8).
var routeOptions = map[string]func(r *route, value string) error{
	"vers":         (*route).setVersion,
	"nfsvers":      (*route).setVersion,
	"v3":           func(r *route, _ string) error { return r.setVersion("3") },
	"v4":           func(r *route, _ string) error { return r.setVersion("4") },
	"v4.0":         func(r *route, _ string) error { return r.setVersion("4.0") },
	"v4.1":         func(r *route, _ string) error { return r.setVersion("4.1") },
	"v4.2":         func(r *route, _ string) error { return r.setVersion("4.2") },
	"minorversion": func(r *route, value string) error { r.minor = value; return nil },
	"port":         func(r *route, value string) (err error) { r.port, err = port(value); return err },
	"mountport":    func(r *route, value string) (err error) { r.mountPort, err = port(value); return err },
	"proto":        (*route).setProtocol,
	"tcp":          func(r *route, _ string) error { return r.setProtocol("tcp") },
	"udp":          func(r *route, _ string) error { return r.setProtocol("udp") },
	"rdma":         func(r *route, _ string) error { return r.setProtocol("rdma") },
	"resvport":     func(r *route, _ string) error { r.ports = nfs.LowPort; return nil },
	"noresvport":   func(r *route, _ string) error { r.ports = nfs.AnyPort; return nil },
	"addr":         (*route).setAddress,
	"nconnect":     func(_ *route, value string) error { return nconnect(value) },
	"sec":          func(r *route, value string) error { r.security = value; return nil },
	"xprtsec":      (*route).setTransport,
}

// parseRoute reads mount options, one each or several joined by commas, and answers all mistakes at once, without the options' values,
// which may be sensitive.
func parseRoute(mountOptions []string) (route, error) {
	var r route
	var mistakes []error
	for _, option := range split(mountOptions) {
		key, value, _ := strings.Cut(option, "=")
		if set := routeOptions[key]; set != nil {
			if err := set(&r, value); err != nil {
				mistakes = append(mistakes, fmt.Errorf("mount option %q: %w", key, err))
			}
		}
	}
	if err := r.finish(); err != nil {
		mistakes = append(mistakes, err)
	}
	if len(mistakes) > 0 {
		return route{}, fmt.Errorf("%w: %w", volume.ErrInvalid, errors.Join(mistakes...))
	}
	return r, nil
}

// split lists single options: people join some by commas.
func split(mountOptions []string) []string {
	options := strings.Split(strings.Join(mountOptions, ","), ",")
	for i, o := range options {
		options[i] = strings.TrimSpace(o)
	}
	return options
}

// setVersion: a path may mean another directory in version 3 than in 4, so "4" is the minor versions of 4 only.
func (r *route) setVersion(s string) error {
	if s == "4" {
		r.versions = []nfs.Version{nfs.V42, nfs.V41, nfs.V40}
		return nil
	}
	v, err := nfs.ParseVersion(s)
	if err != nil {
		return errors.New("the version must be 3, 4, 4.0, 4.1 or 4.2")
	}
	r.versions = []nfs.Version{v}
	return nil
}

// finish applies the options that mean something only beside others.
func (r *route) finish() error {
	if r.minor == "" {
		return nil
	}
	v, err := nfs.ParseVersion("4." + r.minor)
	if err != nil {
		return errors.New("mount option minorversion: the minor version must be 0, 1 or 2")
	}
	if len(r.versions) > 0 && !slices.Contains(r.versions, v) {
		return errors.New("mount option minorversion contradicts the version")
	}
	r.versions = []nfs.Version{v}
	return nil
}

// setProtocol: the netids without a 6 mean IPv4 (RFC 5665 section 5.2.3.1). What is mounted by RDMA or UDP can be reached by
// TCP as well.
func (r *route) setProtocol(s string) error {
	r.network, r.kernel = "", ""
	switch s {
	case "tcp":
		r.network = "tcp4"
	case "tcp6":
		r.network = "tcp6"
	case "rdma", "rdma6", "udp", "udp6":
		r.kernel = "proto=" + s
	default:
		return errors.New("it must be tcp, tcp6, rdma, rdma6, udp or udp6")
	}
	return nil
}

// setAddress: nodes take the option where the administrator allows it, and mount from there.
func (r *route) setAddress(s string) error {
	address, err := netip.ParseAddr(s)
	if err != nil {
		return errors.New("it must be an IP address")
	}
	r.address = address.String()
	return nil
}

func (r *route) setTransport(s string) error {
	if s != "none" && s != "tls" && s != "mtls" {
		return errors.New("it must be none, tls or mtls")
	}
	r.transport = s
	return nil
}

// secured: every connection is to be protected by TLS.
func (r *route) secured() bool { return r.transport == "tls" || r.transport == "mtls" }

// byKerberos tells of mounts that our client cannot make: it speaks AUTH_SYS only. The kernel takes the first flavor of a
// list that the server has.
func (r *route) byKerberos() bool {
	return r.security != "" && !slices.Contains(strings.Split(r.security, ":"), "sys")
}

func port(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("a port is a number from 1 to 65535")
	}
	return int(n), nil
}

// nconnect is checked only: many calls share our one connection.
func nconnect(s string) error {
	const most = 16 // of the kernel's client
	if n, err := strconv.Atoi(s); err != nil || n < 1 || n > most {
		return fmt.Errorf("it must be a number from 1 to %d", most)
	}
	return nil
}
