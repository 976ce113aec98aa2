package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/isthmus-net/isthmus/test/machine"
)

// byHTTPS calls an API at both of its names, which the authority of "isthmus ca"
// vouches for, in both versions of HTTP.
func byHTTPS(t *testing.T, m *machine.Machine, api machine.API, path, want string) {
	pem := output(t, m.Isthmus(t.Context(), "ca"))
	authority := readable(t, m, "apis.pem", []byte(pem))
	curl := func(host string, options ...string) (string, error) {
		args := append([]string{"-sS", "-m", "10", "--cacert", authority, "--connect-to", "::127.0.0.1:8443"}, options...)
		return machine.Output(m.Command(t.Context(), "curl", append(args, "https://"+host+path)...))
	}
	local, aws := api.ID+".execute-api.localhost:8443", api.ID+".execute-api.us-east-1.amazonaws.com"
	for _, host := range []string{local, aws} {
		for version, option := range map[string]string{"1.1": "--http1.1", "2": "--http2"} {
			if got, err := curl(host, option, "-w", " %{http_version} %{http_code}"); err != nil || got != want+"\n "+version+" 200" {
				t.Errorf("%s, HTTP/%s: %q, %v", host, version, got, err)
			}
		}
	}
	for name, refused := range map[string][]string{
		"a name that is no API's": {"localhost:8443"},
		// HTTP/2 would be refused for itself (RFC 9113, 9.2).
		"TLS 1.1": {aws, "--http1.1", "--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0"},
	} {
		if got, err := curl(refused[0], refused[1:]...); err == nil {
			t.Errorf("%s: answered %q", name, got)
		}
	}
	resumes(t, m, pem, aws, path)
}

// resumes tells whether a client's second handshake is a short one.
func resumes(t *testing.T, m *machine.Machine, authority, host, path string) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority))
	c := &tls.Config{RootCAs: roots, ServerName: host, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for second := range 2 {
		raw, err := m.Dial(t.Context(), "tcp", "127.0.0.1:8443")
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(raw, c)
		defer conn.Close()
		// The ticket comes with the answer.
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if resumed := conn.ConnectionState().DidResume; resumed != (second == 1) {
			t.Errorf("connection %d: the session was resumed: %t", second+1, resumed)
		}
	}
}
