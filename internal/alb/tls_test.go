package alb

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
	"github.com/isthmus-net/isthmus/internal/authority"
	"github.com/isthmus-net/isthmus/internal/resource"
)

// issuer issues certificates for tests.
type issuer struct {
	*authority.Authority
	roots *x509.CertPool
}

func newIssuer(t *testing.T) issuer {
	t.Helper()
	row, err := authority.New("us-east-1", resource.Certificates, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a, err := authority.Open(row)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.PEM))
	return issuer{a, roots}
}

func (i issuer) issue(t *testing.T, algorithm string, names ...string) config.Certificate {
	t.Helper()
	c, err := i.Issue(names, algorithm, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return config.Certificate{ARN: algorithm + " " + names[0], Chain: c.Certificate, Key: c.Key}
}

// secured is the configuration with TLS on its listener.
func secured(c *config.Config, certificates ...config.Certificate) *config.Config {
	c.Listeners[0].TLS = &config.TLS{Policy: "ELBSecurityPolicy-TLS13-1-2-2021-06", Certificates: certificates}
	return c
}

// client is a client of a node that believes an issuer, by one protocol.
func (i issuer) client(t *testing.T, n *node, h2 bool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetHTTP2(h2)
	transport := n.client.Transport.(*http.Transport).Clone()
	transport.Protocols, transport.TLSClientConfig = p, &tls.Config{RootCAs: i.roots, ServerName: "shop.example"}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestHTTPS(t *testing.T) {
	i := newIssuer(t)
	n := startNode(t, secured(configuration(healthy(startTarget(t, "a"))), i.issue(t, "EC_prime256v1", "shop.example")))
	body := bytes.Repeat([]byte("0123456789abcdef"), 40<<10)
	for _, h2 := range []bool{false, true} {
		c := i.client(t, n, h2)
		url := "https://" + n.address() + "/a?b"
		for _, sent := range [][]byte{nil, []byte("small"), body} {
			var r io.Reader
			if sent != nil {
				r = bytes.NewReader(sent)
			}
			request, err := http.NewRequestWithContext(t.Context(), "PUT", url, r)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = "shop.example"
			answer, err := c.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			var got seen
			if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
				t.Errorf("%d: %v; %v", answer.StatusCode, err, n.log.b.String())
			}
			answer.Body.Close()
			if answer.StatusCode != 200 || (answer.ProtoMajor == 2) != h2 || got.Body != string(sent) || got.URI != "/a?b" ||
				got.Header.Get("X-Forwarded-Proto") != "https" || !slices.Equal(got.Header["X-Forwarded-Port"], []string{"8080"}) {
				t.Errorf("HTTP/2 %v, %d bytes: %s %d %.300v", h2, len(sent), answer.Proto, answer.StatusCode, got)
			}
		}
	}
}
