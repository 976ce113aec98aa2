package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// counted is a listener that tells of each connection that it has given.
type counted struct {
	net.Listener
	gave func()
}

func (l *counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.gave()
	}
	return conn, err
}

// queued is a listener at which that many clients wait to be accepted.
func queued(t *testing.T, clients int) (net.Listener, []net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, clients)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conns[i].Close() })
	}
	return l, conns
}

// serveQueued serves connections until the function it returns is called, with
// TLS if c is not nil. It calls accepted behind each.
func serveQueued(t *testing.T, l net.Listener, c *tls.Config, accepted func()) (stop func()) {
	s := NewServer(func(context.Context, *Request) *Response { return nil }, Options{})
	served := make(chan error)
	go func() { served <- s.serve(&counted{l, accepted}, c) }()
	return func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // what waits for its client is cut off
		s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// serveHellos has that many clients say TLS's hello at the same time to a server
// that has accepted them all. It calls begun as each handshake goes on.
func serveHellos(t *testing.T, clients int, begun func()) (stop func()) {
	t.Helper()
	l, conns := queued(t, clients)
	var accepted atomic.Int32
	all := make(chan struct{})
	stop = serveQueued(t, l, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		begun()
		return nil, errors.New("seen")
	}}, func() {
		if accepted.Add(1) == int32(clients) {
			close(all)
		}
	})
	select {
	case <-all:
	case <-time.After(10 * time.Second):
		t.Fatalf("only %d were accepted", accepted.Load())
	}
	hello := clientHello(t)
	for _, conn := range conns {
		if _, err := conn.Write(hello); err != nil {
			t.Fatal(err)
		}
	}
	return stop
}

// clientHello is the record with which a client of TLS begins.
func clientHello(t *testing.T) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	defer client.Close()
	go tls.Client(client, &tls.Config{ServerName: "example.com"}).Handshake()
	b := make([]byte, 16<<10)
	n, err := io.ReadAtLeast(server, b, 100)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// onReadable calls f when something was written to the writer. Like a
// connection's goroutine, it waits in the runtime's poller until then.
func onReadable(t *testing.T, f func()) io.Writer {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	go func() {
		defer r.Close()
		if _, err := r.Read(make([]byte, 1)); err == nil {
			f()
		}
	}()
	return w
}

// With one CPU, whoever waits for a socket that becomes readable while many new
// connections are accepted, or while many clients wait for TLS's handshake, has
// his turn before all of them.
func TestManyLeaveOthersTheirTurn(t *testing.T) {
	const clients, sixth = 200, 6
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for what, serve := range map[string]func(each func()) (stop func()){
		"accepted": func(each func()) func() {
			l, _ := queued(t, clients)
			return serveQueued(t, l, nil, each)
		},
		"greeted": func(each func()) func() { return serveHellos(t, clients, each) },
	} {
		t.Run(what, func(t *testing.T) {
			var served atomic.Int32
			turn := make(chan int32, 1)
			w := onReadable(t, func() { turn <- served.Load() })
			defer serve(func() {
				if served.Add(1) == sixth {
					w.Write([]byte{0})
				}
			})()
			select {
			case at := <-turn:
				if at > sixth+2*acceptsAtOnce {
					t.Errorf("the turn came when %d of %d had been %s", at, clients, what)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it never came")
			}
		})
	}
}

// With one CPU that others keep busy, several clients are greeted behind each of
// their long turns: with one behind each they would starve.
func TestLongTurnsLetMoreHandshakesGoOn(t *testing.T) {
	const clients, turnTime = 100, 8 * time.Millisecond
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var begun, others atomic.Int32
	first, all, over := make(chan struct{}), make(chan int32, 1), make(chan struct{})
	defer close(over)
	go func() {
		<-first
		for {
			select {
			case <-over:
				return
			default:
			}
			for began := time.Now(); time.Since(began) < turnTime; {
			}
			others.Add(1)
			runtime.Gosched()
		}
	}()
	defer serveHellos(t, clients, func() {
		switch begun.Add(1) {
		case 1:
			close(first)
		case clients:
			all <- others.Load()
		}
	})()
	select {
	case n := <-all:
		if n > clients/2 {
			t.Errorf("%d clients were greeted in %d turns of somebody else", clients, n)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("only %d were greeted", begun.Load())
	}
}
