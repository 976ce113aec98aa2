package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// readCertificates makes certificates of what the configuration has of them.
func readCertificates(all []config.Certificate) (read []*tls.Certificate, problems []error) {
	for _, c := range all {
		pair, err := tls.X509KeyPair([]byte(c.Chain), []byte(c.Key))
		if err != nil {
			problems = append(problems, fmt.Errorf("read certificate: %w", err))
			continue
		}
		read = append(read, &pair)
	}
	return read, problems
}

// TLS is the configuration for callers, with the certificates that were given
// last. Its versions are those of API Gateway's security policy TLS_1_2.
func (g *Gateway) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{server.H2, "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			all := g.current.Load().certificates
			for _, c := range all {
				if hello.SupportsCertificate(c) == nil {
					return c, nil
				}
			}
			if len(all) == 0 {
				return nil, errors.New("no certificate has been issued yet")
			}
			return all[0], nil // the client tells its user of the name
		},
	}
}
