package http1

import (
	"context"
	"crypto/tls"
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

// With one CPU, whoever waits for a socket that becomes readable while many new
// connections wait for TLS's handshake has his turn before all of them.
func TestHandshakesLeaveOthersTheirTurn(t *testing.T) {
	const clients, sixth = 100, 6
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for range clients {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))

	var accepted atomic.Int32
	turn := make(chan int32, 1)
	go func() {
		if _, err := r.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		turn <- accepted.Load()
	}()
	s := NewServer(func(context.Context, *Request) *Response { return nil }, Options{})
	served := make(chan error)
	go func() {
		served <- s.ServeTLS(&counted{l, func() {
			if accepted.Add(1) == sixth {
				w.Write([]byte{0})
			}
		}}, &tls.Config{})
	}()
	select {
	case at := <-turn:
		if at > sixth+20 {
			t.Errorf("the turn came when %d of %d connections had been accepted", at, clients)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it never came")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // handshakes are cut off
	s.Shutdown(ctx)
	if err := <-served; err != nil {
		t.Error(err)
	}
}
