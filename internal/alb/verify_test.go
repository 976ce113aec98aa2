package alb

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/alb/config"
)

// clientPair is a client's certificate, signed by the issuer.
func (i issuer) clientPair(t *testing.T, ends time.Time) tls.Certificate {
	t.Helper()
	return i.namedPair(t, "client", ends)
}

func (i issuer) namedPair(t *testing.T, name string, ends time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := i.Sign(&x509.Certificate{
		Subject:   pkix.Name{Country: []string{"DE"}, Organization: []string{"Größe, Inc"}, CommonName: name},
		NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), NotAfter: ends, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(text))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key, Leaf: leaf}
}

// TestVerifyClients: who has no certificate of the trust store's gets nowhere,
// with a session of before neither.
func TestVerifyClients(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	c := secured(configuration(healthy(startTarget(t, "a"))), i.issue(t, "EC_prime256v1", "shop.example"))
	c.Listeners[0].TLS.Verify = &config.VerifyClients{TrustStore: "arn:ts", Bundle: i.PEM}
	n := startNode(t, c)
	good := i.clientPair(t, time.Now().Add(time.Hour))
	sessions := tls.NewLRUClientSessionCache(0)
	cache := sessions
	dial := func(h2 bool, shown ...tls.Certificate) (seen, error) {
		client := i.client(t, n, h2)
		transport := client.Transport.(*http.Transport)
		defer transport.CloseIdleConnections()
		transport.TLSClientConfig.Certificates, transport.TLSClientConfig.ClientSessionCache = shown, cache
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+n.address()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Subject", "Leaf", "Serial-Number", "Issuer", "Validity"} {
			r.Header.Set("X-Amzn-Mtls-Clientcert-"+name, "forged")
		}
		answer, err := client.Do(r)
		if err != nil {
			return seen{}, err
		}
		defer answer.Body.Close()
		var got seen
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			return seen{}, err
		}
		return got, json.Unmarshal(b, &got)
	}
	for _, h2 := range []bool{false, true} {
		got, err := dial(h2, good)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := url.PathUnescape(got.Header.Get("X-Amzn-Mtls-Clientcert-Leaf"))
		if want := encode(good.Leaf); err != nil || leaf != want {
			t.Errorf("the leaf is %q, want %q", leaf, want)
		}
		serial, ok := new(big.Int).SetString(got.Header.Get("X-Amzn-Mtls-Clientcert-Serial-Number"), 16)
		if !ok || serial.Cmp(good.Leaf.SerialNumber) != 0 {
			t.Errorf("the serial number is %q", got.Header.Get("X-Amzn-Mtls-Clientcert-Serial-Number"))
		}
		for name, want := range map[string]string{
			"Issuer":   "CN=Isthmus us-east-1 acm,O=Isthmus",
			"Subject":  `CN=client,O=Gr\C3\B6\C3\9Fe\, Inc,C=DE`,
			"Validity": "NotBefore=2026-01-02T03:04:05Z;NotAfter=" + good.Leaf.NotAfter.UTC().Format("2006-01-02T15:04:05Z"),
		} {
			if value := got.Header.Get("X-Amzn-Mtls-Clientcert-" + name); value != want {
				t.Errorf("%s is %q, want %q", name, value, want)
			}
		}
		if got.Header.Get("X-Amzn-Mtls-Clientcert") != "" {
			t.Error("the chain is passed on")
		}
	}
	refused := func(name, status string, shown ...tls.Certificate) {
		t.Helper()
		if got, err := dial(false, shown...); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			text := n.log.text()
			if strings.Contains(text, `"tls_verify_status":"Failed:`+status+`"`) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the log says %s", name, text)
			}
		}
	}
	cache = nil
	refused("no certificate", "UnmappedConnectionError")
	refused("one that has ended", "ClientCertExpired", i.clientPair(t, time.Now().Add(-time.Minute)))
	refused("another authority's", "ClientCertUntrusted", other.clientPair(t, time.Now().Add(time.Hour)))
	refused("one with a long name", "ClientCertMaxSizeExceeded", i.namedPair(t, strings.Repeat("a", 32<<10), time.Now().Add(time.Hour)))
	if n.log.mu.Lock(); n.log.b.Len() > 16<<10 {
		t.Errorf("the log has %d bytes of it", n.log.b.Len())
	}
	n.log.mu.Unlock()
	// The session that the good one has is of no use once its authority is gone.
	c.Listeners[0].TLS.Verify = &config.VerifyClients{TrustStore: "arn:ts", Bundle: other.PEM}
	n.log.mu.Lock()
	n.log.b.Reset()
	n.log.mu.Unlock()
	n.apply(c)
	cache = sessions
	refused("of an authority that is trusted no more", "ClientCertUntrusted", good)
}

// TestVerifyOldConnections: who has connected before clients were verified is
// taken for verified no more than others are.
func TestVerifyOldConnections(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	certificate := i.issue(t, "EC_prime256v1", "shop.example")
	for _, h2 := range []bool{false, true} {
		c := secured(configuration(healthy(startTarget(t, "a"))), certificate)
		c.Listeners[0].TLS.ClientCertificates = true
		n := startNode(t, c)
		connect := func(shown tls.Certificate) func() (int, string) {
			client := i.client(t, n, h2)
			client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{shown}
			return func() (int, string) {
				answer, err := client.Get("https://" + n.address() + "/")
				if err != nil {
					return 0, err.Error()
				}
				defer answer.Body.Close()
				b, _ := io.ReadAll(answer.Body)
				var got seen
				json.Unmarshal(b, &got)
				return answer.StatusCode, got.Header.Get("X-Amzn-Mtls-Clientcert-Subject")
			}
		}
		trusted, stranger := connect(i.clientPair(t, time.Now().Add(time.Hour))), connect(other.clientPair(t, time.Now().Add(time.Hour)))
		for _, get := range []func() (int, string){trusted, stranger} {
			if status, subject := get(); status != 200 || subject != "" {
				t.Fatalf("HTTP/2 %v: %d, %q, before clients are verified", h2, status, subject)
			}
		}
		next := *c
		next.Listeners = []config.Listener{c.Listeners[0]}
		secure := *c.Listeners[0].TLS
		secure.ClientCertificates, secure.Verify = false, &config.VerifyClients{TrustStore: "arn:ts", Bundle: i.PEM}
		next.Listeners[0].TLS = &secure
		n.apply(&next)
		for range 2 {
			if status, subject := trusted(); status != 200 || !strings.HasPrefix(subject, "CN=client") {
				t.Errorf("HTTP/2 %v: %d, %q for who is trusted", h2, status, subject)
			}
		}
		if status, subject := stranger(); status != 421 {
			t.Errorf("HTTP/2 %v: %d, %q for a stranger", h2, status, subject)
		}
		if status, err := stranger(); status != 0 { // its connection was closed, and it gets no other
			t.Errorf("HTTP/2 %v: %d, %q for a stranger once more", h2, status, err)
		}
	}
}
