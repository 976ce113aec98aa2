package alb

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
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
				t.Errorf("%d: %v; %v", answer.StatusCode, err, n.log.text())
			}
			answer.Body.Close()
			if answer.StatusCode != 200 || (answer.ProtoMajor == 2) != h2 || got.Body != string(sent) || got.URI != "/a?b" ||
				got.Header.Get("X-Forwarded-Proto") != "https" || !slices.Equal(got.Header["X-Forwarded-Port"], []string{"8080"}) {
				t.Errorf("HTTP/2 %v, %d bytes: %s %d %.300v", h2, len(sent), answer.Proto, answer.StatusCode, got)
			}
		}
	}
}

// handshake tells which certificate a node shows.
func (n *node) handshake(t *testing.T, c *tls.Config) (*x509.Certificate, error) {
	t.Helper()
	c.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", n.address(), c)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

func TestCertificateByName(t *testing.T) {
	i := newIssuer(t)
	n := startNode(t, secured(configuration(healthy(startTarget(t, "a"))),
		i.issue(t, "EC_prime256v1", "default.example"), i.issue(t, "RSA_2048", "shop.example", "www.shop.example"),
		i.issue(t, "EC_prime256v1", "shop.example"), i.issue(t, "EC_secp384r1", "*.shop.example")))
	rsaOnly := &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	for _, test := range []struct {
		name   string
		config *tls.Config
		want   string // the certificate's common name and the kind of its key
	}{
		{"", &tls.Config{}, "default.example ECDSA"},
		{"unknown.example", &tls.Config{}, "default.example ECDSA"},
		{"shop.example", &tls.Config{}, "shop.example ECDSA"},
		{"shop.example", rsaOnly, "shop.example RSA"},
		{"SHOP.example", &tls.Config{}, "shop.example ECDSA"},
		{"www.shop.example", &tls.Config{}, "shop.example RSA"}, // the very name before the wildcard
		{"api.shop.example", &tls.Config{}, "*.shop.example ECDSA"},
		{"a.b.shop.example", &tls.Config{}, "default.example ECDSA"},
	} {
		c := test.config.Clone()
		c.ServerName = test.name
		x, err := n.handshake(t, c)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := x.Subject.CommonName + " " + x.PublicKeyAlgorithm.String(); got != test.want {
			t.Errorf("%q is shown %s, want %s", test.name, got, test.want)
		}
	}
}

// A client that comes back resumes its session, also after a configuration has
// come that has changed something else.
func TestResumption(t *testing.T) {
	i := newIssuer(t)
	c := secured(configuration(healthy(startTarget(t, "a"))), i.issue(t, "EC_prime256v1", "shop.example"))
	n := startNode(t, c)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{RootCAs: i.roots, ServerName: "shop.example", ClientSessionCache: tls.NewLRUClientSessionCache(1), MinVersion: version, MaxVersion: version}
		for round, want := range []bool{false, true, true} {
			conn, err := tls.Dial("tcp", n.address(), client)
			if err != nil {
				t.Fatal(err)
			}
			// Tickets of TLS 1.3 come with the first answer.
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			io.Copy(io.Discard, conn)
			if got := conn.ConnectionState().DidResume; got != want {
				t.Errorf("version %x, round %d: resumed %v", version, round, got)
			}
			conn.Close()
			n.apply(c)
		}
	}
}

