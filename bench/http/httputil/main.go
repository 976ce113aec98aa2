// Command httputil is Go's standard reverse proxy, net/http/httputil, doing
// what its peers in bench/http do.
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/isthmus-net/isthmus/bench/http/internal/contest"
)

func main() { contest.Run("httputil", run) }

func run(f *contest.Flags, file *os.File) error {
	log := newAccessLog(file)
	proxy := &httputil.ReverseProxy{
		Transport:  &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true},
		BufferPool: buffers{},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", f.Backend
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded()
			if local, ok := r.In.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
				r.Out.Header.Set("X-Forwarded-Port", strconv.Itoa(local.Port))
			}
			r.Out.Header.Set("X-Amzn-Trace-Id", string(contest.AppendTraceID(nil, time.Now().Unix())))
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("X-Internal")
			return nil
		},
	}
	failed := make(chan error)
	serve := func(d contest.Door, secure bool) {
		mux := http.NewServeMux()
		for i := range d.Routes {
			mux.Handle(contest.Route(i), proxy)
		}
		s := &http.Server{Addr: d.Address, Handler: log.around(mux), IdleTimeout: time.Minute, ReadHeaderTimeout: 10 * time.Second}
		if secure {
			s.TLSConfig = &tls.Config{}
			failed <- s.ListenAndServeTLS(f.Certificate, f.Key)
		} else {
			failed <- s.ListenAndServe()
		}
	}
	for _, d := range f.Plain {
		go serve(d, false)
	}
	for _, d := range f.TLS {
		go serve(d, true)
	}
	return <-failed
}

// buffers are those that bodies are copied through.
type buffers struct{}

var pool = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func (buffers) Get() []byte  { return *pool.Get().(*[]byte) }
func (buffers) Put(b []byte) { pool.Put(&b) }

// accessLog writes lines through a buffer, which goes to the file when it is
// full, and each second.
type accessLog struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func newAccessLog(w io.Writer) *accessLog {
	l := &accessLog{w: bufio.NewWriterSize(w, 64<<10)}
	go func() {
		for range time.Tick(time.Second) {
			l.mu.Lock()
			l.w.Flush()
			l.mu.Unlock()
		}
	}()
	return l
}

// around logs the requests of a handler.
func (l *accessLog) around(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, id := time.Now(), string(contest.AppendRequestID(nil))
		w.Header().Set("X-Request-Id", id)
		counted := &counter{ResponseWriter: w}
		h.ServeHTTP(counted, r)
		l.mu.Lock()
		defer l.mu.Unlock()
		fmt.Fprintf(l.w, `{"time":%q,"requestId":%q,"sourceIp":%q,"host":%q,"httpMethod":%q,"path":%q,"protocol":%q,"userAgent":%q,"status":%d,"responseLength":%d,"responseLatency":%d}`+"\n",
			start.Format(time.RFC3339Nano), id, r.RemoteAddr, r.Host, r.Method, r.URL.Path, r.Proto, r.UserAgent(), counted.status, counted.sent, time.Since(start).Milliseconds())
	})
}

type counter struct {
	http.ResponseWriter
	status int
	sent   int64
}

func (c *counter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.sent += int64(n)
	return n, err
}

// Unwrap lets the reverse proxy flush.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
