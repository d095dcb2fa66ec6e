package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// ErrTLS is matched when TLS was asked for and a connection could not be protected by it. Nothing but the question for TLS
// has been sent then.
var ErrTLS = errors.New("no connection with TLS")

const (
	startTLSVerifier = "STARTTLS" // of a server that has TLS (RFC 9289 section 4.1)
	alpn             = "sunrpc"   // RFC 9289 section 8.2
)

// startTLS asks the server for TLS on a new connection (RFC 9289 section 4.1), shakes hands, and makes one call on what it
// has got: with TLS 1.3 a server tells only then that it does not accept our certificate. A server that knows nothing of
// ALPN passes; its certificate says who it is.
func (d *Dialer) startTLS(ctx context.Context, nc net.Conn) (net.Conn, error) {
	settings, err := d.TLS()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTLS, err)
	}
	settings = settings.Clone()
	settings.MinVersion = tls.VersionTLS13
	settings.NextProtos = []string{alpn}
	if settings.ServerName == "" {
		settings.ServerName = d.Host
	}
	if err := d.askForTLS(ctx, nc); err != nil {
		return nil, err
	}
	secure := tls.Client(nc, settings)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, explainHandshake(inTime(ctx, err))
	}
	if _, err := exchange(ctx, secure, &Request{Program: d.Program, Version: d.Version}); err != nil {
		return nil, explainFirst(err)
	}
	return secure, nil
}

// askForTLS calls the NULL procedure with the AUTH_TLS flavor. Servers without TLS answer as if it were AUTH_NONE (Linux)
// or deny the call (ganesha).
func (d *Dialer) askForTLS(ctx context.Context, nc net.Conn) error {
	reply, err := exchange(ctx, nc, &Request{Program: d.Program, Version: d.Version, probe: true})
	var denied *DeniedError
	switch {
	case reply.verifier == startTLSVerifier:
		return nil
	case errors.As(err, &denied):
		return fmt.Errorf("%w: the server does not offer it (%w): %s", ErrTLS, err, withoutTLS)
	case err != nil:
		return fmt.Errorf("asking for TLS: %w", err)
	}
	return fmt.Errorf("%w: the server does not offer it (it answers without %s): %s", ErrTLS, startTLSVerifier, withoutTLS)
}

const withoutTLS = "switch RPC-with-TLS on there (Linux 6.5 or newer with tlshd), or remove xprtsec from the mount options"

// exchange makes the only call on a connection that no Conn has taken over yet. It reads not one byte more than the reply,
// because what follows may belong to TLS. An error of the server leaves the reply's verifier set.
func exchange(ctx context.Context, nc net.Conn, r *Request) (Reply, error) {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) }) // ends reading and writing
	defer stop()
	const xid = 1
	if _, err := nc.Write(r.appendRecord(nil, xid)); err != nil {
		return Reply{}, inTime(ctx, err)
	}
	const largest = 1 << 10
	for {
		record, err := readRecord(nc, largest)
		if err != nil {
			return Reply{}, inTime(ctx, err)
		}
		if got, reply, ok := parseReply(record); ok && got == xid {
			return reply, reply.Err
		}
	}
}

// inTime tells the end of ctx from other ends of a connection.
func inTime(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the server hung up: %w", err)
	}
	return err
}

// explainHandshake says what a person can do. What is no word of TLS, such as a connection that was cut, is left as it is.
func explainHandshake(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		bad     *tls.CertificateVerificationError
		lost    net.Error
	)
	hint := "it needs version 1.3 of TLS at both ends"
	switch {
	case errors.As(err, &unknown):
		hint = "no authority that we trust has signed the server's certificate: name the right one with --tls-ca"
	case errors.As(err, &name):
		hint = "the server's certificate is for another name: use one of its names as the server, or give it a certificate for this one"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "the server's certificate is not valid now: renew it, and check the clocks of both machines"
	case errors.As(err, &bad):
		hint = "the server's certificate is not good"
	case isAlert(err):
		hint = "the server refuses; " + hint
	case errors.As(err, &lost), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.Canceled):
		return fmt.Errorf("shaking hands for TLS: %w", err)
	}
	return fmt.Errorf("%w: %s (%w)", ErrTLS, hint, err)
}

// explainFirst says what the first call with TLS met with: there a server refuses our certificate, or that we have none.
func explainFirst(err error) error {
	if isAlert(err) {
		return fmt.Errorf("%w: the server refuses our certificate, or wants one: use xprtsec=mtls, with --tls-cert and --tls-key that it trusts (%w)", ErrTLS, err)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("first call with TLS: %w (if that goes on, it may want a certificate of ours: xprtsec=mtls)", err)
	}
	return fmt.Errorf("first call with TLS: %w", err)
}

// isAlert tells whether the peer ended TLS with a reason.
func isAlert(err error) bool {
	var alert *net.OpError
	return errors.As(err, &alert) && alert.Op == "remote error"
}
