package upstream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"time"
)

// tlsConfig verifies a backend's certificate. The server's name is set by the
// transport. With skip, the issuer need not be trusted; expiry and name are
// checked, and that a root authority is presented.
func tlsConfig(o Options, skip bool) *tls.Config {
	c := &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	if o.AnyCertificate {
		c.InsecureSkipVerify = true
	} else if skip {
		c.InsecureSkipVerify = true // verifyBasics takes its place
		c.VerifyConnection = verifyBasics
	}
	return c
}

// verifyBasics checks a presented chain against the roots that it holds.
func verifyBasics(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return untrusted("none was presented")
	}
	leaf := state.PeerCertificates[0]
	options := x509.VerifyOptions{
		DNSName:       state.ServerName,
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   time.Now(),
	}
	rooted := false
	for _, c := range state.PeerCertificates {
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			options.Roots.AddCert(c)
			rooted = true
		} else {
			options.Intermediates.AddCert(c)
		}
	}
	if !rooted {
		return untrusted("no root authority was presented")
	}
	if _, err := leaf.Verify(options); err != nil {
		return untrusted(err.Error())
	}
	return nil
}

func untrusted(why string) *Error {
	return &Error{TLS, "tls", "verify the backend's certificate: " + why}
}
