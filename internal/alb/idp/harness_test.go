package idp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/miekg/dns"
)

// issuer is a provider for tests, at https://idp.example/.
type issuer struct {
	*httptest.Server
	key    *rsa.PrivateKey
	client *Client
	asked  atomic.Int64 // for its keys
}

var signingKey, otherKey = newKey(), newKey()

func newKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// startIssuer starts a provider whose names are answered by a resolver of the
// test's.
func startIssuer(t *testing.T, handlers map[string]http.HandlerFunc) *issuer {
	t.Helper()
	i := &issuer{key: signingKey}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		w.Write(keySet("1", &i.key.PublicKey))
	})
	for pattern, h := range handlers {
		mux.HandleFunc(pattern, h)
	}
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	at := netip.MustParseAddrPort(i.Listener.Addr().String())
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw})
	i.client = NewClient(Options{
		Resolver: startResolver(t), Authorities: string(authority),
		Dial: func(ctx context.Context, addresses []netip.AddrPort) (net.Conn, error) {
			if len(addresses) != 1 || addresses[0].Port() != 443 || addresses[0].Addr() != netip.MustParseAddr("10.0.0.9") {
				t.Errorf("dialled %v", addresses)
			}
			return new(net.Dialer).DialContext(ctx, "tcp", at.String())
		},
	})
	return i
}

// startResolver knows one name, of which httptest's certificate holds.
func startResolver(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if q.Question[0].Name == "example.com." {
			answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(10, 0, 0, 9)}}
		} else {
			answer.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(answer)
	})}
	go s.ActivateAndServe()
	<-started
	t.Cleanup(func() { s.Shutdown() })
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

// keySet is one key as it is published.
func keySet(id string, k *rsa.PublicKey) []byte {
	e := base64.RawURLEncoding
	b, err := json.Marshal(map[string]any{"keys": []any{
		map[string]string{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
		map[string]string{"kty": "RSA", "kid": id, "use": "sig", "n": e.EncodeToString(k.N.Bytes()), "e": e.EncodeToString(big.NewInt(int64(k.E)).Bytes())},
	}})
	if err != nil {
		panic(err)
	}
	return b
}

// token is a token of the issuer's.
func token(t *testing.T, k *rsa.PrivateKey, id string, claims jwt.MapClaims) string {
	t.Helper()
	made := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	if id != "" {
		made.Header["kid"] = id
	}
	text, err := made.SignedString(k)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
