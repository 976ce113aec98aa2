package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isthmus-net/isthmus/internal/gateway/config"
	"github.com/isthmus-net/isthmus/internal/proxy/server"
)

// received is what the backend tells of a request: everything that should be of one
// and the same.
type received struct{ Path, Query, Mark, Agent, Trace, Body string }

// Exchanges use the memory of those before them. Nothing of one may come to
// another: with clients that leave, bodies that are streamed, backends that
// answer early or close, and over both protocols.
func TestExchangesApart(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mark := r.Header.Get("X-Mark")
		w.Header().Set("X-Echo", mark)
		switch r.URL.Query().Get("how") {
		case "silent":
			<-r.Context().Done()
			return
		case "early":
			w.WriteHeader(418)
			return
		case "close":
			w.Header().Set("Connection", "close")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		text, _ := json.Marshal(received{r.URL.Path, r.URL.RawQuery, mark, r.UserAgent(), r.Header.Get("X-Amzn-Trace-Id"), string(body)})
		w.Write(text)
	}))
	t.Cleanup(backend.Close)
	rest := restAPI(config.Route{Method: config.AnyMethod, Path: "/x/{id}", Integration: proxyTo("http://backend.test/x/{id}")})
	rest.Stages[0].Routes[0].Integration.RequestParameters = map[string]string{"integration.request.path.id": "method.request.path.id"}
	g := start(t, Options{}, server.Options{}, configured(upstreamTo(1, netip.MustParseAddrPort(backend.Listener.Addr().String())),
		rest, httpAPI(defaultStage, config.Route{Method: config.AnyMethod, Path: "/x/{id}", Integration: proxyTo("")})))
	secure := serveTLS(t, g)

	one := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	two := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	var ids sync.Map
	call := func(client *http.Client, base, api, mark string) error {
		host, path := api+".execute-api.localhost", "/x/"+mark
		if api == "rest000001" {
			base += "/prod"
		}
		how := [...]string{"plain", "plain", "held", "streamed", "close", "early", "silent", "leave"}[rand.IntN(8)]
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var body io.Reader
		want := received{Path: path, Query: "how=" + how + "&" + mark, Mark: mark, Agent: "agent " + mark, Trace: fmt.Sprintf("Root=1-67891233-%024x", rand.Uint64())}
		if how == "held" || how == "streamed" || how == "early" {
			want.Body = strings.Repeat(mark, 1+rand.IntN(256))
			if body = strings.NewReader(want.Body); how != "held" {
				body = io.MultiReader(body) // whose length nobody knows
			}
		}
		r, err := http.NewRequestWithContext(ctx, "POST", base+path+"?"+want.Query, body)
		if err != nil {
			return err
		}
		r.Host = host
		r.Header = http.Header{"X-Mark": {mark}, "User-Agent": {want.Agent}, "X-Amzn-Trace-Id": {want.Trace}}
		if how == "silent" {
			defer time.AfterFunc(time.Duration(rand.IntN(int(5*time.Millisecond))), cancel).Stop()
		}
		a, err := client.Do(r)
		if err != nil {
			return nil // it left, or its kept connection was closed behind an early answer
		}
		defer a.Body.Close()
		if got := a.Header.Get("X-Echo"); got != mark {
			return fmt.Errorf("%s: the header of %q", how, got)
		}
		id := a.Header.Get("Apigw-Requestid") + a.Header.Get("x-amz-apigw-id")
		if before, twice := ids.LoadOrStore(id, mark); id == "" || twice {
			return fmt.Errorf("%s: id %q is that of %v, too", how, id, before)
		}
		if how == "leave" || how == "early" {
			return nil
		}
		var got received
		if err := json.NewDecoder(a.Body).Decode(&got); err != nil {
			return fmt.Errorf("%s: %w", how, err)
		}
		if got != want {
			return fmt.Errorf("%s: %.300v, want %.300v", how, got, want)
		}
		return nil
	}
	var clients sync.WaitGroup
	for n := range 16 {
		clients.Go(func() {
			client, base := one, "http://"+g.at
			if n%3 == 0 {
				client, base = two, "https://"+secure
			}
			for i := range 50 {
				mark := fmt.Sprintf("mark-%d-%d-%s", n, i, strings.Repeat("x", rand.IntN(40)))
				if err := call(client, base, [...]string{"rest000001", "http000001"}[i%2], mark); err != nil {
					t.Errorf("%s: %v", mark, err)
				}
			}
		})
	}
	clients.Wait()
	one.CloseIdleConnections()
	two.CloseIdleConnections()
	g.log.mu.Lock()
	defer g.log.mu.Unlock()
	lines := 0
	for line := range bytes.Lines(g.log.lines.Bytes()) {
		var l struct{ Path, UserAgent, RequestID, ExtendedRequestID string }
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		mark, is := strings.CutPrefix(l.UserAgent, "agent ")
		if owner, known := ids.Load(l.ExtendedRequestID); !is || !strings.HasSuffix(l.Path, "/x/"+mark) || known && owner != mark {
			t.Errorf("a line of two requests: %s", line)
		}
		lines++
	}
	if lines < 500 {
		t.Errorf("%d lines for 800 requests", lines)
	}
}

// serveTLS serves the gateway with TLS and HTTP/2, too, and returns the address.
func serveTLS(t *testing.T, g *gatewayUnderTest) string {
	own := httptest.NewTLSServer(nil) // for its certificate
	defer own.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(g.Handle, server.Options{})
	done := make(chan error, 1)
	go func() {
		done <- s.ServeTLS(l, &tls.Config{Certificates: own.TLS.Certificates, NextProtos: []string{server.H2, "http/1.1"}})
	}()
	t.Cleanup(func() {
		s.Shutdown(t.Context())
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}