func TestTLSHeaders(t *testing.T) {
	i := newIssuer(t)
	c := secured(configuration(healthy(startTarget(t, "a"))), i.issue(t, "EC_prime256v1", "shop.example"))
	c.Attributes.TLSHeaders, c.Listeners[0].TLS.ClientCertificates = true, true
	n := startNode(t, c)
	own := i.issue(t, "EC_prime256v1", "client.example")
	shown, err := tls.X509KeyPair([]byte(own.Chain), []byte(own.Key))
	if err != nil {
		t.Fatal(err)
	}
	for _, certificates := range [][]tls.Certificate{nil, {shown}} {
		client := i.client(t, n, true)
		client.Transport.(*http.Transport).TLSClientConfig.Certificates = certificates
		request, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+n.address()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"X-Amzn-Mtls-Clientcert", "X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Tls-Version"} {
			request.Header.Set(name, "forged")
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var got seen
		if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		want := ""
		if certificates != nil {
			want = own.Chain
		}
		// "+", "=" and "/" are not escaped, and mean themselves.
		text, err := url.PathUnescape(got.Header.Get("X-Amzn-Mtls-Clientcert"))
		if err != nil || text != want || got.Header.Get("X-Amzn-Mtls-Clientcert-Leaf") != "" {
			t.Errorf("the target was told %q, %v", text, err)
		}
		if v, suite := got.Header["X-Amzn-Tls-Version"], got.Header.Get("X-Amzn-Tls-Cipher-Suite"); !slices.Equal(v, []string{"TLSv1.3"}) || !strings.HasPrefix(suite, "TLS_AES_") {
			t.Errorf("the target was told %v %s", v, suite)
		}
	}
}

// HTTPS to targets, whose certificates nobody verifies.
// Fields can have other names, which a client can't write either.
func TestTLSHeaderNames(t *testing.T) {
	i := newIssuer(t)
	c := secured(configuration(healthy(startTarget(t, "a"))), i.issue(t, "EC_prime256v1", "shop.example"))
	c.Attributes.TLSHeaders = true
	c.Listeners[0].TLS.ClientCertificates = true
	c.Listeners[0].TLS.FieldNames = map[string]string{config.TLSVersion: "X-Version", config.ClientCert: "ssl_cert", config.ClientCertSubject: "ssl_subject"}
	n := startNode(t, c)
	own := i.issue(t, "EC_prime256v1", "client")
	pair, err := tls.X509KeyPair([]byte(own.Chain), []byte(own.Key))
	if err != nil {
		t.Fatal(err)
	}
	client := i.client(t, n, false)
	client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+n.address()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Version", "ssl_cert", "ssl_subject", config.ClientCert} {
		r.Header.Set(name, "forged")
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got seen
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"X-Version": "TLSv1.3", "Ssl_cert": "-----BEGIN%20CERTIFICATE", "Ssl_subject": "", config.ClientCert: "", config.TLSVersion: "", config.TLSCipherSuite: "TLS_",
	} {
		if value := got.Header.Get(name); !strings.HasPrefix(value, want) || want == "" && value != "" {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
}

func TestHTTPSTargets(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto+" "+r.Host) }))
	t.Cleanup(s.Close)
	c := configuration(healthy(netip.MustParseAddrPort(s.Listener.Addr().String())))
	g := c.TargetGroups["tg"]
	g.HTTPS = true
	c.TargetGroups["tg"] = g
	n := startNode(t, c)
	if a := n.get("/", "Host: shop.example"); a.status != 200 || a.body != "HTTP/1.1 shop.example:8080" {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// A port serves TLS or not as the configuration says, and the client that is
// refused by one is served by the other.
func TestPortBecomesSecure(t *testing.T) {
	i := newIssuer(t)
	plain := configuration(healthy(startTarget(t, "a")))
	n := startNode(t, plain)
	if a := n.get("/"); a.status != 200 {
		t.Errorf("%d", a.status)
	}
	with := *plain
	with.Listeners = slices.Clone(plain.Listeners)
	n.apply(secured(&with, i.issue(t, "EC_prime256v1", "shop.example")))
	if x, err := n.handshake(t, &tls.Config{}); err != nil || x.Subject.CommonName != "shop.example" {
		t.Errorf("%v, %v", x, err)
	}
	n.apply(plain)
	n.client.CloseIdleConnections()
	if a := n.get("/"); a.status != 200 {
		t.Errorf("%d", a.status)
	}
}
