package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// front puts TLS, or what f does instead, before a server that echoes.
func front(t *testing.T, does nfsserver.FrontAct, config *tls.Config) *nfsserver.Front {
	t.Helper()
	d := serve(t, echo)
	return nfsserver.StartFront(t, does, config, (&net.Dialer{}).DialContext, net.JoinHostPort(d.Host, strconv.Itoa(d.Port)))
}

func secured(f *nfsserver.Front, settings *tls.Config) *Dialer {
	return &Dialer{
		Host: f.Host, Port: f.Port, Timeout: 20 * time.Second, Program: 1, Version: 2,
		TLS: func() (*tls.Config, error) { return settings, nil },
	}
}

func TestTLS(t *testing.T) {
	ours, other := nfsserver.NewAuthority(t), nfsserver.NewAuthority(t)
	server := func(c tls.Certificate) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{alpn}}
	}
	good := server(ours.Issue(time.Hour, "127.0.0.1", "nas.example.com"))
	mutual := good.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, ours.Pool()
	old := good.Clone()
	old.MaxVersion = tls.VersionTLS12
	otherProtocol, noALPN := good.Clone(), good.Clone()
	otherProtocol.NextProtos, noALPN.NextProtos = []string{"h2"}, nil
	trusting := &tls.Config{RootCAs: ours.Pool()}
	with := func(c tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ours.Pool(), Certificates: []tls.Certificate{c}}
	}
	for _, tt := range []struct {
		name   string
		does   nfsserver.FrontAct
		server *tls.Config
		client *tls.Config
		want   string // of an error that matches ErrTLS; "" for none
	}{
		{"address in the certificate", nfsserver.StartTLS, good, trusting, ""},
		{"name in the certificate", nfsserver.StartTLS, server(ours.Issue(time.Hour, "nas.example.com")), &tls.Config{RootCAs: ours.Pool(), ServerName: "nas.example.com"}, ""},
		{"our certificate", nfsserver.StartTLS, mutual, with(ours.Issue(time.Hour, "node")), ""},
		{"no ALPN there", nfsserver.StartTLS, noALPN, trusting, ""},
		{"another protocol there", nfsserver.StartTLS, otherProtocol, trusting, "no application protocol"},
		{"other authority", nfsserver.StartTLS, server(other.Issue(time.Hour, "127.0.0.1")), trusting, "--tls-ca"},
		{"other name", nfsserver.StartTLS, server(ours.Issue(time.Hour, "nas.example.com", "127.0.0.2")), trusting, "another name"},
		{"expired", nfsserver.StartTLS, server(ours.Issue(-time.Minute, "127.0.0.1")), trusting, "not valid now"},
		{"none of ours", nfsserver.StartTLS, mutual, trusting, "xprtsec=mtls"},
		{"ours of another authority", nfsserver.StartTLS, mutual, with(other.Issue(time.Hour, "node")), "xprtsec=mtls"},
		{"old TLS", nfsserver.StartTLS, old, trusting, "version 1.3"},
		{"no TLS, accepting", nfsserver.Accept, nil, trusting, "answers without STARTTLS"},
		{"no TLS, denying", nfsserver.Deny, nil, trusting, "AUTH_REJECTEDCRED"},
		{"words before TLS", nfsserver.Inject, good, trusting, "version 1.3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := front(t, tt.does, tt.server)
			nc, err := secured(f, tt.client).Connect(t.Context())
			if err == nil {
				c := NewConn(nc, time.Minute)
				defer c.Close()
				if body, err := c.Call(t.Context(), request(7)); err != nil || len(body) != 4 || body[3] != 7 {
					t.Errorf("call: %x, %v", body, err)
				}
			}
			if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, ErrTLS) || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if n := f.Clear(); n > 0 {
				t.Errorf("%d calls were made in the clear", n)
			}
		})
	}
}

// TestTLSInterrupted: a connection that breaks while TLS is made is no sign of a server without it, and is tried again.
func TestTLSInterrupted(t *testing.T) {
	ours := nfsserver.NewAuthority(t)
	settings := &tls.Config{RootCAs: ours.Pool()}
	for name, does := range map[string]nfsserver.FrontAct{
		"hang up": nfsserver.HangUp, "silence": nfsserver.Silence, "no answer at all": nfsserver.AnswerNobody,
	} {
		t.Run(name, func(t *testing.T) {
			d := secured(front(t, does, nil), settings)
			d.Timeout = 200 * time.Millisecond // certain to be reached where the server says nothing
			if does == nfsserver.HangUp {
				d.Timeout = 20 * time.Second
			}
			if nc, err := d.Connect(t.Context()); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrTLS) {
				t.Errorf("got %v, %v", nc, err)
			}
		})
	}
}

// TestTLSObeysContext ends every wait of the handshake with the caller.
func TestTLSObeysContext(t *testing.T) {
	for _, does := range []nfsserver.FrontAct{nfsserver.Silence, nfsserver.AnswerNobody} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := secured(front(t, does, nil), &tls.Config{}).Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
}

func TestTLSWithoutSettings(t *testing.T) {
	d := secured(front(t, nfsserver.StartTLS, &tls.Config{}), nil)
	d.TLS = func() (*tls.Config, error) { return nil, io.ErrUnexpectedEOF }
	if _, err := d.Connect(t.Context()); !errors.Is(err, ErrTLS) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// TestTLSPassesRefusals: a program or a version that is not there is told as without TLS.
func TestTLSPassesRefusals(t *testing.T) {
	ours := nfsserver.NewAuthority(t)
	d := serve(t, func(call []byte) ([]byte, error) {
		return record(call, 1, msgReply, 0, 0, 0, ProgramMismatch, 3, 3), nil
	})
	f := nfsserver.StartFront(t, nfsserver.StartTLS, &tls.Config{Certificates: []tls.Certificate{ours.Issue(time.Hour, "127.0.0.1")}},
		(&net.Dialer{}).DialContext, net.JoinHostPort(d.Host, strconv.Itoa(d.Port)))
	var refused *RefusedError
	_, err := secured(f, &tls.Config{RootCAs: ours.Pool()}).Connect(t.Context())
	if !errors.As(err, &refused) || refused.Stat != ProgramMismatch || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrTLS) {
		t.Errorf("got %v", err)
	}
}

// TestTLSAgain: a connection that is made again is protected again, with settings that may have changed.
func TestTLSAgain(t *testing.T) {
	ours, other := nfsserver.NewAuthority(t), nfsserver.NewAuthority(t)
	f := front(t, nfsserver.StartTLS, &tls.Config{Certificates: []tls.Certificate{ours.Issue(time.Hour, "127.0.0.1")}})
	d := secured(f, nil)
	asked := 0
	d.TLS = func() (*tls.Config, error) {
		if asked++; asked > 2 {
			return &tls.Config{RootCAs: other.Pool()}, nil
		}
		return &tls.Config{RootCAs: ours.Pool()}, nil
	}
	l, err := NewLink(t.Context(), d, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		if _, _, err := l.Call(t.Context(), request(1)); err != nil {
			t.Fatal(err)
		}
		f.Cut()
		await(t, "the cut to be seen", func() bool { return !l.conn.Alive() })
	}
	l.window = time.Second // trust does not come back
	if _, _, err := l.Call(t.Context(), request(1)); !errors.Is(err, ErrTLS) {
		t.Errorf("with another authority: %v", err)
	}
	if f.Clear() > 0 {
		t.Error("calls were made in the clear")
	}
}
