package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestAbort: an exchange ends with the cause wherever it is, and its connection
// does.
func TestAbort(t *testing.T) {
	cause := errors.New("over")
	for name, c := range map[string]struct {
		text    string // of the response, as far as it comes
		request *Request
	}{
		"waiting":     {"", get()},
		"in the head": {"HTTP/1.1 200 OK\r\nContent-Len", get()},
		"in the body": {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", get()},
		"sending":     {"", &Request{Method: "POST", Target: "/", Body: zeros{}, Length: -1}},
		"in a tunnel": {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", &Request{Method: "GET", Target: "/", Switch: true}},
	} {
		met, ended := make(chan bool, 2), make(chan bool, 2)
		client := testClient(backend(t, func(conn net.Conn, r *bufio.Reader) {
			if c.request.Body == nil {
				take(r)
			}
			io.WriteString(conn, c.text)
			met <- true
			io.Copy(io.Discard, r)
			ended <- true
		}))
		go func() {
			<-met
			client.Abort(cause)
		}()
		response, err := client.Do(context.Background(), "", c.request)
		if err == nil && response.Tunnel != nil {
			_, err = io.ReadAll(response.Tunnel)
			response.Tunnel.Close()
		} else if err == nil {
			_, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		if err != cause {
			t.Errorf("%s: %v", name, err)
		}
		<-ended
		if client.Connections() > 0 {
			t.Errorf("%s: the connection is still counted", name)
		}
		if _, err := do(client, get()); err != cause {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
}

// TestAbortDial: a connection that is being opened is given up, and one that was
// opened nevertheless is closed.
func TestAbortDial(t *testing.T) {
	cause := errors.New("over")
	near, far := net.Pipe()
	for _, conn := range []net.Conn{nil, near} {
		dialled := make(chan bool)
		c := &Client{IdleTimeout: time.Minute, MaxIdle: 1, HeadLimit: 1 << 10, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			close(dialled)
			<-ctx.Done()
			if conn == nil {
				return nil, ctx.Err()
			}
			return conn, nil
		}}
		go func() {
			<-dialled
			c.Abort(cause)
		}()
		if _, err := do(c, get()); err != cause {
			t.Error(err)
		}
		if conn != nil {
			if _, err := far.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the connection is open: %v", err)
			}
		}
		if c.Connections() > 0 {
			t.Error("a connection is still counted")
		}
	}
}

// stuck is a connection whose end takes as long as that of TLS with a server
// that reads nothing.
type stuck struct {
	net.Conn
	closing, release chan struct{}
}

func (s *stuck) Close() error {
	s.closing <- struct{}{}
	<-s.release
	return s.Conn.Close()
}

// TestRetireWaitsForNone: connections are closed beside each other, and nobody
// waits for their ends.
func TestRetireWaitsForNone(t *testing.T) {
	const count = 3
	closing, release := make(chan struct{}, count), make(chan struct{})
	defer close(release)
	at := backend(t, func(conn net.Conn, r *bufio.Reader) {
		take(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
		io.Copy(io.Discard, r)
	})
	c := testClient(at)
	c.Dial = func(context.Context, string) (net.Conn, error) {
		conn, err := net.Dial("tcp", at)
		return &stuck{conn, closing, release}, err
	}
	var responses []*Response
	for range count {
		r, err := c.Do(context.Background(), "", get())
		if err != nil {
			t.Fatal(err)
		}
		responses = append(responses, r)
	}
	for _, r := range responses {
		io.ReadAll(r.Body)
	}
	retired := make(chan struct{})
	go func() {
		c.Retire()
		close(retired)
	}()
	late := time.After(20 * time.Second)
	for range count + 1 {
		select {
		case <-retired:
			retired = nil
		case <-closing:
		case <-late:
			t.Fatal("somebody waits for the end of a connection")
		}
	}
}
