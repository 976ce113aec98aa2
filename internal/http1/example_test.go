package http1_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/isthmus-net/isthmus/internal/http1"
)

// A reverse proxy: what came goes to one backend, without what concerns the
// client's connection only, and so does what comes back.
func Example() {
	backend := serve(func(_ context.Context, r *http1.Request) *http1.Response {
		text := r.Method + " " + r.Target + " for " + r.Header.Get("Host") + " by " + r.Header.Get("Via")
		return &http1.Response{Status: 200, Body: io.NopCloser(strings.NewReader(text)), Length: int64(len(text))}
	})
	client := &http1.Client{
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
		IdleTimeout: 30 * time.Second, MaxIdle: 64, HeadLimit: 64 << 10,
	}
	proxy := serve(func(ctx context.Context, r *http1.Request) *http1.Response {
		out := &http1.Request{
			Method: r.Method, Target: r.Target, Header: r.Header.AppendPassed(nil, nil),
			Body: r.Body, Length: r.Length, Timeout: 30 * time.Second,
		}
		out.Header.Set("Via", "1.1 example")
		response, err := client.Do(ctx, backend, out)
		if err != nil {
			return &http1.Response{Status: 502}
		}
		response.Header.RemoveHop()
		return response
	})

	response, err := http.Get("http://" + proxy + "/pets?kind=dog")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	fmt.Println(response.Status, strings.Replace(string(body), proxy, "the proxy", 1))
	// Output: 200 OK GET /pets?kind=dog for the proxy by 1.1 example
}

// serve starts a server on loopback and returns its address.
func serve(h http1.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http1.NewServer(h, http1.Options{}).Serve(l)
	return l.Addr().String()
}
