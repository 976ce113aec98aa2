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

// queued is a listener at which that many clients wait to be accepted.
func queued(t *testing.T, clients int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for range clients {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	return l
}

// serveTLS serves connections that say nothing until the function it returns is
// called. It calls accepted behind each.
func serveTLS(t *testing.T, l net.Listener, accepted func()) (stop func()) {
	s := NewServer(func(context.Context, *Request) *Response { return nil }, Options{})
	served := make(chan error)
	go func() { served <- s.ServeTLS(&counted{l, accepted}, &tls.Config{}) }()
	return func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // handshakes are cut off
		s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// With one CPU, whoever waits for a socket that becomes readable while many new
// connections wait for TLS's handshake has his turn before all of them.
func TestHandshakesLeaveOthersTheirTurn(t *testing.T) {
	const clients, sixth = 100, 6
	l := queued(t, clients)
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
	defer serveTLS(t, l, func() {
		if accepted.Add(1) == sixth {
			w.Write([]byte{0})
		}
	})()
	select {
	case at := <-turn:
		if at > sixth+20 {
			t.Errorf("the turn came when %d of %d connections had been accepted", at, clients)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it never came")
	}
}

// With one CPU that others keep busy, several new connections are accepted behind
// each of their long turns: with one behind each they would starve.
func TestLongTurnsLetMoreHandshakesBegin(t *testing.T) {
	const clients, turnTime = 100, 8 * time.Millisecond
	l := queued(t, clients)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var accepted, turns atomic.Int32
	all, over := make(chan int32, 1), make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			for began := time.Now(); time.Since(began) < turnTime; {
			}
			turns.Add(1)
			runtime.Gosched()
		}
	}()
	defer serveTLS(t, l, func() {
		if accepted.Add(1) == clients {
			all <- turns.Load()
		}
	})()
	select {
	case n := <-all:
		if n > clients/2 {
			t.Errorf("%d connections were accepted in %d turns of somebody else", clients, n)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("only %d were accepted", accepted.Load())
	}
}
